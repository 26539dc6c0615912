"""Sentence pairs: line k of one text is the translation of line k of another."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path

from seq2seq_cli.config.settings import require
from seq2seq_cli.data.formats.base import BegunInput, Container
from seq2seq_cli.data.sources import Source, display_names, parse_source, split_language_mark
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import UTF8, Reading
from seq2seq_cli.messages import Warn
from seq2seq_cli.text import check_line_counts
from seq2seq_cli.tokenization.language_tags import language_tag, split_languages


@dataclass(frozen=True)
class ParallelText:
    """Sentence pairs in memory, without those that have a blank side."""

    source: list[str]
    target: list[str]
    blank: int  # pairs dropped because a side was blank


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs that are read from their files each time, since they may not fit in memory.

    The texts of a side follow each other. If the target is marked with its language, each source
    line begins with the tag of that language, and if the source is marked too, then with its own.
    """

    source: tuple[Source, ...]
    target: tuple[Source, ...]

    @property
    def name(self) -> str:
        """The corpus as messages name it."""
        return f"{display_names(self.source)} and {display_names(self.target)}"

    @property
    def language(self) -> str:
        """The language that the target is marked with, or ""."""
        return self.target[0].language

    @property
    def source_language(self) -> str:
        """The language that the source is marked with, or ""."""
        return self.source[0].language

    def pairs(self, warn: Warn) -> Iterator[tuple[str, str]]:
        """Yield all pairs, with blank ones. Raises InputError if a side has more lines."""
        languages = filter(None, (self.language, self.source_language))
        begin = "".join(f"{language_tag(language)} " for language in languages)
        if not begin:
            return self._untagged_pairs(warn)
        return (
            (begin + source if source.strip() else source, target)
            for source, target in self._untagged_pairs(warn)
        )

    def _untagged_pairs(self, warn: Warn) -> Iterator[tuple[str, str]]:
        """Yield all pairs without tags. Two fields of one container are read in one pass."""
        if len(self.source) == len(self.target) == 1:
            source, target = self.source[0], self.target[0]
            if source.container == target.container and source.field:
                fields = (source.field, target.field)
                yield from ((one, other) for one, other in source.container.rows(fields, warn))
                return
        yield from self._zipped_pairs(warn)

    def _zipped_pairs(self, warn: Warn) -> Iterator[tuple[str, str]]:
        """Yield pairs of lines. An error comes at the end of both sides, to name both counts."""
        sources, targets = (
            chain.from_iterable(each.lines(warn) for each in side)
            for side in (self.source, self.target)
        )
        for count, (source, target) in enumerate(zip_longest(sources, targets)):
            if source is None:
                self._check_counts(count, count + 1 + _count(targets))
            elif target is None:
                self._check_counts(count + 1 + _count(sources), count)
            else:
                yield source, target

    def _check_counts(self, source_lines: int, target_lines: int) -> None:
        names = display_names(self.source), display_names(self.target)
        check_line_counts(names[0], source_lines, names[1], target_lines)

    def digest(self) -> list[list[str]]:
        """Distinguishes this corpus from all others: hashes of its content, and its fields."""
        hashes = self.hashes
        return [
            [" ".join((each.container.kind, hashes[each.container], each.field)) for each in side]
            for side in (self.source, self.target)
        ] + [[self.language, *filter(None, [self.source_language])]]

    @cached_property
    def hashes(self) -> dict[Container, str]:
        """The hash of the content of each container, computed once and then taken for unchanged."""
        return {container: container.digest() for container in self._containers()}

    def size(self) -> int:
        """The size on disk in bytes."""
        return sum(container.size() for container in self._containers())

    def can_be_reread(self) -> bool:
        """Whether the text can be read more than once; a pipe cannot."""
        return all(container.can_be_reread() for container in self._containers())

    def make_rereadable(self, folder: Path) -> "Corpus":
        """Return the same pairs so that they can be read more than once.

        Pipes are copied into the folder, once each if both sides are fields of one.
        """
        containers = dict.fromkeys(each.container for each in (*self.source, *self.target))
        copies = {each: each.make_rereadable(folder) for each in containers}
        source, target = (
            tuple(replace(each, container=copies[each.container]) for each in side)
            for side in (self.source, self.target)
        )
        return replace(self, source=source, target=target)

    def _containers(self) -> set[Container]:
        return {each.container for each in (*self.source, *self.target)}


