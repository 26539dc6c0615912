"""Tokenised sentence pairs, and the batches made of them."""

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from seq2seq_cli.data.alignments import Alignments
from seq2seq_cli.data.batch import Batch, pad_alignments
from seq2seq_cli.data.sentence_arrays import Sentences, fingerprint_of
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.padding import Ids, Indices, pad
from seq2seq_cli.symbols import BOS, EOS
from seq2seq_cli.tokenization.sentence_form import SentenceForm

LENGTH_RATIO_PAIRS = 1000  # pairs that are sampled to measure how much longer sampling makes them
RELEASED_ROWS = 512  # pairs are read from a mapped file before its pages in memory are freed


class TrainingPairs(Protocol):
    """The sentence pairs to train on, which may be the same in every epoch or not."""

    def pairs_for_epoch(self, seed: int, epoch: int) -> "TokenPairs":
        """Return the pairs of an epoch, a pure function of seed and epoch.

        Raises EndOfDataError if there is no such epoch.
        """


class EndOfDataError(Exception):
    """There are no more pairs to train on: the message says why."""


@dataclass(frozen=True)
class Mixture:
    """Shares of several corpora in an epoch. An epoch has as many pairs as all corpora together."""

    sizes: tuple[int, ...]  # pairs of each corpus
    shares: tuple[float, ...]  # of each corpus in an epoch; they sum to 1

    @classmethod
    def from_weights(
        cls, sizes: Sequence[int], weights: Sequence[float], temperature: float
    ) -> "Mixture":
        """Shares proportional to weight * size ** (1 / temperature) (Arivazhagan et al. 2019).

        With temperature 1 and equal weights every pair comes once an epoch. The higher the
        temperature, the larger the shares of small corpora, up to an equal share for each corpus.
        """
        scaled = [w * size ** (1 / temperature) for w, size in zip(weights, sizes, strict=True)]
        return cls(tuple(sizes), tuple(each / sum(scaled) for each in scaled))

    def pair_counts(self, random: np.random.Generator) -> Indices:
        """Draw how often each pair comes in an epoch: within a corpus it differs by at most 1."""
        counts = []
        for size, share in zip(self.sizes, self.shares, strict=True):
            whole, rest = divmod(max(1, round(share * sum(self.sizes))), size)
            count = np.full(size, whole, dtype=np.int32)
            count[random.choice(size, rest, replace=False, shuffle=False)] += 1
            counts.append(count)
        return np.concatenate(counts)


# Takes the source ids and target ids of sentence pairs and a seed; returns other segmentations of
# the same text, as source ids and target ids.
SubwordSampler = Callable[[Sequence[Ids], Sequence[Ids], int], tuple[Sequence[Ids], Sequence[Ids]]]


class Joiner(Protocol):
    """Joins neighbouring pairs into longer ones."""

    def join(self, pairs: "TokenPairs", seed: int, epoch: int) -> "TokenPairs":
        """Return the pairs of an epoch, a pure function of the arguments."""


