"""Sentence pairs from two sets of files, line by line."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from seq2seq_cli.errors import InputError
from seq2seq_cli.text import Warn, read_lines


@dataclass(frozen=True)
class ParallelText:
    """Sentence pairs that have words on both sides; blank pairs are dropped pairwise."""

    source: list[str]
    target: list[str]
    blank: int  # pairs dropped since a side was blank


def read_parallel(
    source: Sequence[Path], target: Sequence[Path], warn: Warn, *, keep_blank: bool = False
) -> ParallelText:
    """Read sentence pairs; the files of a side are read one after the other.

    Raises InputError where the sides have different numbers of lines or no pair is left.
    """
    sources: list[str] = []
    targets: list[str] = []
    blank = 0
    for source_line, target_line in _paired(source, target, warn):
        if keep_blank or (source_line.strip() and target_line.strip()):
            sources.append(source_line)
            targets.append(target_line)
        else:
            blank += 1
    if not sources:
        raise InputError(
            f"{_names(source)} and {_names(target)} hold no sentence pair ({blank:,} blank ones)"
        )
    return ParallelText(sources, targets, blank)


def _paired(
    source: Sequence[Path], target: Sequence[Path], warn: Warn
) -> Iterator[tuple[str, str]]:
    """Pairs of lines; counts to the end before it complains, so that it can name both counts."""
    source_lines = chain.from_iterable(read_lines(path, warn) for path in source)
    target_lines = chain.from_iterable(read_lines(path, warn) for path in target)
    for count, (source_line, target_line) in enumerate(zip_longest(source_lines, target_lines)):
        if source_line is None:
            raise _unequal(source, count, target, count + 1 + _count(target_lines))
        if target_line is None:
            raise _unequal(source, count + 1 + _count(source_lines), target, count)
        yield source_line, target_line


def _count(lines: Iterable[str]) -> int:
    return sum(1 for _ in lines)


def _unequal(
    source: Sequence[Path], source_count: int, target: Sequence[Path], target_count: int
) -> InputError:
    return InputError(
        f"{_names(source)} has {source_count:,} lines but {_names(target)} has {target_count:,}; "
        "line k of the one must be the translation of line k of the other"
    )


def _names(paths: Sequence[Path]) -> str:
    return " + ".join(str(path) for path in paths)
