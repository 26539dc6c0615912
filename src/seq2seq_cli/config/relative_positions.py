"""Groups of distances between tokens, for relative positions (Raffel 2020).

The nearer half of the groups of a direction are single distances. The others are ranges, each wider
than the one before it by the same factor, and the last one has no end.
"""

import math
from functools import lru_cache


@lru_cache(maxsize=32)
def source_buckets(length: int, buckets: int, distance: int) -> tuple[int, ...]:
    """The groups of the offsets 1 - length to length - 1 from a token to the one it looks at."""
    half = buckets // 2
    groups = [_bucket(offset, half, distance) for offset in range(length)]
    return (*reversed(groups), *(half + group for group in groups[1:]))


@lru_cache(maxsize=32)
def target_buckets(length: int, buckets: int, distance: int) -> tuple[int, ...]:
    """The groups of the offsets 1 - length to 0: no token looks at those after it."""
    return tuple(_bucket(offset, buckets, distance) for offset in reversed(range(length)))


def _bucket(offset: int, buckets: int, distance: int) -> int:
    single = buckets // 2
    if offset < single:
        return offset
    share = math.log(offset / single) / math.log(distance / single)
    return min(buckets - 1, single + int(share * (buckets - single)))
