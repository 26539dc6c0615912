"""Token-budget batches of similar length, in an order that only seed and epoch decide."""

import copy
import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq_cli.data.alignments import Alignments
from seq2seq_cli.symbols import BOS, EOS, PAD

Indices = npt.NDArray[np.integer[Any]]
Ids = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float32]

# Pairs change places among so many batches of similar length. More would pad more, and in fewer the
# same pairs would meet in every epoch (recipes/bench/LOG.md).
SHUFFLED_BATCHES = 8

GROWTH_PAIRS = 1000  # are sampled to know how much longer that makes batches
RELEASED_ROWS = 512  # pairs are read from a mapped file before what they mapped is freed


@dataclass(frozen=True)
class Part:
    """Sentences one after the other: sentence k is ids[offsets[k] : offsets[k + 1]]."""

    offsets: Indices
    ids: Ids

    @classmethod
    def of(cls, sentences: Iterable[Sequence[int] | Ids]) -> "Part":
        """Lay sentences one after the other."""
        listed = list(sentences)
        offsets = np.zeros(len(listed) + 1, dtype=np.int64)
        np.cumsum([len(sentence) for sentence in listed], out=offsets[1:])
        return cls(offsets, np.fromiter(chain.from_iterable(listed), np.int32, int(offsets[-1])))

    def __len__(self) -> int:
        return len(self.offsets) - 1