def _count(lines: Iterable[str]) -> int:
    return sum(1 for _ in lines)


def parse_corpora(
    sources: Sequence[str],
    targets: Sequence[str],
    reading: Reading = UTF8,
    *,
    streamed: bool = False,
    marked_sources: bool = False,
) -> list[Corpus]:
    """Read the names of texts: text k of one side belongs to text k of the other.

    If the sides have different numbers of texts, all texts together are one corpus. Data sets that
    are `streamed` are read where they are, without a copy on disk. Sources are marked with their
    language only if there may be `marked_sources`.
    """
    begun: dict[Path, BegunInput] = {}
    parsed = [
        tuple(parse_source(value, reading, streamed=streamed, begun=begun) for value in values)
        for values in (sources, targets)
    ]
    _check_language_marks(*parsed, marked_sources=marked_sources)
    if len(sources) != len(targets):
        return [Corpus(*parsed)]
    return [Corpus((source,), (target,)) for source, target in zip(*parsed, strict=True)]


def marked_languages(texts: Sequence[str], side: str = "target") -> tuple[str, ...]:
    """List the languages that the texts of a side are marked with, each once, in order.

    Raises InputError if some texts are marked and others are not.
    """
    found = tuple(dict.fromkeys(language for language, _ in map(split_language_mark, texts)))
    require(
        len(found) <= 1 or "" not in found,
        f"some {side}s are marked with their language, as in de=train.de, and others are not; mark "
        "all of them",
    )
    return tuple(filter(None, found))


def _check_language_marks(
    sources: tuple[Source, ...], targets: tuple[Source, ...], *, marked_sources: bool
) -> None:
    """Raise InputError for a marked source, or for targets in several languages without sources."""
    for source in sources:
        require(
            marked_sources or not source.language,
            f"{source.language}={source.name}: mark the target with its language, not the source; "
            'both are marked with data.language_tags = "both"',
        )
    for name, other, side in (("target", "source", targets), ("source", "target", sources)):
        found = {each.language for each in side}
        require(
            len(found) <= 1 or len(sources) == len(targets),
            f"{name}s in {' and '.join(sorted(found))} need a {other} each; name the {other} once "
            "for each of them",
        )


def is_blank(source: str, target: str) -> bool:
    """Whether a side of a pair has no words."""
    return not (source.strip() and target.strip())


def is_same_text(source: str, target: str) -> bool:
    """Whether both sides of a pair have the same text, but for a language tag."""
    source, target = source.strip(), target.strip()
    return source == target or (source.endswith(target) and split_languages(source)[2] == target)


def read_parallel(corpora: Sequence[Corpus], warn: Warn) -> ParallelText:
    """Read sentence pairs into memory. Raises InputError if there are none."""
    sources: list[str] = []
    targets: list[str] = []
    blank = 0
    for corpus in corpora:
        for source, target in corpus.pairs(warn):
            if is_blank(source, target):
                blank += 1
            else:
                sources.append(source)
                targets.append(target)
    if not sources:
        raise no_pairs_error(corpora, blank)
    return ParallelText(sources, targets, blank)


def no_pairs_error(corpora: Sequence[Corpus], blank: int) -> InputError:
    """The error for corpora without a sentence pair."""
    names = "; ".join(corpus.name for corpus in corpora)
    if not blank:
        return InputError(f"{names} are empty: there is no sentence pair")
    return InputError(f"{names} do not contain a sentence pair; blank pairs: {blank:,}")