class TokenPairs:
    """The tokenised sentence pairs of a corpus.

    `alignments` are word alignments of all pairs, `joiner` joins some pairs with their neighbours
    in each epoch, `sampler` draws another segmentation of each sentence in each epoch, `form` says
    what models read of a source; all are optional and set after construction.
    """

    def __init__(
        self,
        source: Sentences,
        target: Sentences,
        *,
        fingerprint: str = "",
        line_numbers: Sequence[Indices] = (),
        mixture: Mixture | None = None,
    ) -> None:
        """Sentence k of the source belongs to sentence k of the target.

        `fingerprint` saves computing it again, if it is known. `line_numbers` are the numbers, from
        0, of the corpus lines that the pairs come from, as several arrays in a row.
        """
        self.source = source
        self.target = target
        self.line_numbers = line_numbers
        self.mixture = mixture
        self.alignments: Alignments | None = None
        self.joiner: Joiner | None = None
        self.sampler: SubwordSampler | None = None
        self.form = SentenceForm()
        self._seed_and_epoch: tuple[int, int] = (0, 0)
        self._fingerprint = fingerprint

    @classmethod
    def concatenate(
        cls, corpora: Sequence["TokenPairs"], mixture: Mixture | None = None
    ) -> "TokenPairs":
        """The pairs of several corpora, one corpus after the other."""
        if len(corpora) == 1:
            return corpora[0]
        prints = "".join(each.fingerprint() for each in corpora)
        return cls(
            Sentences.concatenate([each.source for each in corpora]),
            Sentences.concatenate([each.target for each in corpora]),
            fingerprint=hashlib.sha256(prints.encode()).hexdigest(),
            line_numbers=[lines for each in corpora for lines in each.line_numbers],
            mixture=mixture,
        )

    def pairs_for_epoch(self, seed: int, epoch: int) -> "TokenPairs":
        """The same pairs in every epoch; with a joiner or a sampler, these differ."""
        if self.joiner is None and self.sampler is None:
            return self
        ratio = self.sampling_length_ratio  # computed once, for all copies
        if self.joiner is not None:
            pairs = self.joiner.join(self, seed, epoch)
            pairs.sampling_length_ratio = ratio
        else:
            _ = self.rows_by_length
            pairs = copy.copy(self)
        pairs._seed_and_epoch = (seed, epoch)
        return pairs

    def __len__(self) -> int:
        return len(self.source)

    def fingerprint(self) -> str:
        """A hash of all tokens: training resumes only on the data it began with."""
        if not self._fingerprint:
            self._fingerprint = fingerprint_of(self.source.digest(), self.target.digest())
        return self._fingerprint

    def take(self, rows: Sequence[int] | Indices) -> Iterator[tuple[Ids, Ids]]:
        """Yield source and target ids of these rows, read from a mapped file one by one."""
        for number, row in enumerate(np.asarray(rows).tolist(), start=1):
            yield self.source[row], self.target[row]
            if number % RELEASED_ROWS == 0 or number == len(rows):
                self.source.release()
                self.target.release()

    def batch(self, rows: Sequence[int] | Indices) -> Batch:
        """Make a batch of these rows, padded to the longest."""
        pairs = list(self.take(rows))
        source, target = [one for one, _ in pairs], [other for _, other in pairs]
        if self.sampler is not None:
            sources, targets = self.sampler(source, target, self._sampling_seed(rows))
        else:
            sources, targets = source, target
        matrices = []
        if self.alignments is not None:
            for row, one, other in zip(rows, sources, targets, strict=True):
                matrix = self.alignments.matrix(int(row), one, other)
                matrices.append(self.form.of_row(one, matrix))
        return Batch(
            pad([self.form.array(ids) for ids in sources]),
            pad([np.concatenate(([BOS], ids, [EOS])) for ids in targets]),
            pad_alignments(matrices) if matrices else None,
        )

    def _sampling_seed(self, rows: Sequence[int] | Indices) -> int:
        """The seed for the segmentations of a batch, a function of seed, epoch and rows."""
        numbers = np.array([*self._seed_and_epoch, *rows], dtype=np.int64)
        return int.from_bytes(hashlib.sha256(numbers.tobytes()).digest()[:4])

    @cached_property
    def sampling_length_ratio(self) -> float:
        """Tokens after sampling for each token before, measured on a sample of the pairs."""
        if self.sampler is None or not len(self):
            return 1.0
        pairs = list(self.take(evenly_spaced(len(self), LENGTH_RATIO_PAIRS)))
        plain = [one for one, _ in pairs], [other for _, other in pairs]
        sampled = self.sampler(*plain, 0)
        before, after = (
            sum(len(ids) for side in sides for ids in side) for sides in (plain, sampled)
        )
        return after / before

    @cached_property
    def rows_by_length(self) -> Indices:
        """All rows, sorted by the longer side and then by source length minus target length."""
        source, target = self.source.lengths, self.target.lengths
        longer = np.maximum(source, target)
        span = int(longer.max(initial=0))
        key = longer.astype(np.int64) * (2 * span + 1) + (source - target)
        return np.argsort(key, kind="stable").astype(np.int32)


def evenly_spaced(rows: int, count: int) -> Indices:
    """At most `count` row numbers, evenly spaced from the first to the last of `rows`."""
    return np.linspace(0, rows - 1, min(rows, count)).astype(np.int64)
