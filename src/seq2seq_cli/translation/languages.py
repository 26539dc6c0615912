"""The language that a line is to be translated into, for runs with several target languages."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from seq2seq_cli.config.settings import require
from seq2seq_cli.tokenization.language_tags import language_of, language_tag

Tags = Mapping[str, int]  # language -> id of its tag; empty for runs with one target language


def check_language(run: Path, tags: Tags, language: str) -> None:
    """Raise InputError for a language that the run was not trained to translate into."""
    if not language:
        return
    require(
        bool(tags),
        f"{run} was not trained with marked targets, as in --target de=train.de; leave out "
        "--target-language",
    )
    require(
        language in tags,
        f"--target-language {language}: {run} translates into {', '.join(tags)}",
    )


def with_tag(line: str, language: str, tags: Tags) -> str:
    """The line with the tag of the language, unless it begins with a tag of its own."""
    if not language or language_of(line) in tags:
        return line
    return f"{language_tag(language)} {line}"


def missing_language(line: str, ids: Sequence[int], number: int, tags: Tags) -> str:
    """A warning if the run has several languages and the tokens of a line begin with no tag.

    Returns an empty string if there is nothing to warn of, as for a blank line.
    """
    if not tags or not ids or ids[0] in tags.values():
        return ""
    asked = language_of(line)
    fault = f"asks for {asked}, which the run does not translate into"
    if not asked:
        fault = "does not say which language to translate into"
    return (
        f"line {number} {fault}; begin it with {' or '.join(map(language_tag, tags))}, "
        "or give --target-language"
    )