class Sentences:
    """Token ids of many sentences in a few flat arrays, which may be those of a mapped file."""

    def __init__(self, sentences: Iterable[Sequence[int] | Ids]) -> None:
        self._set([Part.of(sentences)], lambda: None)

    @classmethod
    def of_parts(
        cls, parts: Sequence[Part], release: Callable[[], None] = lambda: None
    ) -> "Sentences":
        """Sentences in parts, one after the other; `release` frees what reading maps."""
        made = cls.__new__(cls)
        made._set(parts, release)
        return made

    def _set(self, parts: Sequence[Part], release: Callable[[], None]) -> None:
        self.parts = parts
        self.release = release
        self._starts = list(accumulate((len(part) for part in parts), initial=0))
        lengths = [np.diff(part.offsets).astype(np.int32) for part in parts]
        self.lengths: Indices = np.concatenate(lengths) if parts else np.zeros(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Ids:
        number = bisect_right(self._starts, index) - 1
        part, row = self.parts[number], index - self._starts[number]
        return part.ids[part.offsets[row] : part.offsets[row + 1]]

    def counts(self, size: int) -> Indices:
        """How often each id below `size` occurs."""
        total = np.zeros(size, dtype=np.int64)
        for part in self._read():
            total += np.bincount(part.ids, minlength=size)
        return total

    def digest(self) -> bytes:
        """A hash of all ids and of where sentences end, however they are stored."""
        ends, ids = hashlib.sha256(self.lengths.astype(np.int32).data), hashlib.sha256()
        for part in self._read():
            ids.update(part.ids.astype(np.int32).data)
        return ends.digest() + ids.digest()

    def _read(self) -> Iterator[Part]:
        for part in self.parts:
            yield part
            self.release()


@dataclass(frozen=True)
class Batch:
    """Padded ids: source (B, S) ending in EOS, target (B, T + 1) from BOS to EOS."""

    source: Tensor
    target: Tensor
    alignment: Tensor | None = None  # (B, T, S), see `Alignments.matrix`

    def to(self, device: torch.device) -> "Batch":
        """On a device; from pinned memory while the processor goes on."""
        return self._each(lambda x: x.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """In memory that a GPU reads by itself."""
        return self._each(lambda x: x.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        alignment = change(self.alignment) if self.alignment is not None else None
        return Batch(change(self.source), change(self.target), alignment)

    def target_tokens(self) -> int:
        """Tokens that are predicted, EOS included and PAD not."""
        return int((self.target[:, 1:] != PAD).sum())


class Epochs(Protocol):
    """What is trained on: sentence pairs, the same in each epoch or others."""

    def at(self, seed: int, epoch: int) -> "TokenPairs":
        """The pairs of an epoch, a function of seed and epoch. Raises EndOfDataError for none."""


class EndOfDataError(Exception):
    """There are no more pairs to train on: the message says why."""


@dataclass(frozen=True)
class Mixture:
    """Corpora whose pairs come more or less often than once an epoch, which is as long as ever."""

    sizes: tuple[int, ...]  # pairs
    shares: tuple[float, ...]  # of an epoch; in all 1

    @classmethod
    def of(cls, sizes: Sequence[int], weights: Sequence[float], temperature: float) -> "Mixture":
        """Shares that are weights times sizes to the power 1/temperature (Arivazhagan 2019).

        Temperature 1 with equal weights leaves every pair to come once; the higher it is, the more
        of an epoch small corpora get, up to an equal share.
        """
        parts = [w * size ** (1 / temperature) for w, size in zip(weights, sizes, strict=True)]
        return cls(tuple(sizes), tuple(part / sum(parts) for part in parts))

    def counts(self, random: np.random.Generator) -> Indices:
        """How often each pair comes in an epoch: as often as all of its corpus, or once more."""
        counts = []
        for size, share in zip(self.sizes, self.shares, strict=True):
            whole, rest = divmod(max(1, round(share * sum(self.sizes))), size)
            count = np.full(size, whole, dtype=np.int32)
            count[random.choice(size, rest, replace=False, shuffle=False)] += 1
            counts.append(count)
        return np.concatenate(counts)


# Source and target ids of sentence pairs, and a seed -> other ids for the same text
Sampler = Callable[[Sequence[Ids], Sequence[Ids], int], tuple[Sequence[Ids], Sequence[Ids]]]


class TokenPairs:
    """The tokenised sentence pairs of a corpus."""

    def __init__(
        self,
        source: Sentences,
        target: Sentences,
        fingerprint: str = "",
        lines: Sequence[Indices] = (),
        mixture: Mixture | None = None,
    ) -> None:
        """The sides belong together; the fingerprint is known where it was computed before.

        `lines` are the numbers, from 0, of the lines that the pairs come from, in parts.
        """
        self.source = source
        self.target = target
        self.lines = lines
        self.mixture = mixture
        self.alignments: Alignments | None = None
        self.sampler: Sampler | None = None
        self._epoch: tuple[int, int] = (0, 0)  # seed and number
        self._fingerprint = fingerprint

    @classmethod
    def joined(
        cls, corpora: Sequence["TokenPairs"], mixture: Mixture | None = None
    ) -> "TokenPairs":
        """The pairs of several corpora, one after the other."""
        if len(corpora) == 1:
            return corpora[0]
        prints = "".join(each.fingerprint() for each in corpora)
        sides = (
            joined([each.source for each in corpora]),
            joined([each.target for each in corpora]),
        )
        return cls(*sides, hashlib.sha256(prints.encode()).hexdigest(), mixture=mixture)

    def at(self, seed: int, epoch: int) -> "TokenPairs":
        """These pairs, in each epoch; their tokens differ where they are sampled."""
        if self.sampler is None:
            return self
        _ = self.by_length, self.growth  # found once, and then shared
        found = copy.copy(self)
        found._epoch = (seed, epoch)
        return found

    def __len__(self) -> int:
        return len(self.source)

    def fingerprint(self) -> str:
        """A hash of all tokens: training resumes only on the data it began with."""
        if not self._fingerprint:
            digests = self.source.digest() + self.target.digest()
            self._fingerprint = hashlib.sha256(digests).hexdigest()
        return self._fingerprint

    def take(self, rows: Sequence[int] | Indices) -> Iterator[tuple[Ids, Ids]]:
        """Source and target ids of these rows; those of a mapped file are read when used."""
        for number, row in enumerate(np.asarray(rows).tolist(), start=1):
            yield self.source[row], self.target[row]
            if number % RELEASED_ROWS == 0 or number == len(rows):
                self.source.release()
                self.target.release()

    def batch(self, rows: Sequence[int] | Indices) -> Batch:
        """The pairs of these rows, padded to the longest."""
        pairs = list(self.take(rows))
        source, target = [one for one, _ in pairs], [other for _, other in pairs]
        if self.sampler is not None:
            sources, targets = self.sampler(source, target, self._seed(rows))
        else:
            sources, targets = source, target
        shares = []
        if self.alignments is not None:
            for row, one, other in zip(rows, sources, targets, strict=True):
                shares.append(self.alignments.matrix(int(row), one, other))
        return Batch(
            pad([np.concatenate((ids, [EOS])) for ids in sources]),
            pad([np.concatenate(([BOS], ids, [EOS])) for ids in targets]),
            padded_shares(shares) if shares else None,
        )

    def _seed(self, rows: Sequence[int] | Indices) -> int:
        """What a batch's tokens are drawn with: a function of seed, epoch and rows."""
        numbers = np.array([*self._epoch, *rows], dtype=np.int64)
        return int.from_bytes(hashlib.sha256(numbers.tobytes()).digest()[:4])

    @cached_property
    def growth(self) -> float:
        """How many tokens sampling makes of one, found on some of the pairs."""
        if self.sampler is None or not len(self):
            return 1.0
        pairs = list(self.take(_even(len(self), GROWTH_PAIRS)))
        plain = [one for one, _ in pairs], [other for _, other in pairs]
        drawn = self.sampler(*plain, 0)
        before, after = (sum(len(ids) for side in each for ids in side) for each in (plain, drawn))
        return after / before

    @cached_property
    def by_length(self) -> Indices:
        """All rows, by their longer side and, among equals, by how much the source is longer."""
        source, target = self.source.lengths, self.target.lengths
        longer = np.maximum(source, target)
        span = int(longer.max(initial=0))
        key = longer.astype(np.int64) * (2 * span + 1) + (source - target)
        return np.argsort(key, kind="stable").astype(np.int32)


def _even(rows: int, count: int) -> Indices:
    """At most so many rows, evenly from all."""
    return np.linspace(0, rows - 1, min(rows, count)).astype(np.int64)


def joined(sides: Sequence[Sentences]) -> Sentences:
    """The sentences of several corpora, one after the other."""

    def release() -> None:
        for side in sides:
            side.release()

    return Sentences.of_parts([part for side in sides for part in side.parts], release)


def padded_shares(shares: Sequence[Floats]) -> Tensor:
    """Alignments (T, S) of B pairs as (B, T, S) with room for EOS on both sides, zero elsewhere."""
    longest_target, longest_source = (
        1 + max(each.shape[axis] for each in shares) for axis in (0, 1)
    )
    padded = np.zeros((len(shares), longest_target, longest_source), dtype=np.float32)
    for row, share in enumerate(shares):
        padded[row, : share.shape[0], : share.shape[1]] = share
    return torch.from_numpy(padded)


def pad(sentences: Sequence[Sequence[int] | Ids]) -> Tensor:
    """Ids of B sentences as (B, longest), PAD at the end."""
    longest = max(len(sentence) for sentence in sentences)
    padded = np.full((len(sentences), longest), PAD, dtype=np.int64)
    for row, sentence in enumerate(sentences):
        padded[row, : len(sentence)] = sentence
    return torch.from_numpy(padded)


def split_by_tokens(lengths: Indices, batch_tokens: int) -> list[slice]:
    """Cut sentences, in the order given, into batches of at most `batch_tokens` padded tokens.

    A sentence that is longer than that is a batch of its own.
    """
    batches = []
    start = longest = 0
    for index, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if index > start and longest * (index - start + 1) > batch_tokens:
            batches.append(slice(start, index))
            start, longest = index, length
    batches.append(slice(start, len(lengths)))
    return batches


def epoch_batches(pairs: TokenPairs, batch_tokens: int, seed: int, epoch: int) -> list[Indices]:
    """The rows of each batch of an epoch: a pure function of its arguments.

    Pairs are in the order of their lengths, so that little is padded, change places with others of
    similar length, are cut into batches, and the batches are shuffled. Every step is linear in the
    number of pairs, with few operations of Python: ten million take some half a second.
    """
    random = np.random.Generator(np.random.PCG64([seed, epoch]))
    batch_tokens = max(1, round(batch_tokens / pairs.growth))
    rows = pairs.by_length.copy()
    if pairs.mixture is not None:
        rows = np.repeat(rows, pairs.mixture.counts(random)[rows])
    blocks = list(_blocks(np.maximum(pairs.source.lengths, pairs.target.lengths)[rows] + 1))
    for block in blocks:
        width = SHUFFLED_BATCHES * max(1, batch_tokens // block.length)
        start = block.start - int(random.integers(width))  # other neighbours at each one's ends
        for place in range(start, block.stop, width):
            random.shuffle(rows[max(place, block.start) : min(place + width, block.stop)])
    first = 1 + int(random.integers(batch_tokens))  # so that batches end elsewhere in each epoch
    batches = [rows[part] for part in _cut(blocks, batch_tokens, first)]
    return [batches[index] for index in random.permutation(len(batches)).tolist()]


@dataclass(frozen=True)
class _Block:
    """Pairs in the order of lengths whose longer side is equally long, EOS included."""

    start: int
    stop: int
    length: int


def _blocks(lengths: Indices) -> Iterator[_Block]:
    """The blocks of ascending lengths."""
    starts = np.flatnonzero(np.diff(lengths, prepend=-1)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(lengths)], strict=True):
        yield _Block(start, stop, int(lengths[start]))


def _cut(blocks: Iterable[_Block], batch_tokens: int, first: int) -> Iterator[slice]:
    """Cut blocks into batches of at most `batch_tokens` padded tokens, the first of `first`.

    A pair that is longer than that is a batch of its own.
    """
    start = stop = 0
    budget = first
    for block in blocks:
        while start + max(1, budget // block.length) <= block.stop:
            # Where shorter pairs are as many as there may be of this length, they end before it.
            end = max(start + max(1, budget // block.length), block.start)
            yield slice(start, end)
            start, budget = end, batch_tokens
        stop = block.stop
    if start < stop:
        yield slice(start, stop)
