"""Weights that are read when they are written, so that a model need not fit into memory."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from seq2seq_cli.config.shapes import Shape
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.arrays import Array, is_finite
from seq2seq_cli.runs.arrays import LABEL, digest_of_file
from seq2seq_cli.whole_files import replacing_file

WeightType: TypeAlias = Literal["F32", "F16", "BF16"]  # as safetensors calls them

# numpy has no bfloat16: the bits of such numbers are passed on as they are.
NUMPY_TYPES: Mapping[WeightType, type[np.generic]] = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
}
BLOCK_BYTES = 1 << 25  # of a weight, in memory at a time if its rows can be read one by one
NO_HASH = "0" * 64  # stands in the file until the weights are written


def weight_type(array: Array) -> WeightType:
    """The type that numbers of an array are stored as; uint16 are the bits of bfloat16."""
    if array.dtype == np.float16:
        return "F16"
    return "BF16" if array.dtype == np.uint16 else "F32"


@dataclass(frozen=True)
class StoredWeight:
    """A weight that is read when it is written.

    `read` returns an array of `shape`, of the type that `NUMPY_TYPES` names. It is called once, and
    its result is dropped before the next weight is read. A weight that is too large to be in memory
    as a whole, such as an embedding in another order, has `rows` too, which returns the rows from
    the first up to but without the last.
    """

    shape: Shape
    dtype: WeightType
    read: Callable[[], Array]
    rows: Callable[[int, int], Array] | None = None

    @classmethod
    def of(cls, array: Array) -> "StoredWeight":
        """A weight that is in memory, or a view into a mapped file.

        It stays float16, or bfloat16 as bits in uint16; other numbers become float32.
        """
        dtype = weight_type(array)
        return cls(array.shape, dtype, lambda: array.astype(NUMPY_TYPES[dtype], copy=False))

    @property
    def bytes(self) -> int:
        """The size of its numbers."""
        return math.prod(self.shape) * np.dtype(NUMPY_TYPES[self.dtype]).itemsize

    def blocks(self) -> Iterator[Array]:
        """The weight, some rows at a time if they can be read one by one."""
        if self.rows is None:
            yield self.read()
            return
        count = self.shape[0]
        step = max(1, BLOCK_BYTES * count // max(1, self.bytes))
        for first in range(0, count, step):
            block = self.rows(first, min(first + step, count))
            yield block.astype(NUMPY_TYPES[self.dtype], copy=False)


@dataclass(frozen=True)
class _Layout:
    """Where the weights of a file are: in which order, with their first byte and count."""

    header: bytes  # of safetensors, with its length in front
    places: Mapping[str, tuple[int, int]]  # by name, in the order of the file; from the header on

    @classmethod
    def of(cls, weights: Mapping[str, StoredWeight], metadata: Mapping[str, str]) -> "_Layout":
        """Lay out weights one after the other, sorted by name."""
        names = sorted(weights)
        if any(weight.bytes % 4 for weight in weights.values()):
            # Numbers of four bytes come first, so that all are aligned.
            names.sort(key=lambda name: weights[name].dtype != "F32")
        places: dict[str, tuple[int, int]] = {}
        end = 0
        for name in names:
            places[name] = end, weights[name].bytes
            end += weights[name].bytes
        entries = {
            name: {
                "dtype": weights[name].dtype,
                "shape": list(weights[name].shape),
                "data_offsets": [first, first + count],
            }
            for name, (first, count) in places.items()
        }
        header = json.dumps({"__metadata__": metadata, **entries}).encode()
        header += b" " * (-len(header) % 8)
        return cls(len(header).to_bytes(8, "little") + header, places)


def save_stored_weights(
    path: Path, weights: Mapping[str, StoredWeight], model_settings: Mapping[str, Any]
) -> None:
    """Write weights one by one, in one step and labelled, as `tensors.save_tensors` does.

    Raises InputError for a weight that is not finite.
    """
    label = json.dumps({"sha256": NO_HASH, "model": model_settings})
    layout = _Layout.of(weights, {LABEL: label})
    start = len(layout.header)
    in_order = list(layout.places) == sorted(weights)  # as `arrays.digest` reads them
    sha = hashlib.sha256()
    with replacing_file(path) as stream:
        stream.write(layout.header)
        for name in layout.places:
            sha.update(name.encode())
            for block in _checked_blocks(name, weights[name]):
                stream.write(block)
                if in_order:
                    sha.update(block)
        stream.flush()
        digest = sha.hexdigest()
        if not in_order:
            with Path(stream.name).open("rb") as written:
                at = {
                    name: (start + first, count) for name, (first, count) in layout.places.items()
                }
                digest = digest_of_file(written, at)
        stream.seek(layout.header.index(NO_HASH.encode()))
        stream.write(digest.encode())


def write_safetensors(
    path: Path, weights: Mapping[str, StoredWeight], metadata: Mapping[str, str]
) -> None:
    """Write weights one by one, in one step, as a safetensors file for other programs.

    Raises InputError for a weight that is not finite.
    """
    layout = _Layout.of(weights, metadata)
    with replacing_file(path) as stream:
        stream.write(layout.header)
        for name in layout.places:
            for block in _checked_blocks(name, weights[name]):
                stream.write(block)


def _checked_blocks(name: str, weight: StoredWeight) -> Iterator[memoryview]:
    """Yield the numbers of a weight. Raises InputError if one is NaN or infinite."""
    read = 0
    kind = np.dtype(NUMPY_TYPES[weight.dtype])
    for block in weight.blocks():
        assert block.dtype == kind, f"{name} is {block.dtype} instead of {kind}"
        if not is_finite(block):
            raise InputError(f"{name} holds NaN or infinity: the weights are damaged")
        read += block.nbytes
        yield np.ascontiguousarray(block).reshape(-1).view(np.uint8).data
    assert read == weight.bytes, f"{name} has {read:,} bytes instead of {weight.bytes:,}"
