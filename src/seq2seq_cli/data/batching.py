"""Token-budget batches of similar length, in an order that depends only on seed and epoch."""

from collections.abc import Iterable, Iterator

import numpy as np

from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.padding import Indices

# Pairs are shuffled within windows of this many batches of similar length. Wider windows would pad
# more; in narrower ones the same pairs would meet in every epoch (recipes/bench/LOG.md).
SHUFFLED_BATCHES = 8


def epoch_batches(pairs: TokenPairs, batch_tokens: int, seed: int, epoch: int) -> list[Indices]:
    """Return the rows of each batch of an epoch: a pure function of the arguments.

    Pairs are sorted by length, so that there is little padding, shuffled among others of similar
    length, split into batches, and the batches are shuffled. Every step is linear in the number of
    pairs and runs in numpy: ten million pairs take about half a second.
    """
    if not len(pairs):  # a portion of a stream without a usable pair
        return []
    random = np.random.Generator(np.random.PCG64([seed, epoch]))
    batch_tokens = max(1, round(batch_tokens / pairs.sampling_length_ratio))
    rows = pairs.rows_by_length.copy()
    if pairs.mixture is not None:
        rows = np.repeat(rows, pairs.mixture.pair_counts(random)[rows])
    blocks = list(_blocks(np.maximum(pairs.source.lengths, pairs.target.lengths)[rows] + 1))
    for block in blocks:
        width = SHUFFLED_BATCHES * max(1, batch_tokens // block.length)
        # A random offset, so that pairs at the ends of windows get other neighbours in each epoch.
        first = block.start - int(random.integers(width))
        for start in range(first, block.stop, width):
            random.shuffle(rows[max(start, block.start) : min(start + width, block.stop)])
    # The first batch is smaller by chance, so that batches end elsewhere in each epoch.
    first_tokens = 1 + int(random.integers(batch_tokens))
    batches = [rows[span] for span in _split_blocks(blocks, batch_tokens, first_tokens)]
    return [batches[index] for index in random.permutation(len(batches)).tolist()]


@dataclass(frozen=True)
class _Block:
    """A range of rows, sorted by length, whose longer side has the same length."""

    start: int
    stop: int
    length: int  # tokens of the longer side, with EOS


def _blocks(lengths: Indices) -> Iterator[_Block]:
    """Yield the blocks of equal values in ascending lengths."""
    starts = np.flatnonzero(np.diff(lengths, prepend=-1)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(lengths)], strict=True):
        yield _Block(start, stop, int(lengths[start]))


def _split_blocks(
    blocks: Iterable[_Block], batch_tokens: int, first_tokens: int
) -> Iterator[slice]:
    """Split rows into batches of at most `batch_tokens` padded tokens, the first `first_tokens`.

    A pair that is longer than that becomes a batch of its own.
    """
    start = stop = 0
    budget = first_tokens
    for block in blocks:
        while start + max(1, budget // block.length) <= block.stop:
            # If the shorter pairs before this block already fill a batch of pairs of this block's
            # length, the batch ends before the block.
            end = max(start + max(1, budget // block.length), block.start)
            yield slice(start, end)
            start, budget = end, batch_tokens
        stop = block.stop
    if start < stop:
        yield slice(start, stop)
