"""Tells a library of kernels that fits this package from a damaged one and from another version's.

`setup.py` compiles the stamp into each library, and seals its file with a checksum. Everything is
checked before a function of the library is called, most of it before the file is loaded, since a
damaged library can end the process.
"""

import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
MARK = b"\nseq2seq-kernels"  # after a library; eight hexadecimal digits of its CRC-32 follow
SEAL_BYTES = len(MARK) + 8
ELF_HEADER = 64  # bytes

_DECLARATIONS = re.compile(r'\b(?:Prototypes|Functions|fields)\(\s*("""|")(.*?)\1', re.S)


def interface() -> Iterator[str]:
    """Everything that Python declares of the kernels: prototypes and the fields of structs."""
    for path in (PACKAGE / "kernels").rglob("*.py"):
        for _, text in _DECLARATIONS.findall(path.read_text(encoding="utf-8")):
            statements = text.split(");") if "(" in text else [text]
            yield from filter(None, (" ".join(each.split()) for each in statements))


def expected_stamp() -> int:
    """A number other than 0 that stands for this version's interface between Python and C++."""
    version = re.search(r'__version__ = "(.*)"', (PACKAGE / "__init__.py").read_text("utf-8"))
    described = "\n".join([version[1] if version else "", *sorted(interface())])
    return zlib.crc32(described.encode()) + 1


def seal(library: Path) -> None:
    """Write the checksum of a library after it, where loaders ignore it; once, however often."""
    content = library.read_bytes()
    if is_elf(content) and content[-SEAL_BYTES:-8] != MARK:
        library.write_bytes(content + MARK + b"%08x" % zlib.crc32(content))


def is_elf(content: bytes) -> bool:
    """Whether this begins like a library of Linux, with 64 bits."""
    return content[:5] == b"\x7fELF\x02"


def is_damaged(library: Path) -> bool:
    """Whether a file has another checksum than it was sealed with, or is not a whole library."""
    content = library.read_bytes()
    if content[-SEAL_BYTES:-8] == MARK:
        return content[-8:] != b"%08x" % zlib.crc32(content[:-SEAL_BYTES])
    if not is_elf(content):
        return sys.platform == "linux"
    # Not sealed, or cut: the table of sections is at the end.
    table = int.from_bytes(content[40:48], sys.byteorder)
    size, count = (int.from_bytes(content[at : at + 2], sys.byteorder) for at in (58, 60))
    return len(content) < ELF_HEADER or table + size * count > len(content)
