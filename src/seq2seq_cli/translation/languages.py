"""The language that a line is in and that it is to be translated into, for runs with several."""

from collections.abc import Collection, Mapping
from dataclasses import field
from pathlib import Path

from seq2seq_cli.config.data import LanguageTags
from seq2seq_cli.config.settings import require
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.language_tags import (
    language_of,
    language_tag,
    split_languages,
    split_tag,
    tag_of,
    with_language,
)
from seq2seq_cli.translation.settings import TranslationSettings

Tags = Mapping[str, int]  # language -> id of its tag; empty for runs with one target language
TAGS_NAMED = 5  # in a message


@dataclass(frozen=True)
class TaggedLine:
    """A line as a run with these languages reads it."""

    text: str  # with the tag that the source has, for its tokenizer
    start: int  # where the text behind its tags begins in the line, in characters
    forced: tuple[int, ...] = ()  # the tag that its translation begins with, if it has one
    fault: str = ""  # "line 3 does not say ...", from the second word on


@dataclass(frozen=True)
class Languages:
    """Reads the tags of lines, and says which their translations have."""

    source: Tags = field(default_factory=dict)  # of the source's vocabulary
    target: Tags = field(default_factory=dict)
    placement: LanguageTags = "source"
    own: str = ""  # the language of lines without a tag of their own
    into: str = ""  # the language to translate them into

    def read(self, line: str) -> TaggedLine:
        """Read the tags of a line."""
        if self.placement != "source":
            return self._read_both(line)
        if not self.source:
            return TaggedLine(line, 0)
        start = len(line) - len(split_tag(line)[1])
        found = language_of(line)
        if found in self.source:
            return TaggedLine(line, start)
        if self.into:
            return TaggedLine(f"{language_tag(self.into)} {line}", start)
        return TaggedLine(line, start, fault=self._missing_target(found))

    def _read_both(self, line: str) -> TaggedLine:
        into, own, text = split_languages(line, self.target, self.source)
        into, own = into or self.into, own or self.own
        forced = (self.target[into],) if into in self.target else ()
        fault = ""
        if not forced:
            fault = self._missing_target(tag_of(line)[0])
        elif own not in self.source:
            fault = (
                "does not say which language it is in; give --source-language, or begin it with "
                f"two tags, as in {language_tag(into)} {_named(self.source)}"
            )
            own = ""
        return TaggedLine(with_language(text, own), len(line) - len(text), forced, fault)

    def _missing_target(self, asked: str) -> str:
        tags = self.target if self.placement != "source" else self.source
        fault = f"asks for {asked}, which the run does not translate into"
        if not asked:
            fault = "does not say which language to translate into"
        return f"{fault}; begin it with {_named(tags)}, or give --target-language"


def _named(languages: Collection[str]) -> str:
    """The tags of languages, for a message: all of a few, else one."""
    tags = list(map(language_tag, languages))
    return " or ".join(tags) if len(tags) <= TAGS_NAMED else f"a tag such as {tags[0]}"


def languages_of(
    tokenizers: Tokenizers,
    settings: TranslationSettings,
    placement: LanguageTags,
    source_language: str,
) -> Languages:
    """The languages of a run; `source_language` is what its lines are in unless something else says
    so, in whatever code.
    """
    own = settings.source_language
    if not own and source_language in tokenizers.source.tags:
        own = source_language
    return Languages(
        tokenizers.source.tags, tokenizers.target.tags, placement, own, settings.target_language
    )


def check_languages(run: Path, languages: Languages) -> None:
    """Raise InputError for languages that the run was not trained to translate from or into."""
    both = languages.placement != "source"
    if languages.into:
        tags = languages.target if both else languages.source
        require(
            bool(tags),
            f"{run} was not trained with marked targets, as in --target de=train.de; leave out "
            "--target-language",
        )
        require(
            languages.into in tags,
            f"--target-language {languages.into}: {run} translates into {', '.join(tags)}",
        )
    if both and languages.own:
        require(
            languages.own in languages.source,
            f"--source-language {languages.own}: {run} translates from "
            f"{', '.join(languages.source)}",
        )
