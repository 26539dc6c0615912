"""The likeliest translations of each source token, learned from sentence pairs by IBM model 1.

Brown et al. 1993: every target token comes from one token of the source or from the null token;
expectation maximisation finds the translation probabilities.
"""

import numpy as np
import numpy.typing as npt

from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.padding import Ids, Indices
from seq2seq_cli.symbols import PAD

Floats = npt.NDArray[np.float64]

MOST_COOCCURRENCES = 10_000_000  # to learn from; more hardly change the likeliest translations
ITERATIONS = 5
NULL_TOKEN = PAD  # the source token of target tokens that come from no word of the source


def likeliest_translations(
    pairs: TokenPairs, source_size: int, target_size: int, count: int
) -> npt.NDArray[np.int32]:
    """Return the likeliest target ids of each source id, best first, as (source_size, count).

    0 stands where a source id has fewer translations. Sizes are those of the vocabularies.
    """
    source, target, group_starts = _cooccurrences(pairs)
    if source_size * target_size >= 1 << 31:  # below, 32 bits suffice, in half the memory
        source = source.astype(np.int64)
    keys, key_index = _unique(source * target_size + target)
    key_source = keys // target_size
    probability = np.ones(len(keys))
    group_lengths = np.diff(np.append(group_starts, len(key_index)))
    for _ in range(ITERATIONS):
        each = probability[key_index]
        shares = each / np.repeat(np.add.reduceat(each, group_starts), group_lengths)
        expected = np.bincount(key_index, shares, len(keys))
        totals = np.bincount(key_source, expected, source_size)
        probability = expected / totals[key_source]
    return _best(key_source, keys % target_size, probability, source_size, count)


def _cooccurrences(pairs: TokenPairs) -> tuple[Ids, Ids, Indices]:
    """Combine each target token of the pairs with each source token of its pair and NULL_TOKEN.

    Returns source ids, target ids, and the start of the group of each target token.
    """
    sizes = pairs.target.lengths.astype(np.int64) * (pairs.source.lengths + 1)
    rows = np.arange(len(pairs))
    if sizes.sum() > MOST_COOCCURRENCES:  # take every nth pair of the whole corpus
        step = int(np.ceil(sizes.sum() / MOST_COOCCURRENCES))
        rows = rows[::step]
    total = int(sizes[rows].sum())
    sources, targets = np.empty(total, dtype=np.int32), np.empty(total, dtype=np.int32)
    start = 0
    for source, target in pairs.take(rows):
        width, stop = len(source) + 1, start + (len(source) + 1) * len(target)
        groups = sources[start:stop].reshape(-1, width)
        groups[:, :-1], groups[:, -1] = source, NULL_TOKEN
        targets[start:stop] = np.repeat(target, width)
        start = stop
    lengths = np.repeat(pairs.source.lengths[rows] + 1, pairs.target.lengths[rows])
    return sources, targets, np.cumsum(lengths, dtype=np.int64) - lengths


def _unique(keys: Ids) -> tuple[Ids, npt.NDArray[np.int32]]:
    """Return the different keys in ascending order, and the index of each given key among them."""
    order = np.argsort(keys)
    ordered = keys[order]
    is_new = np.diff(ordered, prepend=-1) > 0
    index = np.empty(len(keys), dtype=np.int32)
    index[order] = np.cumsum(is_new, dtype=np.int32) - 1
    return ordered[is_new], index


def _best(
    source: Ids, target: Ids, probability: Floats, source_size: int, count: int
) -> npt.NDArray[np.int32]:
    """Put the likeliest target ids of each source id into a table (source_size, count)."""
    order = np.lexsort((target, -probability, source))
    source, target = source[order], target[order]
    first = np.searchsorted(source, np.arange(source_size))
    rank = np.arange(len(source)) - first[source]
    table = np.zeros((source_size, count), dtype=np.int32)
    is_best = rank < count
    table[source[is_best], rank[is_best]] = target[is_best]
    return table
