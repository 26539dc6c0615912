"""The packed weights of a run, kept so that a second start maps them instead of packing.

RUN/packed/
  avx512-int8.weights    layers packed by one build of the kernels, with a key and a hash
  avx512-int8.checked    which files were read in full before and found whole

A file is used only if its key fits: the hash of the weights, the library of the kernels and the
code that packs. Its hash, and that of the weights, are computed the first time that a file is
seen. From then on the file is trusted while it has the same size, times and place on the disk, so
that a start does not read all of a large model. A copy of the run has other times and places: it is
read in full once more. Whatever does not fit is packed and written again.
"""

import hashlib
import json
import mmap
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from seq2seq_cli.deferred import pattern
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.kernels.library import build_file, build_in_use
from seq2seq_cli.kernels.stamp import fingerprint
from seq2seq_cli.runs.arrays import PIECE_BYTES
from seq2seq_cli.runs.layout import PACKED

if TYPE_CHECKING:
    from seq2seq_cli.kernels.inference.linear import Linear

SETTING = "SEQ2SEQ_PACKED"  # "off", or another folder, as an environment variable
SMALLEST = 4 << 20  # bytes of weights; fewer are packed in a few milliseconds
SETTLED = 2.0  # seconds after which a file that changes again has another time for certain
UNUSED_DAYS = 30  # after which a model's packed weights leave the user's cache
ABANDONED = 3600.0  # seconds after which an unfinished file is that of a process that was killed

MARK = b"seq2seq packed weights 1\n"
DIGEST = slice(len(MARK), len(MARK) + 64)
START = 128  # of what the digest is of: 8 bytes with the size of the header, the header, the layers
ALIGNMENT = 64
NAME_IN_CACHE = pattern("[0-9a-f]{32}")

Identity = list[int]  # of a file: it changes when the file does


def identity_of(file: os.stat_result) -> Identity:
    """The facts about a file that change when it is written, replaced or copied."""
    return [file.st_size, file.st_mtime_ns, file.st_ctime_ns, file.st_ino, file.st_dev]


def is_settled(file: os.stat_result) -> bool:
    """Whether a change after now gives the file another time than it has."""
    return time.time() - max(file.st_mtime, file.st_ctime) > SETTLED


@lru_cache
def packing_code() -> int:
    """A number that stands for the code that joins and packs weights."""
    folder = Path(__file__).parents[1] / "inference"
    files = sorted(path for path in folder.iterdir() if path.suffix == ".py")
    return zlib.crc32(b"".join(path.read_bytes() for path in files))


class PackedWeights:
    """The packed weights of one run, for one build and precision."""

    def __init__(self, run: Path, library: Path, *, eight_bits: bool) -> None:
        self.run, self.library, self.eight_bits = run, library, eight_bits
        self._weights: os.stat_result | None = None  # of the run
        self._checked: dict[str, Identity | None] = {}  # "weights" and "packed" that were whole

    @classmethod
    def of(cls, run: Path, *, eight_bits: bool) -> "PackedWeights | None":
        """Those of a run; None if there are no kernels here or it is turned off."""
        build = build_in_use()
        library = build_file(build) if build else None
        if library is None or os.environ.get(SETTING) == "off":
            return None
        return cls(run, library, eight_bits=eight_bits)

    def are_whole(self, weights: os.stat_result, sha256: str) -> bool:
        """Whether the run's weights, with this hash by their label, were read in full before."""
        self._weights = weights
        with suppress(OSError, ValueError, RecursionError, AttributeError):
            read = json.loads(self._file(sha256, "checked").read_bytes())
            self._checked = {name: read.get(name) for name in ("weights", "packed")}
        return self._checked.get("weights") == identity_of(weights)

    def load(self, sha256: str) -> dict[str, Array]:
        """Map the layers packed before, after `are_whole` and once the weights are known whole.

        There are none if they were never packed, or the file is damaged or does not fit.
        """
        before = dict(self._checked)
        layers = {} if self._is_small() else self._map(sha256)
        assert self._weights is not None, "the caller has to ask `are_whole` before"
        self._note("weights", self._weights)
        if layers and self._checked != before:
            self._write_checked(sha256)
        folder = self._file(sha256, "weights").parent
        if layers and folder.parent != self.run:
            with suppress(OSError):
                os.utime(folder)  # it is in use
        return layers

    def save(self, sha256: str, layers: "Mapping[str, Linear]") -> None:
        """Write packed layers for the next start; without room or permission nothing is written."""
        if self._is_small():
            return
        path = self._file(sha256, "weights")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_old(path.parent, sha256)
            size = sum(len(layer.block) for layer in layers.values())
            if shutil.disk_usage(path.parent).free > 2 * size:
                with _replacing(path) as stream:
                    self._restrict(stream)
                    _write(stream, self._key(sha256), layers)
                self._checked["packed"] = None  # it is read in full once
                self._write_checked(sha256)
            if path.parent.parent != self.run:
                _remove_unused(path.parent.parent)

    def _is_small(self) -> bool:
        return self._weights is None or self._weights.st_size < SMALLEST

    def _file(self, sha256: str, suffix: str) -> Path:
        """The file for weights with this hash: in the run, or in the user's cache."""
        folder = self.run / PACKED
        given = os.environ.get(SETTING)
        if given or not os.access(folder if folder.is_dir() else self.run, os.W_OK):
            name = hashlib.sha256(sha256.encode()).hexdigest()[
                :32
            ]  # what a label says may be a path
            folder = (Path(given) if given else _users_cache()) / name
        precision = "int8" if self.eight_bits else "float32"
        return folder / f"{self.library.name.partition('.')[0]}-{precision}.{suffix}"

    def _key(self, sha256: str) -> dict[str, Any]:
        """All that decides what is packed, and how."""
        return {
            "weights": sha256,
            "eight_bits": self.eight_bits,
            "kernels": fingerprint(self.library),
            "code": packing_code(),
        }

    def _map(self, sha256: str) -> dict[str, Array]:
        with suppress(OSError, ValueError), self._file(sha256, "weights").open("rb") as stream:
            file = os.fstat(stream.fileno())
            mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            layers = _layers_of(mapping, self._key(sha256))
            if layers and self._checked.get("packed") != identity_of(file):
                if _digest_of(stream) != mapping[DIGEST]:
                    return {}
                os.fsync(stream.fileno())  # what is checked is what a power cut leaves
                self._note("packed", file)
            return layers
        return {}

    def _note(self, name: str, file: os.stat_result) -> None:
        """Note that a file is whole, unless it may change yet without a change of its time."""
        self._checked[name] = identity_of(file) if is_settled(file) else None

    def _write_checked(self, sha256: str) -> None:
        with suppress(OSError), _replacing(self._file(sha256, "checked")) as stream:
            self._restrict(stream)
            stream.write(json.dumps(self._checked).encode())

    def _restrict(self, stream: BinaryIO) -> None:
        """Let only those read a file who may read the weights."""
        if self._weights is not None and hasattr(os, "fchmod"):
            os.fchmod(stream.fileno(), self._weights.st_mode & 0o666)


