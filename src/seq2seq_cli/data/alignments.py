"""Word alignments of a corpus, and what they say about its tokens.

They come in Pharaoh format, as aligners such as fast_align write it: a line for each sentence pair,
links `i-j` between word i of the source and word j of the target, counted from 0. Words are what
spaces divide. All pieces of linked words are linked.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from seq2seq_cli.errors import InputError
from seq2seq_cli.padding import Ids
from seq2seq_cli.symbols import WORD_START
from seq2seq_cli.text import Warn, display_name, read_lines

Links = list[tuple[int, int]]  # words of the source and the target
LONGEST = 20  # characters of a link


@dataclass(frozen=True)
class Aligned:
    """The alignment of one sentence pair."""

    links: Links
    words: tuple[int, int]  # of source and target


def read_alignments(
    files: Sequence[Path], pairs: Iterable[tuple[str, str]], warn: Warn
) -> Iterator[Aligned]:
    """The alignments of all sentence pairs.

    Raises InputError, with file and line number, for what is no link or lies outside the words, and
    where there are not as many lines as pairs.
    """
    lines = chain.from_iterable(_numbered(file, warn) for file in files)
    for count, (found, pair) in enumerate(zip_longest(lines, pairs)):
        if found is None or pair is None:
            names = " + ".join(display_name(file) for file in files)
            more, fewer = ("pairs", "lines") if found is None else ("lines", "pairs")
            raise InputError(
                f"{names}: there are {count:,} {fewer} but more {more}; line k must align pair k "
                "of data.source and data.target"
            )
        where, line = found
        words = (len(pair[0].split()), len(pair[1].split()))
        yield Aligned(_links(where, line, *words), words)


def _numbered(file: Path, warn: Warn) -> Iterator[tuple[str, str]]:
    name = display_name(file)
    for number, line in enumerate(read_lines(file, warn), start=1):
        yield f"{name}, line {number}", line


def _links(where: str, line: str, sources: int, targets: int) -> Links:
    """Read a line. The numbers of words on each side limit what may be linked."""
    links: Links = []
    for text in line.split():
        source, dash, target = text.partition("-")
        if not (dash and source.isdecimal() and target.isdecimal() and len(text) < LONGEST):
            raise InputError(
                f"{where}: {text[:LONGEST]} is no link; source-target is wanted, words counted "
                "from 0, as in 0-0 1-2"
            )
        for side, place, count in (("source", source, sources), ("target", target, targets)):
            if int(place) >= count:
                last = f"whose last word is {count - 1}" if count else "which has none"
                raise InputError(
                    f"{where}: {text} links word {place} of the {side}, {last}; words are counted "
                    "from 0"
                )
        links.append((int(source), int(target)))
    return links


class Alignments:
    """The alignments of many sentence pairs in flat arrays, and which pieces begin words.

    A pair is not aligned where its pieces make up other words than spaces divide, as where the
    tokenizer's normalisation puts a space into a word.
    """

    def __init__(
        self, pairs: Iterable[Aligned], source_pieces: Sequence[str], target_pieces: Sequence[str]
    ) -> None:
        links, words, offsets = array("i"), array("i"), array("q", [0])
        for pair in pairs:  # which may be more than memory holds as objects
            links.extend(chain.from_iterable(pair.links))
            words.extend(pair.words)
            offsets.append(len(links) // 2)
        self.links = np.array(links, dtype=np.int32).reshape(-1, 2)
        self.words = np.array(words, dtype=np.int32).reshape(-1, 2)
        self.offsets = np.array(offsets, dtype=np.int64)
        self.source_begins, self.target_begins = (
            np.array([piece.startswith(WORD_START) for piece in pieces])
            for pieces in (source_pieces, target_pieces)
        )

    def __len__(self) -> int:
        return len(self.words)

    def digest(self) -> str:
        """A hash of all links: training resumes only on those it began with."""
        arrays = (self.offsets, self.links)
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

    def matrix(self, row: int, source: Ids, target: Ids) -> npt.NDArray[np.float32]:
        """What share of each target token comes from each source token, (T, S), for a pair's ids.

        A row sums to 1, or to 0 where its token is linked to nothing.
        """
        if not self.words_match(row, source, target):
            return np.zeros((len(target), len(source)), dtype=np.float32)
        links = self.links[self.offsets[row] : self.offsets[row + 1]]
        linked = np.zeros((self.words[row, 1], self.words[row, 0]), dtype=np.float32)
        linked[links[:, 1], links[:, 0]] = 1
        shares = linked[_places(self.target_begins[target])][:, _places(self.source_begins[source])]
        return cast(
            npt.NDArray[np.float32], shares / np.maximum(shares.sum(axis=1, keepdims=True), 1)
        )

    def words_match(self, row: int, source: Ids, target: Ids) -> bool:
        """Whether the pieces of a pair make up as many words as spaces divide."""
        found = (
            _places(self.source_begins[source])[-1] + 1,
            _places(self.target_begins[target])[-1] + 1,
        )
        return found == tuple(self.words[row])


def _places(begins: npt.NDArray[np.bool_]) -> Ids:
    """The place of the word that each piece of a sentence belongs to."""
    places = begins.cumsum()
    return cast(Ids, places - places[0])
