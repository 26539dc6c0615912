"""Tells a library of kernels that fits this package from a damaged one and from another version's.

`setup.py` compiles the stamp into each library, and seals its file with a checksum. Everything is
checked before a function of the library is called, most of it before the file is loaded, since a
damaged library can end the process.
"""

import os
import re
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
FOLDERS = ("kernels", "kernels/inference", "kernels/training")  # that declare functions
MARK = b"\nseq2seq-kernels"  # after a library; its CRC-32 and `sources` follow, in hexadecimal
SEAL_BYTES = len(MARK) + 16
ELF_HEADER = 64  # bytes

_DECLARATIONS = re.compile(r'\b(?:Prototypes|Functions|fields)\(\s*("""|")(.*?)\1', re.S)


def python_files() -> list[Path]:
    """The files that declare the kernels and the version."""
    found = [PACKAGE / "__init__.py"]
    for folder in map(PACKAGE.joinpath, FOLDERS):
        found += sorted(path for path in folder.iterdir() if path.suffix == ".py")
    return found


def sources() -> bytes:
    """A checksum of these files, which takes a fraction of the time of `expected_stamp`."""
    return _checksum(tuple(python_files()))


@cache
def _checksum(paths: tuple[Path, ...]) -> bytes:
    checksum = 0
    for path in paths:
        checksum = zlib.crc32(path.read_bytes(), checksum)
    return b"%08x" % checksum


def interface() -> Iterator[str]:
    """Everything that Python declares of the kernels: prototypes and the fields of structs."""
    for path in python_files():
        for _, text in _DECLARATIONS.findall(path.read_text(encoding="utf-8")):
            statements = text.split(");") if "(" in text else [text]
            yield from filter(None, (" ".join(each.split()) for each in statements))


def expected_stamp() -> int:
    """A number other than 0 that stands for this version's interface between Python and C++."""
    version = re.search(r'__version__ = "(.*)"', (PACKAGE / "__init__.py").read_text("utf-8"))
    described = "\n".join([version[1] if version else "", *sorted(interface())])
    return zlib.crc32(described.encode()) + 1


def seal(library: Path) -> None:
    """Write checksums after a library that was just compiled, where loaders ignore them; once."""
    content = library.read_bytes()
    if is_elf(content) and not is_sealed(content):
        library.write_bytes(content + MARK + b"%08x" % zlib.crc32(content) + sources())


def is_sealed(content: bytes) -> bool:
    """Whether `seal` wrote after this."""
    return content[-SEAL_BYTES:-16] == MARK


def is_of_these_sources(library: Path) -> bool:
    """Whether a library was compiled where these files were as they are: its stamp is expected."""
    with library.open("rb") as stream:
        stream.seek(-min(SEAL_BYTES, library.stat().st_size), os.SEEK_END)
        sealed = stream.read()
    return is_sealed(sealed) and sealed[-8:] == sources()


def fingerprint(library: Path) -> str:
    """A checksum of a library: the one that it was sealed with, or its own."""
    with library.open("rb") as stream:
        content = stream.read()
    if is_sealed(content):
        return content[-16:-8].decode(errors="replace")
    return f"{zlib.crc32(content):08x}"


def is_elf(content: bytes) -> bool:
    """Whether this begins like a library of Linux, with 64 bits."""
    return content[:5] == b"\x7fELF\x02"


def is_damaged(library: Path) -> bool:
    """Whether a file has another checksum than it was sealed with, or is not a whole library."""
    content = library.read_bytes()
    if is_sealed(content):
        return content[-16:-8] != b"%08x" % zlib.crc32(content[:-SEAL_BYTES])
    if not is_elf(content):
        return sys.platform == "linux"
    # Not sealed, or cut: the table of sections is at the end.
    table = int.from_bytes(content[40:48], sys.byteorder)
    size, count = (int.from_bytes(content[at : at + 2], sys.byteorder) for at in (58, 60))
    return len(content) < ELF_HEADER or table + size * count > len(content)
