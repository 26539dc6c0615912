"""The languages of a run: those that its text is marked with, and the tags of its tokenizers."""

from collections.abc import Sequence
from dataclasses import replace

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.settings import require, toml_value
from seq2seq_cli.data.parallel import marked_languages
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.language_tags import language_tag


def with_languages(config: RunConfig) -> RunConfig:
    """The settings with the languages that targets are marked with.

    Raises InputError if the validation text is marked otherwise.
    """
    data = config.data
    found, valid = marked_languages(data.target), marked_languages(data.valid_target)
    require(
        set(valid) <= set(found) and bool(valid) == bool(found),
        f"the targets are marked as being in {', '.join(found) or 'no language'}, those of the "
        f"validation text in {', '.join(valid) or 'none'}; mark them alike, as in de=valid.de",
    )
    require(
        not (found and config.data.alignments),
        "data.alignments cannot be used with targets that are marked with their language",
    )
    own: tuple[str, ...] = ()
    if data.language_tags != "source":
        own = marked_languages(data.source, "source")
        _check_both_sides(data, own, found)
        own = (*own, *filter(None, [data.source_language]))
    known = tuple(dict.fromkeys((*config.tokenizer.languages, *found, *own)))
    return replace(config, tokenizer=replace(config.tokenizer, languages=known))


def _check_both_sides(data: DataConfig, own: Sequence[str], into: Sequence[str]) -> None:
    """Raise InputError unless the language of each side is known."""
    shown = f"data.language_tags = {toml_value(data.language_tags)}"
    require(
        bool(into),
        f"{shown} begins targets with the tag of their language; mark them, as in de=train.de",
    )
    valid = marked_languages(data.valid_source, "source")
    require(
        bool(own or data.source_language) and bool(valid or data.source_language),
        f"{shown} needs the language of each source; mark them, as in en=train.en and en=valid.en, "
        "or name it with data.source_language",
    )
    require(
        not own or set(valid) <= {*own, data.source_language},
        f"the sources are marked as being in {', '.join(own)}, those of the validation text in "
        f"{', '.join(valid)}; mark them alike",
    )


def check_languages(config: RunConfig, tokenizers: Tokenizers) -> None:
    """Raise InputError if a tokenizer lacks the tag of a language that its side has."""
    data, own = config.data, config.tokenizer.languages
    into: tuple[str, ...] = ()
    if data.language_tags != "source":
        into = marked_languages(data.target)
        own = (*marked_languages(data.source, "source"), *filter(None, [data.source_language]))
    for side, languages, tokenizer in (
        ("source", own, tokenizers.source),
        ("target", into, tokenizers.target),
    ):
        for language in languages:
            require(
                language in tokenizer.tags,
                f"the {side} tokenizer has no symbol {language_tag(language)}; learn one with "
                f"`seq2seq tokenizer train --language {language}`, add it to a pretrained run with "
                f"--add-language {language}, or give none",
            )
