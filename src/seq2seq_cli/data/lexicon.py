"""Which target tokens translate which source tokens, learned from sentence pairs (IBM model 1).

Brown et al. 1993: every target token comes from one token of the source, or from none; whose
probability is found by expectation maximisation.
"""

import numpy as np
import numpy.typing as npt

from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.padding import Ids

Floats = npt.NDArray[np.float64]

MOST_COOCCURRENCES = 10_000_000  # learned from; more pairs change the likeliest few hardly
ITERATIONS = 5
NOBODY = 0  # the source token, PAD, of target tokens that come from none


def likeliest_translations(
    pairs: TokenPairs, source_size: int, target_size: int, count: int
) -> npt.NDArray[np.int32]:
    """For each source id the `count` likeliest target ids, best first; 0 where there are fewer."""
    source, target, group_starts = _cooccurrences(pairs)
    if source_size * target_size >= 1 << 31:  # else narrow numbers do, in half the memory
        source = source.astype(np.int64)
    keys, place = _numbered(source * target_size + target)
    key_source = keys // target_size
    probability = np.ones(len(keys))
    group_lengths = np.diff(np.append(group_starts, len(place)))
    for _ in range(ITERATIONS):
        each = probability[place]
        shares = each / np.repeat(np.add.reduceat(each, group_starts), group_lengths)
        expected = np.bincount(place, shares, len(keys))
        totals = np.bincount(key_source, expected, source_size)
        probability = expected / totals[key_source]
    return _best(key_source, keys % target_size, probability, source_size, count)


def _cooccurrences(pairs: TokenPairs) -> tuple[Ids, Ids, Ids]:
    """Each target token of the pairs with each source token beside it, and with NOBODY.

    Returns source ids, target ids, and where the group of each target token begins.
    """
    sizes = pairs.target.lengths.astype(np.int64) * (pairs.source.lengths + 1)
    rows = np.arange(len(pairs))
    if sizes.sum() > MOST_COOCCURRENCES:  # evenly from the whole corpus
        step = int(np.ceil(sizes.sum() / MOST_COOCCURRENCES))
        rows = rows[::step]
    total = int(sizes[rows].sum())
    sources, targets = np.empty(total, dtype=np.int32), np.empty(total, dtype=np.int32)
    place = 0
    for source, target in pairs.take(rows):
        width, stop = len(source) + 1, place + (len(source) + 1) * len(target)
        beside = sources[place:stop].reshape(-1, width)
        beside[:, :-1], beside[:, -1] = source, NOBODY
        targets[place:stop] = np.repeat(target, width)
        place = stop
    lengths = np.repeat(pairs.source.lengths[rows] + 1, pairs.target.lengths[rows])
    return sources, targets, np.cumsum(lengths, dtype=np.int64) - lengths


def _numbered(keys: Ids) -> tuple[Ids, npt.NDArray[np.int32]]:
    """The different keys in ascending order, and the place of each given key among them."""
    order = np.argsort(keys)
    ordered = keys[order]
    is_new = np.diff(ordered, prepend=-1) > 0
    place = np.empty(len(keys), dtype=np.int32)
    place[order] = np.cumsum(is_new, dtype=np.int32) - 1
    return ordered[is_new], place


def _best(
    source: Ids, target: Ids, probability: Floats, source_size: int, count: int
) -> npt.NDArray[np.int32]:
    order = np.lexsort((target, -probability, source))
    source, target = source[order], target[order]
    first = np.searchsorted(source, np.arange(source_size))
    rank = np.arange(len(source)) - first[source]
    table = np.zeros((source_size, count), dtype=np.int32)
    kept = rank < count
    table[source[kept], rank[kept]] = target[kept]
    return table