def _users_cache() -> Path:
    from seq2seq_cli.data.cache import default_cache

    return default_cache() / PACKED


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces another in one step, whoever else does so at the same time."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{time.time_ns()}.tmp")
    try:
        with temporary.open("w+b") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(stream: BinaryIO, key: Mapping[str, Any], layers: "Mapping[str, Linear]") -> None:
    """Write packed layers as `_layers_of` reads them."""
    places, end = {}, 0
    for name, layer in layers.items():
        size = len(layer.block)
        places[name] = [end, size]
        end += -(-size // ALIGNMENT) * ALIGNMENT
    header = json.dumps({"key": key, "layers": places}).encode()
    header += b" " * (-(START + 8 + len(header)) % ALIGNMENT)
    sha = hashlib.sha256()
    stream.write(b"\0" * START)
    for part in _parts(header, layers):
        stream.write(part)
        sha.update(part)
    stream.seek(0)
    stream.write((MARK + sha.hexdigest().encode()).ljust(START, b"\n"))


def _parts(header: bytes, layers: "Mapping[str, Linear]") -> Iterator[bytes | memoryview]:
    yield len(header).to_bytes(8, "little") + header
    for layer in layers.values():
        block = layer.block
        yield block
        yield b"\0" * (-len(block) % ALIGNMENT)


def _layers_of(mapping: mmap.mmap, key: Mapping[str, Any]) -> dict[str, Array]:
    """The layers in a mapped file; none if it is damaged, as far as is seen, or has another key."""
    header, first = _header_of(mapping)
    if header.get("key") != key:
        return {}
    layers = {}
    try:
        for name, (offset, size) in header["layers"].items():
            if (
                offset < 0
                or size <= 0
                or offset % ALIGNMENT
                or first + offset + size > len(mapping)
            ):
                return {}
            layers[name] = np.frombuffer(mapping, np.uint8, size, first + offset)
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
    return layers


def _header_of(content: bytes | mmap.mmap) -> tuple[dict[str, Any], int]:
    """The header of a file, empty if there is none, and where its layers begin."""
    first = START + 8 + int.from_bytes(content[START : START + 8], "little")
    if content[: len(MARK)] != MARK or first > len(content):
        return {}, 0
    try:
        header = json.loads(content[START + 8 : first])
    except (ValueError, RecursionError):
        return {}, 0
    return (header, first) if isinstance(header, dict) else ({}, 0)


def _digest_of(stream: BinaryIO) -> bytes:
    """SHA-256 over what follows the digest; not of the mapping, whose pages count as memory."""
    sha, piece = hashlib.sha256(), bytearray(PIECE_BYTES)
    view = memoryview(piece)
    stream.seek(START)
    while count := stream.readinto(view):  # type: ignore[attr-defined]
        sha.update(view[:count])
    return sha.hexdigest().encode()


def _remove_old(folder: Path, sha256: str) -> None:
    """Remove what was packed of other weights, and what killed processes left."""
    for path in folder.glob("*.weights"):
        with suppress(OSError):
            if _weights_of(path) != sha256:
                path.unlink()
                path.with_suffix(".checked").unlink(missing_ok=True)
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def _weights_of(path: Path) -> object:
    """The hash of the weights that a file was packed of; None if it is damaged."""
    with (
        path.open("rb") as stream,
        suppress(ValueError),
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
    ):
        key = _header_of(mapping)[0].get("key")
        return key.get("weights") if isinstance(key, dict) else None
    return None


def _remove_unused(cache: Path) -> None:
    """Remove models that were not used for long from a cache, and nothing else that is there."""
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    for folder in cache.iterdir():
        with suppress(OSError):
            if NAME_IN_CACHE.fullmatch(folder.name) and folder.stat().st_mtime < oldest:
                for path in folder.iterdir():
                    if path.suffix in (".weights", ".checked", ".tmp"):
                        path.unlink()
                folder.rmdir()
