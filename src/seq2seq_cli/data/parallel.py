"""Sentence pairs: line k of the one text belongs to line k of the other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from seq2seq_cli.config.settings import require
from seq2seq_cli.data.sources import Container, Source, joined_names, marked, parse
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import Warn
from seq2seq_cli.tokenization.language_tags import language_tag


@dataclass(frozen=True)
class ParallelText:
    """Sentence pairs that have words on both sides; blank pairs are dropped pairwise."""

    source: list[str]
    target: list[str]
    blank: int  # pairs dropped since a side was blank


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs that are read anew each time, since they may be more than memory holds.

    The texts of a side follow each other. Where the target is marked with its language, each source
    line begins with the tag of that language.
    """

    source: tuple[Source, ...]
    target: tuple[Source, ...]

    @property
    def name(self) -> str:
        return f"{joined_names(self.source)} and {joined_names(self.target)}"

    @property
    def language(self) -> str:
        """What the target is marked with, or nothing."""
        return self.target[0].language

    def pairs(self, warn: Warn) -> Iterator[tuple[str, str]]:
        """All pairs, blank ones too. Raises InputError where the sides differ in their numbers."""
        if not self.language:
            return self._pairs(warn)
        begin = f"{language_tag(self.language)} "
        return (
            (begin + source if source.strip() else source, target)
            for source, target in self._pairs(warn)
        )

    def _pairs(self, warn: Warn) -> Iterator[tuple[str, str]]:
        """All pairs without tags. Two fields of one container are read side by side."""
        if len(self.source) == len(self.target) == 1:
            source, target = self.source[0], self.target[0]
            if source.container == target.container and source.field:
                fields = (source.field, target.field)
                yield from ((one, other) for one, other in source.container.rows(fields, warn))
                return
        yield from self._paired(warn)

    def _paired(self, warn: Warn) -> Iterator[tuple[str, str]]:
        """Pairs of lines; counts to the end before it complains, so it can name both counts."""
        sources, targets = _lines(self.source, warn), _lines(self.target, warn)
        for count, (source, target) in enumerate(zip_longest(sources, targets)):
            if source is None:
                raise self._unequal(count, count + 1 + _count(targets))
            if target is None:
                raise self._unequal(count + 1 + _count(sources), count)
            yield source, target

    def _unequal(self, source_count: int, target_count: int) -> InputError:
        return InputError(
            f"{joined_names(self.source)} has {source_count:,} lines but "
            f"{joined_names(self.target)} has {target_count:,}; "
            "line k of the one must be the translation of line k of the other"
        )

    def digest(self) -> list[list[str]]:
        """What tells this corpus from all others: hashes of its content, and its fields."""
        hashes = {container: container.digest() for container in self._containers()}
        return [
            [
                " ".join((type(each.container).__name__, hashes[each.container], each.field))
                for each in side
            ]
            for side in (self.source, self.target)
        ] + [[self.language]]

    def size(self) -> int:
        """Bytes on disk."""
        return sum(container.size() for container in self._containers())

    def can_be_reread(self) -> bool:
        """Whether the text can be read again; what comes through a pipe cannot."""
        return all(container.can_be_reread() for container in self._containers())

    def make_rereadable(self, folder: Path) -> "Corpus":
        """The same pairs, to be read more than once: what comes through pipes is copied."""
        return replace(
            self,
            source=tuple(_make_rereadable(each, folder) for each in self.source),
            target=tuple(_make_rereadable(each, folder) for each in self.target),
        )

    def _containers(self) -> set[Container]:
        return {each.container for each in (*self.source, *self.target)}


def _make_rereadable(source: Source, folder: Path) -> Source:
    return replace(source, container=source.container.make_rereadable(folder))


def _lines(sources: Iterable[Source], warn: Warn) -> Iterator[str]:
    for source in sources:
        for (line,) in source.container.rows((source.field,), warn):
            yield line


def _count(lines: Iterable[str]) -> int:
    return sum(1 for _ in lines)


def parse_corpora(
    sources: Sequence[str], targets: Sequence[str], *, streamed: bool = False
) -> list[Corpus]:
    """The corpora that a user named: text k of the one side belongs to text k of the other.

    Where the sides have different numbers of texts, all of each side make up one corpus. Data sets
    that are `streamed` are not stored.
    """
    parsed = [
        tuple(parse(value, streamed=streamed) for value in values) for values in (sources, targets)
    ]
    _check_marks(*parsed)
    if len(sources) != len(targets):
        return [Corpus(*parsed)]
    return [Corpus((source,), (target,)) for source, target in zip(*parsed, strict=True)]


def target_languages(targets: Sequence[str]) -> tuple[str, ...]:
    """The languages that targets are marked with, each once, in order.

    Raises InputError if some are marked and others not.
    """
    found = tuple(dict.fromkeys(language for language, _ in map(marked, targets)))
    require(
        len(found) <= 1 or "" not in found,
        "some targets are marked with their language, as in de=train.de, and others are not; mark "
        "all of them",
    )
    return tuple(filter(None, found))


def _check_marks(sources: tuple[Source, ...], targets: tuple[Source, ...]) -> None:
    """Raise InputError where languages are marked that choose nothing, or no source of theirs."""
    for source in sources:
        require(
            not source.language,
            f"{source.language}={source.name}: mark the target with its language, not the source",
        )
    found = {target.language for target in targets}
    require(
        len(found) <= 1 or len(sources) == len(targets),
        f"targets in {' and '.join(sorted(found))} want a source each; name it once for each",
    )


def is_blank(source: str, target: str) -> bool:
    """Whether a pair lacks words on a side."""
    return not (source.strip() and target.strip())


def read_parallel(corpora: Sequence[Corpus], warn: Warn) -> ParallelText:
    """Read sentence pairs into memory. Raises InputError where there is none."""
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
    """The message for corpora without a pair."""
    names = "; ".join(corpus.name for corpus in corpora)
    return InputError(f"{names} hold no sentence pair ({blank:,} blank ones)")
