"""Word alignments of a corpus, and the alignment of its tokens that follows from them.

They are read in Pharaoh format, which aligners such as fast_align write: a line for each sentence
pair, with links `i-j` between word i of the source and word j of the target, counted from 0. Words
are what aligners see: they are separated by ASCII white space, so that a no-break space is part of
a word. A tokenizer may divide such a word; all pieces of linked words are linked.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from seq2seq_cli.deferred import dataclass, pattern
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import display_name
from seq2seq_cli.messages import Warn, counted
from seq2seq_cli.padding import Ids, Indices
from seq2seq_cli.symbols import WORD_START
from seq2seq_cli.text import read_lines

Normalize = Callable[[str], str]  # a line as its tokenizer sees it
Links = list[tuple[int, int]]  # (word of the source, word of the target), from 0
LONGEST_LINK = 20  # characters
LINES_NAMED = 5  # of lines with the same fault
ASCII_SPACE = pattern("[ \t\v\f\r]+")


@dataclass(frozen=True)
class PairAlignment:
    """The word alignment of one sentence pair."""

    links: Links
    words: tuple[int, int]  # numbers of words of source and target
    # For each word of source and target the number of words that its tokenizer makes of it, where
    # one of them is not 1
    divided: tuple[list[int], list[int]] | None = None


def aligned_words(line: str) -> list[str]:
    """The words of a line as aligners see them, between ASCII white space."""
    return [word for word in ASCII_SPACE.split(line) if word]


def read_alignments(
    files: Sequence[Path],
    pairs: Iterable[tuple[str, str]],
    warn: Warn,
    normalizers: tuple[Normalize, Normalize] | None = None,
) -> Iterator[PairAlignment]:
    """Yield the alignment of each sentence pair; the files follow each other.

    `normalizers` of source and target say how many words the tokenizers make of a word. A line with
    a link to a word that exists only if other spaces, such as no-break spaces, separate words too
    does not count words as this module does: it has no links here, and such lines are counted in
    one warning. Raises InputError, with file and line number, for text that is not a link or a link
    to a word that does not exist, and if there are more or fewer lines than pairs.
    """
    lines = chain.from_iterable(_numbered_lines(file, warn) for file in files)
    count_parts = None if normalizers is None else tuple(map(_word_counter, normalizers))
    counted_otherwise: list[str] = []  # the lines, the first of them with their names
    for count, (found, pair) in enumerate(zip_longest(lines, pairs)):
        if found is None or pair is None:
            names = " + ".join(display_name(file) for file in files)
            more, fewer = ("pairs", "lines") if found is None else ("lines", "pairs")
            raise InputError(
                f"{names}: there are {count:,} {fewer} but more {more}; line k must align pair k "
                "of data.source and data.target"
            )
        where, line = found
        source, target = map(aligned_words, pair)
        words = len(source), len(target)
        most = len(pair[0].split()), len(pair[1].split())
        links = _parse_links(where, line, *map(max, words, most))
        if any(link[side] >= words[side] for link in links for side in (0, 1)):
            counted_otherwise.append(where if len(counted_otherwise) < LINES_NAMED else "")
            links = []
        divided = None
        if count_parts is not None:
            numbers = list(map(count_parts[0], source)), list(map(count_parts[1], target))
            divided = numbers if any(n != 1 for side in numbers for n in side) else None
        yield PairAlignment(links, words, divided)
    if counted_otherwise:
        warn(_counted_otherwise(counted_otherwise))


def _word_counter(normalize: Normalize) -> Callable[[str], int]:
    """A function that says how many words a tokenizer makes of a word between ASCII spaces."""

    @lru_cache(1 << 16)
    def count(word: str) -> int:
        if word.isascii() and word.isprintable():
            return 1
        return sum(1 for part in normalize(word).split(" ") if part)

    return count


def _counted_otherwise(lines: Sequence[str]) -> str:
    """The warning about lines whose aligner separated words at other spaces too."""
    named = "; ".join(lines[:LINES_NAMED])
    more = f" and {len(lines) - LINES_NAMED:,} more" if len(lines) > LINES_NAMED else ""
    return (
        f"{named}{more}: {counted(len(lines), 'line')} with links to words that exist only if "
        "no-break or other non-ASCII spaces separate words; here only ASCII spaces do, as for most "
        "aligners, so these pairs are not guided; replace such spaces by plain ones and align the "
        "text again"
    )


def _numbered_lines(file: Path, warn: Warn) -> Iterator[tuple[str, str]]:
    """Yield each line of a file after its name and number."""
    name = display_name(file)
    for number, line in enumerate(read_lines(file, warn), start=1):
        yield f"{name}, line {number}", line


def _parse_links(where: str, line: str, source_words: int, target_words: int) -> Links:
    """Read the links of a line, which must be between existing words."""
    links: Links = []
    for text in line.split():
        source, dash, target = text.partition("-")
        if not (dash and source.isdecimal() and target.isdecimal() and len(text) < LONGEST_LINK):
            raise InputError(
                f"{where}: {text[:LONGEST_LINK]} is not a link; write source-target, words counted "
                "from 0, as in 0-0 1-2"
            )
        for side, word, count in (
            ("source", source, source_words),
            ("target", target, target_words),
        ):
            if int(word) >= count:
                last = f"whose last word is {count - 1}" if count else "which has none"
                raise InputError(
                    f"{where}: {text} links word {word} of the {side}, {last}; words are counted "
                    "from 0"
                )
        links.append((int(source), int(target)))
    return links


@dataclass(frozen=True)
class LinkedWords:
    """The links of a pair as an array (n, 2), and the words of both sides."""

    links: Indices
    words: tuple[int, int]  # numbers of words between ASCII spaces
    divided: tuple[Indices, Indices]  # for each word of the tokenizer, the word that it is part of


class Alignments:
    """The word alignments of many sentence pairs, in flat arrays."""

    def __init__(
        self,
        pairs: Iterable[PairAlignment],
        source_pieces: Sequence[str],
        target_pieces: Sequence[str],
    ) -> None:
        """The pieces are the vocabularies of both sides, which tell where words begin."""
        # Arrays of machine integers, since the pairs may not fit in memory as objects.
        links, words, offsets = array("i"), array("i"), array("q", [0])
        # Few rows: for each side, the word between ASCII spaces of each word of the tokenizer
        self.divided: dict[int, tuple[Indices, Indices]] = {}
        for row, pair in enumerate(pairs):
            if pair.divided is not None:
                source, target = (np.repeat(np.arange(len(n)), n) for n in pair.divided)
                self.divided[row] = source, target
            links.extend(chain.from_iterable(pair.links))
            words.extend(pair.words)
            offsets.append(len(links) // 2)
        self.links = np.array(links, dtype=np.int32).reshape(-1, 2)
        self.words = np.array(words, dtype=np.int32).reshape(-1, 2)
        self.offsets = np.array(offsets, dtype=np.int64)
        self.source_starts_word, self.target_starts_word = (
            np.array([piece.startswith(WORD_START) for piece in pieces])
            for pieces in (source_pieces, target_pieces)
        )

    def __len__(self) -> int:
        return len(self.words)

    def digest(self) -> str:
        """A hash of all links: training resumes only with those it began with."""
        arrays = (self.offsets, self.links)
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

    def pair(self, row: int) -> LinkedWords:
        """The links and words of one pair."""
        source, target = self.words[row].tolist()
        return LinkedWords(
            self.links[self.offsets[row] : self.offsets[row + 1]],
            (source, target),
            self.divided.get(row) or (np.arange(source), np.arange(target)),
        )

    def matrix(self, row: int, source: Ids, target: Ids) -> npt.NDArray[np.float32]:
        """The token alignment (T, S) of a pair: the share of each source token in a target token.

        A row sums to 1, or to 0 if its token is not linked. All of it is 0 if the words of the
        pair do not match, see `words_match`.
        """
        if not self.words_match(row, source, target):
            return np.zeros((len(target), len(source)), dtype=np.float32)
        pair = self.pair(row)
        linked = np.zeros((pair.words[1], pair.words[0]), dtype=np.float32)
        linked[pair.links[:, 1], pair.links[:, 0]] = 1
        source_words = pair.divided[0][_word_indices(self.source_starts_word[source])]
        target_words = pair.divided[1][_word_indices(self.target_starts_word[target])]
        shares = linked[target_words][:, source_words]
        return cast(
            npt.NDArray[np.float32], shares / np.maximum(shares.sum(axis=1, keepdims=True), 1)
        )

    def words_match(self, row: int, source: Ids, target: Ids) -> bool:
        """Whether the pieces of a pair make up as many words as its tokenizers do of its text.

        They do not if an alignment was read without knowing how the tokenizers normalise, or if
        they normalise a word otherwise among others than alone.
        """
        found = (
            _word_indices(self.source_starts_word[source])[-1] + 1,
            _word_indices(self.target_starts_word[target])[-1] + 1,
        )
        return found == tuple(map(len, self.pair(row).divided))


def _word_indices(starts_word: npt.NDArray[np.bool_]) -> Indices:
    """The index of the word that each piece of a sentence belongs to."""
    indices = starts_word.cumsum()
    return cast(Indices, indices - indices[0])
