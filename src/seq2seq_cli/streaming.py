"""Text that is too large to store: read as it is needed, a part at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from seq2seq_cli.batching import EndOfDataError, Sentences, TokenPairs
from seq2seq_cli.config import DataConfig
from seq2seq_cli.corpus.parallel import Corpus, is_blank, nothing_in
from seq2seq_cli.text import Warn
from seq2seq_cli.token_store import DataReport, Recipe, refuse_nothing

Lines = list[tuple[str, str]]


@dataclass
class _Reader:
    """Reads a corpus again and again, so many pairs at a time."""

    corpus: Corpus
    pairs: int
    warn: Warn
    left: Iterator[tuple[str, str]] | None = None  # of this reading; None: not begun

    def read(self) -> Lines:
        """The next pairs: fewer where a pipe ends, and then none."""
        lines: Lines = []
        while len(lines) < self.pairs:
            begins = self.left is None
            if self.left is None:
                self.left = self.corpus.pairs(self.warn)
            more = list(islice(self.left, self.pairs - len(lines)))
            lines += more
            if len(lines) < self.pairs:
                if (begins and not more) or not self.corpus.is_kept():
                    break
                self.left = None
        return lines


@dataclass
class Stream:
    """Sentence pairs of corpora side by side; part k is a function of k and of the text.

    To go on from part k the parts before it are read, but not tokenised.
    """

    corpora: Sequence[Corpus]
    data: DataConfig
    warn: Warn
    first: Lines = field(init=False)  # the first part, which tokenizers are learned from

    def __post_init__(self) -> None:
        weights = self.data.weights or (1.0,) * len(self.corpora)
        self._readers = [
            _Reader(
                corpus, max(1, round(self.data.stream_pairs * weight / sum(weights))), self.warn
            )
            for corpus, weight in zip(self.corpora, weights, strict=True)
        ]
        self.first = self.read()
        if all(is_blank(*pair) for pair in self.first):
            raise nothing_in(self.corpora, len(self.first))

    def read(self) -> Lines:
        """The next part, which is empty where pipes have ended."""
        return [pair for reader in self._readers for pair in reader.read()]

    def lines(self, sides: Sequence[int]) -> Iterator[str]:
        """The first lines of these sides, 0 source and 1 target, one after the other."""
        return (pair[side] for side in sides for pair in self.first if not is_blank(*pair))

    def tokenised(self, recipe: Recipe) -> "StreamedPairs":
        """The pairs as tokens."""
        return StreamedPairs(self, recipe)


class StreamedPairs:
    """A stream as tokens: each of its parts is an epoch."""

    def __init__(self, stream: Stream, recipe: Recipe) -> None:
        """Raises InputError if the first part has no pair that can be used."""
        self._stream = stream
        self._recipe = recipe
        self._parts = 1  # that were read
        self.first, self.report = self._tokenised(stream.first)
        self._stream.first = []

    def at(self, seed: int, epoch: int) -> TokenPairs:
        """The pairs of a part. Raises EndOfDataError where a pipe has ended."""
        if epoch == 0:
            return self.first.at(seed, epoch)
        while self._parts < epoch:
            self._next()
        return self._tokenised(self._next())[0].at(seed, epoch)

    def _next(self) -> Lines:
        self._parts += 1
        lines = self._stream.read()
        if not lines:
            raise EndOfDataError("the stream has come to its end")
        return lines

    def _tokenised(self, lines: Lines) -> tuple[TokenPairs, DataReport]:
        chunks = list(self._recipe.apply(lines))
        report = sum((chunk.report for chunk in chunks), start=DataReport())
        refuse_nothing(self._stream.corpora, self._recipe.data, report)
        sides = (
            Sentences.of_parts([chunk.source for chunk in chunks]),
            Sentences.of_parts([chunk.target for chunk in chunks]),
        )
        pairs = TokenPairs(*sides)
        pairs.sampler = self._recipe.sampler()
        return pairs, report
