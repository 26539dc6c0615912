"""Weights of safetensors files as arrays of numpy, mapped from the file and checked.

Files carry the hash of their tensors in a label; see `tensors`.
"""

import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_bytes

from seq2seq_cli.config.shapes import Shape
from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.arrays import Array, widened
from seq2seq_cli.whole_files import replace_file

LABEL = "seq2seq"  # the one metadata entry of our files, JSON
TYPES = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,  # numpy has no bfloat16; no other numbers are uint16
    "I64": np.int64,
    "I32": np.int32,
    "U8": np.uint8,
}

PIECE_BYTES = 1 << 20  # of a file, read at a time


def digest(buffers: Mapping[str, Any]) -> str:
    """SHA-256 over the names and bytes of tensors, which are given as buffers."""
    sha = hashlib.sha256()
    for name in sorted(buffers):
        sha.update(name.encode())
        sha.update(buffers[name])
    return sha.hexdigest()


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays in one step, labelled with their hash, as `tensors.save_tensors` does."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    label = json.dumps({"sha256": digest(_bytes_of(arrays)), "model": None})
    replace_file(path, safetensors_bytes(arrays, metadata={LABEL: label}))


def _bytes_of(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array.reshape(-1).view(np.uint8) for name, array in arrays.items()}


class MappedArrays(Mapping[str, Array]):
    """Arrays by name that lie in a mapped file, read-only.

    Those of 16 bits are widened to float32 each time they are asked for; `stored` has them as they
    are in the file.
    """

    def __init__(self, stored: Mapping[str, Array], mapping: mmap.mmap) -> None:
        self.stored = stored
        self._mapping = mapping

    def __getitem__(self, name: str) -> Array:
        return widened(self.stored[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    def shapes(self) -> dict[str, Shape]:
        """The shapes of all arrays; nothing is read."""
        return {name: array.shape for name, array in self.stored.items()}

    def release(self) -> None:
        """Give back the memory of what was read; what is read again comes from the file."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapping.madvise(mmap.MADV_DONTNEED)


def is_never_known(file: os.stat_result, sha256: str) -> bool:
    """Say of every file that it is not known to be whole."""
    return False


def load_arrays(
    path: Path, is_known: Callable[[os.stat_result, str], bool] = is_never_known
) -> tuple[MappedArrays, dict[str, Any]]:
    """Map the arrays of a file and read its label.

    Both are of the same file even if it is replaced meanwhile. The hash of the arrays is computed
    unless the file, with the hash by its label, `is_known` to be whole. Raises InputError if the
    file is missing, damaged or not what was written.
    """
    with opened(path, "numpy") as (file, stream):
        label = label_of(file, path)
        known = is_known(os.fstat(stream.fileno()), label["sha256"])
        arrays, places = _mapped(stream, path)
        if not known and digest_of_file(stream, places) != label["sha256"]:
            raise InputError(damaged(path))
    return arrays, label


def digest_of_file(stream: BufferedReader, places: Mapping[str, tuple[int, int]]) -> str:
    """As `digest`, for tensors at these places of a file: first byte and count.

    They are read in pieces, since pages of a mapping would count as memory of the process.
    """
    sha, piece = hashlib.sha256(), bytearray(PIECE_BYTES)
    view = memoryview(piece)
    for name in sorted(places):
        sha.update(name.encode())
        first, left = places[name]
        stream.seek(first)
        while left > 0 and (count := stream.readinto(view[: min(left, PIECE_BYTES)])):
            sha.update(view[:count])
            left -= count
    return sha.hexdigest()


def damaged(path: Path) -> str:
    """The message for a file whose tensors are not those that were written."""
    return f"{path} is damaged: its weights do not have the hash it was saved with"


def _mapped(stream: BufferedReader, path: Path) -> tuple[MappedArrays, dict[str, tuple[int, int]]]:
    """Map the tensors of an open file whose header is sound.

    Returns them and their places, first byte and count. A tensor that does not begin at a multiple
    of its numbers' size is copied.
    """
    mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(mapping[:8], "little")
    header = json.loads(mapping[8:start])
    arrays: dict[str, Array] = {}
    places: dict[str, tuple[int, int]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in TYPES:
            raise InputError(
                f"{path} holds {entry['dtype']} in {name}; {', '.join(TYPES)} are allowed"
            )
        first, last = (start + offset for offset in entry["data_offsets"])
        places[name] = first, last - first
        kind = np.dtype(TYPES[entry["dtype"]]).newbyteorder("<")
        array = np.frombuffer(mapping, kind, (last - first) // kind.itemsize, first)
        if not array.flags.aligned or not array.dtype.isnative:
            array = array.astype(kind.newbyteorder("="))
        arrays[name] = array.reshape(entry["shape"])
    return MappedArrays(arrays, mapping), places


@contextmanager
def opened(path: Path, framework: str) -> Iterator[tuple[Any, Any]]:
    """Open a safetensors file, whose tensors are those of a framework, as reader and stream.

    Raises InputError if it is missing, or damaged where it is read.

    `safe_open` opens its path twice, for the header and for the tensors, and a training may replace
    the file in between; so the path it gets is that of a file which is open already.
    """
    try:
        with path.open("rb") as stream:
            same = Path(f"/dev/fd/{stream.fileno()}")
            with safe_open(same if same.exists() else path, framework=framework) as file:
                yield file, stream
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}") from None


def label_of(file: Any, path: Path) -> dict[str, Any]:
    """The label of an open file. Raises InputError if another program wrote it."""
    try:
        label = json.loads((file.metadata() or {})[LABEL])
        return {"sha256": str(label["sha256"]), "model": label["model"]}
    except (KeyError, TypeError, ValueError, RecursionError):
        raise InputError(
            f"{path} carries no hash of its weights; it was written by another program"
        ) from None


def check_shapes(given: Mapping[str, Shape], expected: Mapping[str, Shape], path: Path) -> None:
    """Raise InputError where weights of a file do not have the names and shapes of a model."""
    for name in sorted(expected.keys() ^ given.keys()):
        fault = "lacks" if name in expected else "has an unknown"
        raise InputError(f"{path} does not fit config.toml: it {fault} tensor {name}")
    for name, shape in expected.items():
        if given[name] != shape:
            raise InputError(
                f"{path} does not fit config.toml: {name} is {list(given[name])}, "
                f"{list(shape)} by the settings"
            )
