"""Text that is too large to store: read as it is needed, a part at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from seq2seq_cli.config.settings import DataConfig
from seq2seq_cli.data.parallel import Corpus, is_blank, nothing_in
from seq2seq_cli.data.token_pairs import EndOfDataError, Sentences, TokenPairs
from seq2seq_cli.data.token_store import DataReport, Recipe, refuse_nothing
from seq2seq_cli.text import Warn

Lines = list[tuple[str, str]]


@dataclass
class _Reader:
    """Reads a corpus again and again, so many pairs at a time."""

    corpus: Corpus
    pairs: int
    warn: Warn
    left: Iterator[tuple[str, str]] | None = None  # of this reading; None: not begun

    def read(self, lines: Lines | None = None) -> Lines:
        """The next pairs, after those given: fewer where a pipe ends, and then none."""
        lines = lines or []
        while len(lines) < self.pairs:
            begins = self.left is None
            more = self.read_on(self.pairs - len(lines))
            lines += more
            if len(lines) < self.pairs and ((begins and not more) or not self.corpus.is_kept()):
                break
        return lines

    def read_on(self, count: int) -> Lines:
        """So many pairs, or all that this reading of the corpus has left."""
        if self.left is None:
            self.left = self.corpus.pairs(self.warn)
        lines = list(islice(self.left, count))
        if len(lines) < count and self.corpus.is_kept():
            self.left = None
        return lines


@dataclass
class Stream:
    """Sentence pairs of corpora side by side; part k is a function of k and of the text.

    A part has `data.stream_pairs`, or, where that is more than there are, all pairs of the corpus
    that lasts longest, once. To go on from part k the parts before it are read, but not tokenised.
    """

    corpora: Sequence[Corpus]
    data: DataConfig
    warn: Warn
    pairs: int = field(init=False)  # of a part
    first: Lines = field(init=False)  # the first part, which tokenizers are learned from

    def __post_init__(self) -> None:
        weights = self.data.weights or (1.0,) * len(self.corpora)
        shares = [weight / sum(weights) for weight in weights]
        self.pairs = self.data.stream_pairs
        self._readers = [
            _Reader(corpus, self._pairs_of(share), self.warn)
            for corpus, share in zip(self.corpora, shares, strict=True)
        ]
        begun = [reader.read_on(reader.pairs) for reader in self._readers]
        if any(begun) and all(reader.left is None for reader in self._readers):
            once = max(len(lines) / share for lines, share in zip(begun, shares, strict=True))
            self.pairs = round(once)
            for reader, share in zip(self._readers, shares, strict=True):
                reader.pairs = self._pairs_of(share)
        self.first = [
            pair
            for reader, lines in zip(self._readers, begun, strict=True)
            for pair in reader.read(lines)
        ]
        if all(is_blank(*pair) for pair in self.first):
            raise nothing_in(self.corpora, len(self.first))

    def _pairs_of(self, share: float) -> int:
        return max(1, round(self.pairs * share))

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

    def pairs_for_epoch(self, seed: int, epoch: int) -> TokenPairs:
        """The pairs of a part. Raises EndOfDataError where a pipe has ended."""
        if epoch == 0:
            return self.first.pairs_for_epoch(seed, epoch)
        while self._parts < epoch:
            self._next()
        return self._tokenised(self._next())[0].pairs_for_epoch(seed, epoch)

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
            Sentences.from_arrays([chunk.source for chunk in chunks]),
            Sentences.from_arrays([chunk.target for chunk in chunks]),
        )
        pairs = TokenPairs(*sides)
        pairs.sampler = self._recipe.sampler()
        return pairs, report
