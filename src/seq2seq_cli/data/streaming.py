"""Text that is too large to store: read as it is needed, one portion for each epoch."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import field
from itertools import chain, islice
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.data.pair_tokenizer import (
    ARRAYS,
    DataReport,
    Lines,
    PairTokenizer,
    TokenisedChunk,
    check_pairs_left,
    numbered_chunks,
)
from seq2seq_cli.data.parallel import Corpus, is_blank, no_pairs_error
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import EndOfDataError, TokenPairs
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.messages import Warn, ignore_warning

Portion = list[Lines]  # of each corpus


@dataclass
class _Reader:
    """Reads a corpus again and again, a number of pairs at a time."""

    corpus: Corpus
    pairs: int  # to read at a time
    warn: Warn
    remaining: Iterator[tuple[str, str]] | None = None  # of this pass; None: it has not begun

    def read(self, lines: Lines | None = None) -> Lines:
        """Return the next pairs, after those given: fewer where a pipe ends, and then none."""
        lines = lines or []
        while len(lines) < self.pairs:
            begins = self.remaining is None
            more = self.read_on(self.pairs - len(lines))
            lines += more
            is_empty = begins and not more
            if len(lines) < self.pairs and (is_empty or not self.corpus.can_be_reread()):
                break
        return lines

    def read_on(self, count: int) -> Lines:
        """Return `count` pairs, or all that remain of this pass over the corpus."""
        if self.remaining is None:
            self.remaining = self.corpus.pairs(self.warn)
        lines = list(islice(self.remaining, count))
        if len(lines) < count and self.corpus.can_be_reread():
            self.remaining = None
            self.warn = ignore_warning  # the next pass has nothing new to say
        return lines


@dataclass
class Stream:
    """Sentence pairs of several corpora side by side, read in portions.

    Portion k is a function of k and the text. A portion has `data.stream_pairs` pairs; if there are
    fewer, it has all pairs of the corpus that lasts longest, once. To resume at portion k, the
    portions before it are read but not tokenised.
    """

    corpora: Sequence[Corpus]
    data: DataConfig
    warn: Warn
    pairs: int = field(init=False)  # of a portion
    first: Portion = field(init=False)  # the first one, which tokenizers are learned from

    def __post_init__(self) -> None:
        weights = self.data.weights or (1.0,) * len(self.corpora)
        shares = [weight / sum(weights) for weight in weights]
        self.pairs = self.data.stream_pairs
        self._readers = [
            _Reader(corpus, self._pairs_of(share), self.warn)
            for corpus, share in zip(self.corpora, shares, strict=True)
        ]
        begun = [reader.read_on(reader.pairs) for reader in self._readers]
        if any(begun) and all(reader.remaining is None for reader in self._readers):
            longest = max(len(lines) / share for lines, share in zip(begun, shares, strict=True))
            self.pairs = round(longest)
            for reader, share in zip(self._readers, shares, strict=True):
                reader.pairs = self._pairs_of(share)
        self.first = [
            reader.read(lines) for reader, lines in zip(self._readers, begun, strict=True)
        ]
        if all(is_blank(*pair) for lines in self.first for pair in lines):
            raise no_pairs_error(self.corpora, sum(map(len, self.first)))

    def _pairs_of(self, share: float) -> int:
        return max(1, round(self.pairs * share))

    def read(self) -> Portion:
        """Return the next portion, which has no pairs once all pipes have ended."""
        return [reader.read() for reader in self._readers]

    def lines(self, sides: Sequence[int]) -> Iterator[str]:
        """Yield the lines of the first portion: these sides, 0 source and 1 target, in turn."""
        pairs = list(chain.from_iterable(self.first))
        return (pair[side] for side in sides for pair in pairs if not is_blank(*pair))

    def tokenise(
        self, tokenizer: PairTokenizer, processes: "Processes | None" = None
    ) -> "StreamedPairs":
        """Return the pairs as tokens; several processes tokenise a part of each portion each."""
        return StreamedPairs(self, tokenizer, processes)


class Processes(Protocol):
    """The processes of a training. All call these methods in the same order."""

    @property
    def rank(self) -> int:
        """The number of this process."""

    @property
    def world_size(self) -> int:
        """How many processes there are."""

    def refuse(self, message: str) -> NoReturn:
        """End all processes with a message that one of them says."""

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""

    def gather_numbers(self, arrays: Sequence[NDArray[np.int32]]) -> list[list[NDArray[np.int32]]]:
        """The arrays of all processes, by rank."""


class StreamedPairs:
    """A stream as tokens: each of its portions is an epoch.

    Each of several processes reads the whole stream, tokenises its share of each portion, and takes
    the rest from the others.
    """

    def __init__(
        self, stream: Stream, tokenizer: PairTokenizer, processes: Processes | None = None
    ) -> None:
        """Raises InputError if no pair of the first portion can be used."""
        self._stream = stream
        self._tokenizer = tokenizer
        self._processes = processes
        self._portions_read = 1
        self.first, self.report = self._tokenise(stream.first)
        check_pairs_left(stream.corpora, tokenizer.data, self.report)
        self._stream.first = []

    def pairs_for_epoch(self, seed: int, epoch: int) -> TokenPairs:
        """Return the pairs of a portion: none, with a warning, if none of them can be used.

        Raises EndOfDataError once all pipes have ended. If a process has read other text, all end.
        """
        if epoch == 0:
            return self.first.pairs_for_epoch(seed, epoch)
        while self._portions_read < epoch:
            self._next()
        pairs, report = self._tokenise(self._next())
        if not report.used:
            self._stream.warn(
                f"portion {epoch + 1:,} of the stream is left out, since none of its "
                f"{report.read:,} pairs can be used: {report.blank:,} have a blank side, "
                f"{report.too_long:,} are longer than data.max_length, {report.uneven:,} beyond "
                "data.max_length_ratio"
            )
        return pairs.pairs_for_epoch(seed, epoch)

    def _next(self) -> Portion:
        self._portions_read += 1
        portion = self._stream.read()
        if not any(portion):
            raise EndOfDataError("the stream has come to its end")
        return portion

    def _tokenise(self, portion: Portion) -> tuple[TokenPairs, DataReport]:
        if self._processes is None or self._processes.world_size == 1:
            chunks = [chunk for lines in portion for chunk in self._tokenizer.tokenise(lines)]
        else:
            chunks = self._tokenise_together(portion, self._processes)
        report = sum((chunk.report for chunk in chunks), start=DataReport())
        pairs = TokenPairs(
            Sentences.from_arrays([chunk.source for chunk in chunks]),
            Sentences.from_arrays([chunk.target for chunk in chunks]),
            line_numbers=[chunk.line_numbers for chunk in chunks],
        )
        pairs.joiner = self._tokenizer.pair_joiner()
        pairs.sampler = self._tokenizer.subword_sampler()
        pairs.form = self._tokenizer.form
        return pairs, report

    def _tokenise_together(self, portion: Portion, processes: Processes) -> list[TokenisedChunk]:
        """The chunks of a portion, of which this process has tokenised each N-th."""
        chunks = [each for lines in portion for each in numbered_chunks(lines)]
        text = hashlib.sha256()
        for _, lines in chunks:
            joined = "\n".join(chain.from_iterable(lines))
            text.update(joined.encode("utf-8", "surrogatepass"))
        digests = processes.gather(text.digest())
        for rank, digest in enumerate(digests):
            if digest != digests[0]:
                processes.refuse(
                    f"the stream that process {rank} reads is not that of process 0; let all have "
                    "the same files"
                )
        share = chunks[processes.rank :: processes.world_size]
        own = [self._tokenizer.tokenise_chunk(lines, first) for first, lines in share]
        reports = processes.gather([chunk.report for chunk in own])
        numbers = processes.gather_numbers([each for chunk in own for each in chunk.arrays()])
        found = []
        for index in range(len(chunks)):
            number, rank = divmod(index, processes.world_size)
            arrays = numbers[rank][ARRAYS * number : ARRAYS * (number + 1)]
            found.append(TokenisedChunk.from_arrays(reports[rank][number], arrays))
        return found
