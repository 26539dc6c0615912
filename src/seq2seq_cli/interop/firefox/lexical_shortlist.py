"""Lexical shortlists of Marian, in both forms, and ours.

Binary, `lex.s2t.bin`, little-endian:

    uint64 magic, checksum, first, best, number of offsets, number of target ids
    uint64 offsets: where the list of each source id begins, and the end of the last
    uint32 target ids

Text, `lex.s2t`: a line "target source probability" for each pair of pieces.

A sentence may be translated with the target ids below `first` and the lists of its source tokens;
where both sides share a vocabulary, with its source tokens too. Marian then adds the ids from
`first` on until their number is a multiple of 8; ours adds none.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from seq2seq_cli.errors import InputError
from seq2seq_cli.padding import Ids
from seq2seq_cli.symbols import PAD, PIECES

MAGIC = 0xF11A48D5013417F5
HEADER = struct.Struct("<6Q")
FIRST, BEST = 100, 100  # Marian's defaults, for the text form
MOST_BITS = (1 << 64) - 1


@dataclass(frozen=True)
class LexicalShortlist:
    """The lists of target ids of each source id, in the ids of another engine."""

    first: int  # target ids below it are on every list
    lists: Sequence[Ids]

    def in_our_ids(self, source: Ids, target: Ids, *, eos: int, shared: bool) -> tuple[Ids, Ids]:
        """The lists as a run folder has them: translations (V, n) and common ids (m,).

        `source` and `target` give the other engine's id of each of our ids, negative where it has
        none; `eos` is its id of the end of a sentence, which is in each source, so that its list is
        on every list.
        """
        ours = np.full(int(target.max(initial=0)) + 1, -1, np.int64)
        ours[target[target >= 0]] = np.flatnonzero(target >= 0)
        every = np.concatenate((np.arange(self.first), self._list(eos)))
        common = _known(ours, every)
        common = np.unique(np.concatenate((np.arange(len(PIECES)), common)))
        rows = []
        for foreign in source:
            row = self._list(int(foreign))
            if shared and foreign >= 0:
                row = np.append(foreign, row)
            known = _known(ours, row)
            rows.append(known[~np.isin(known, common)])
        width = max((len(row) for row in rows), default=0)
        translations = np.full((len(rows), max(width, 1)), PAD, np.int32)
        for index, row in enumerate(rows):
            translations[index, : len(row)] = row
        return translations, common

    def _list(self, foreign: int) -> Ids:
        has_list = 0 <= foreign < len(self.lists)
        return np.asarray(self.lists[foreign] if has_list else (), np.int64)


def _known(ours: Ids, foreign: Ids) -> Ids:
    """Our ids of target ids that are in our vocabulary."""
    found = ours[foreign[foreign < len(ours)]]
    return found[found >= 0]


def from_our_ids(
    translations: Ids, common: Ids, source: Ids, target: Ids, *, eos: int, source_size: int
) -> LexicalShortlist:
    """The shortlist of a run folder in another engine's ids, as `in_our_ids` takes them.

    The common ids go on the list of `eos`, which is in each source. `source_size` is the number of
    the other engine's source ids.
    """
    lists: list[Ids] = [np.empty(0, np.int64) for _ in range(source_size)]
    for row, foreign in zip(translations, source, strict=True):
        if foreign >= 0:
            lists[int(foreign)] = _translated(target, row[row != PAD])
    lists[eos] = _distinct(np.concatenate((lists[eos], _translated(target, common))))
    return LexicalShortlist(0, lists)


def _translated(target: Ids, ours: Ids) -> Ids:
    found = target[ours]
    return _distinct(found[found >= 0])


def _distinct(ids: Ids) -> Ids:
    """Each id once, in the order of their first."""
    return np.array(list(dict.fromkeys(ids.tolist())), np.int64)


def is_binary_shortlist(beginning: bytes) -> bool:
    """Whether a file with this beginning is a binary shortlist."""
    return beginning[:8] == struct.pack("<Q", MAGIC)


def read_binary(data: bytes, target_size: int, name: str) -> LexicalShortlist:
    """Read the binary form. Raises InputError, which calls the file by `name`, if it is damaged."""
    fault = f"{name} is damaged or was cut off: "
    if len(data) < HEADER.size or not is_binary_shortlist(data):
        raise InputError(f"{fault}it has no header of a binary shortlist")
    _, checksum, first, _, offset_count, id_count = HEADER.unpack_from(data)
    if HEADER.size + 8 * offset_count + 4 * id_count != len(data):
        raise InputError(
            f"{fault}its header announces {offset_count:,} offsets and {id_count:,} ids, which "
            f"would not take its {len(data):,} bytes"
        )
    offsets = np.frombuffer(data, "<u8", offset_count, HEADER.size).astype(np.int64)
    ids = np.frombuffer(data, "<u4", id_count, HEADER.size + 8 * offset_count).astype(np.int64)
    ascend = not offset_count or (
        offsets[0] == 0 and offsets[-1] == id_count and bool((np.diff(offsets) >= 0).all())
    )
    if not ascend or ids.max(initial=0) >= target_size or first > target_size:
        raise InputError(
            f"{fault}its lists do not fit a vocabulary of {target_size:,} target pieces; take the "
            "one that came with the model"
        )
    if checksum != _checksum(data):
        raise InputError(f"{fault}its checksum is another")
    return LexicalShortlist(first, [ids[start:stop] for start, stop in pairwise(offsets)])


def write_binary(shortlist: LexicalShortlist) -> bytes:
    """The binary form; each list is in ascending order."""
    lists = [np.sort(np.asarray(each)) for each in shortlist.lists]
    if lists and not len(lists[-1]):
        lists[-1] = np.zeros(1, np.int64)  # Marian demands that the last list has an id
    offsets = np.cumsum([0, *map(len, lists)])
    body = offsets.astype("<u8").tobytes()
    body += np.concatenate([np.empty(0, np.int64), *lists]).astype("<u4").tobytes()
    best = max(map(len, lists), default=0)
    header = HEADER.pack(MAGIC, 0, shortlist.first, best, len(offsets), int(offsets[-1]))
    checksum = _checksum(header + body)
    return header[:8] + struct.pack("<Q", checksum) + header[16:] + body


def _checksum(data: bytes) -> int:
    """Marian's hash of what follows the checksum, in whole numbers of 8 bytes."""
    value = 0
    for number in np.frombuffer(data, "<u8", len(data) // 8 - 2, 16).tolist():
        value ^= (number + 0x9E3779B9 + (value << 6) + (value >> 2)) & MOST_BITS
    return value


def read_text(
    lines: Iterator[str],
    source: Mapping[str, int],
    target: Mapping[str, int],
    name: str,
    *,
    first: int = FIRST,
    best: int = BEST,
) -> LexicalShortlist:
    """Read the text form, for pieces with these ids; lines of others are left out.

    The `best` likeliest targets of each source piece are taken. Raises InputError, which calls the
    file by `name`, for a line of another form.
    """
    found: dict[int, dict[int, float]] = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue
        try:
            target_piece, source_piece, probability = fields[0], fields[1], float(fields[2])
        except (IndexError, ValueError):
            probability = math.nan
        if len(fields) != 3 or math.isnan(probability):
            raise InputError(
                f"{name}, line {number}: a target piece, a source piece and a probability are "
                f'expected, with spaces between: "{line.strip()[:60]}"'
            )
        row, column = source.get(source_piece), target.get(target_piece)
        if row is not None and column is not None:
            likely = found.setdefault(row, {})
            likely[column] = max(probability, likely.get(column, 0.0))
    size = max(source.values(), default=-1) + 1
    lists = []
    for row in range(size):
        likely = found.get(row, {})
        ranked = sorted(likely, key=lambda column: (-likely[column], column))
        lists.append(np.array(ranked[:best], np.int64))
    return LexicalShortlist(min(first, max(target.values(), default=-1) + 1), lists)


def write_text(
    shortlist: LexicalShortlist, source: Sequence[str], target: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of the text form, for pieces by id. Ranks stand in place of probabilities."""
    for piece, ids in zip(source, shortlist.lists, strict=True):
        for rank, column in enumerate(ids, 1):
            yield f"{target[int(column)]} {piece} {1 / (rank + 1):.6f}"
