"""NumPy's .npz files, read and written without pickles: a zip of .npy members, one an array.

Names, types and shapes are read when a file is opened, and compared with the sizes of its members;
numbers are read when they are asked for, and compared with the zip's checksums. Arrays that are
stored as they are, which is usual, are mapped.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seq2seq_cli.config.settings import require
from seq2seq_cli.config.shapes import Shape
from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.arrays import Array

SUFFIX = ".npy"  # of members
TYPES = ("f4", "f2", "f8", "i1", "u1", "i4", "i8")  # what arrays may hold
MOST_MEMBERS = 100_000
MOST_RATIO = 1040  # deflate makes nothing larger than this many times its bytes
ENCRYPTED = 1  # a flag of members
LOCAL_HEADER, LOCAL_LENGTHS = 30, 26  # bytes before a member's name; where two lengths are in them
CRC_BYTES = 1 << 24
TIME = (1980, 1, 1, 0, 0, 0)  # of members: the same arrays are the same file


@dataclass(frozen=True)
class Member:
    """An array of a file."""

    info: zipfile.ZipInfo
    type: "np.dtype[Any]"
    shape: Shape
    is_transposed: bool  # Fortran's order


class NpzFile(Mapping[str, Member]):
    """The arrays of a file by name."""

    def __init__(self, path: Path) -> None:
        """Read names, types and shapes. Raises InputError for a file that is damaged."""
        self.path = path
        with self._errors(), zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            require(len(members) <= MOST_MEMBERS, f"{path} has too many members for a model")
            self._members = {
                info.filename.removesuffix(SUFFIX): self._member(archive, info) for info in members
            }
            require(len(self._members) == len(members), f"{path} has two members of one name")
        self._checked: set[str] = set()

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def _member(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
        size = self.path.stat().st_size
        if info.compress_size > size or info.file_size > MOST_RATIO * info.compress_size:
            raise InputError(f"{self.path}: {info.filename} is said to be larger than the file")
        with archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                header = np.lib.format.read_array_header_1_0(stream)
            else:
                header = np.lib.format.read_array_header_2_0(stream)
            shape, is_transposed, kind = header
            start = stream.tell()
        require(
            kind.str[1:] in TYPES,
            f"{self.path}: {info.filename} holds {kind}, which is not a type of weights",
        )
        require(
            all(size >= 0 for size in shape)
            and prod(shape) * kind.itemsize == info.file_size - start,
            f"{self.path}: {info.filename} is not as long as its header says; it is damaged",
        )
        return Member(info, kind, shape, is_transposed)

    @property
    def is_mapped(self) -> bool:
        """Whether `read` returns views into the mapped file, since nothing is compressed."""
        return all(
            member.info.compress_type == zipfile.ZIP_STORED for member in self._members.values()
        )

    def read(self, name: str) -> Array:
        """Read an array, which cannot be written to. Raises InputError if it is damaged."""
        member = self._members[name]
        if (
            member.info.compress_type == zipfile.ZIP_STORED
            and not member.info.flag_bits & ENCRYPTED
        ):
            return self._mapped(name, member)
        with (
            self._errors(),
            zipfile.ZipFile(self.path) as archive,
            archive.open(member.info) as stream,
        ):
            array: Array = np.lib.format.read_array(stream, allow_pickle=False)
        return array

    def _mapped(self, name: str, member: Member) -> Array:
        """A view into the file, which is compared with its checksum the first time."""
        size = member.info.file_size
        with self._errors(), self.path.open("rb") as file:
            file.seek(member.info.header_offset)
            lengths = struct.unpack("<HH", file.read(LOCAL_HEADER)[LOCAL_LENGTHS:])
            first = member.info.header_offset + LOCAL_HEADER + sum(lengths)
            content = np.memmap(file, np.uint8, "r", first, (size,))
        if name not in self._checked:
            crc = 0
            for start in range(0, size, CRC_BYTES):
                crc = zlib.crc32(content[start : start + CRC_BYTES].data, crc)
            require(
                crc == member.info.CRC,
                f"{self.path} is damaged: {member.info.filename} does not have its checksum",
            )
            self._checked.add(name)
        array = content[size - prod(member.shape) * member.type.itemsize :].view(np.ndarray)
        if array.ctypes.data % member.type.alignment:
            array = array.copy()
        order: Literal["F", "C"] = "F" if member.is_transposed else "C"
        return array.view(member.type).reshape(member.shape, order=order)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise InputError(f"{self.path} does not exist") from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None
        except (
            zipfile.BadZipFile,
            zlib.error,
            struct.error,
            ValueError,
            EOFError,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise InputError(f"{self.path} is damaged or not an .npz file: {error}") from None


def write_npz(path: Path, arrays: Iterable[tuple[str, Array]]) -> None:
    """Write arrays one after the other, as they are: what reads such files can map them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays:
            header = BytesIO()
            np.lib.format.write_array_header_1_0(
                header, np.lib.format.header_data_from_array_1_0(array)
            )
            info = zipfile.ZipInfo(name + SUFFIX, TIME)
            info.file_size = len(header.getvalue()) + array.nbytes
            with archive.open(info, "w") as stream:
                stream.write(header.getvalue())
                stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
