"""Marian's binary container of weights, `.bin`, of which Firefox's models are one kind.

    uint64 version 1, uint64 number of items
    for each item: uint64 length of its name, type, number of dimensions, length of its data
    the names, each ended by NUL; the shapes, int32; uint64 n and n bytes of padding; the data

All numbers are little-endian. An 8-bit or 16-bit matrix ("intgemm") holds whole numbers and then a
float32 by which they are divided. It is laid out (outputs, inputs), whatever its shape says, except
for embeddings, which are (pieces, width) in every type.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import numpy as np

from seq2seq_cli.config.settings import require
from seq2seq_cli.config.shapes import Shape
from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.arrays import Array

VERSION, ENCRYPTED_VERSION = 1, 2
ALIGNMENT = 256  # bytes: the data begins at a multiple of it, and each item takes a multiple
MOST_DIMENSIONS = 8

FLOAT32, INT8, INTGEMM8, INTGEMM16 = 0x0404, 0x0101, 0x4101, 0x4102
PLAIN: Mapping[int, str] = {FLOAT32: "<f4", 0x0402: "<f2", INT8: "i1", 0x0102: "<i2"}
QUANTIZED: Mapping[int, str] = {INTGEMM8: "i1", INTGEMM16: "<i2"}
PACKED_BIT, INTGEMM_BIT = 0x0800, 0x4000  # of a type

Buffer: TypeAlias = bytes | memoryview


@dataclass(frozen=True)
class Item:
    """A named array of a container, whose numbers are read when they are asked for."""

    name: str
    type: int
    shape: Shape
    data: Buffer

    @property
    def is_quantized(self) -> bool:
        """Whether it holds whole numbers and a divisor."""
        return self.type in QUANTIZED

    @property
    def is_transposed(self) -> bool:
        """Whether it is laid out in the reverse of its shape."""
        return self.is_quantized and len(self.shape) == 2 and not self.name.endswith("Wemb")

    @property
    def laid_out(self) -> Shape:
        """The shape in which the numbers are laid out."""
        return self.shape[::-1] if self.is_transposed else self.shape

    def numbers(self) -> Array:
        """The stored numbers as they are laid out; those of a quantized matrix are whole."""
        kind = (QUANTIZED if self.is_quantized else PLAIN)[self.type]
        return np.frombuffer(self.data, kind, math.prod(self.shape)).reshape(self.laid_out)

    def divisor(self) -> np.float32:
        """The scale of a quantized matrix, by which its numbers are divided."""
        start = math.prod(self.shape) * (self.type & 0xFF)
        return np.float32(np.frombuffer(self.data, "<f4", 1, start)[0])

    def values(self) -> Array:
        """The values in their shape, float32."""
        if not self.is_quantized:
            return self.numbers().astype(np.float32, copy=False)
        values = self.numbers().astype(np.float32)
        values /= self.divisor()
        return values.T if self.is_transposed else values


def quantized(name: str, values: Array, kind: int = INTGEMM8) -> Item:
    """Round a matrix to 8 bits, its greatest magnitude to 127, or to 16 bits in steps of 1/1024.

    Raises InputError if it is not finite.
    """
    greatest = float(np.abs(values).max(initial=0.0))
    require(math.isfinite(greatest), f"the weight {name} holds NaN or infinity")
    if kind == INTGEMM8:
        divisor, most = np.float32(127.0 / greatest if greatest else 127.0), 127
    else:
        divisor, most = np.float32(1024.0), 32767
    whole = np.clip(np.rint(values * divisor), -most, most).astype(QUANTIZED[kind])
    item = Item(name, kind, values.shape, b"")
    laid_out = np.ascontiguousarray(whole.T if item.is_transposed else whole)
    return Item(name, kind, values.shape, laid_out.tobytes() + divisor.tobytes())


def plain(name: str, values: Array) -> Item:
    """An item of float32."""
    return Item(name, FLOAT32, values.shape, np.ascontiguousarray(values, "<f4").tobytes())


def text_item(name: str, text: str) -> Item:
    """An item that holds text, as `special:model.yml` does."""
    data = text.encode() + b"\0"
    return Item(name, INT8, (len(data),), data)


def is_binary(beginning: bytes) -> bool:
    """Whether a file with this beginning, of 16 bytes or more, is such a container."""
    if len(beginning) < 16:
        return False
    version, count = struct.unpack_from("<QQ", beginning)
    return version in (VERSION, ENCRYPTED_VERSION) and 0 < count < 1 << 20


def read_items(data: Buffer, name: str) -> dict[str, Item]:
    """Read a container; the items are views into `data`. Messages call it by `name`.

    Raises InputError for what is damaged, cut off, encrypted, or laid out for one processor.
    """
    reader = _Reader(memoryview(data), name)
    version, count = reader.integers(2)
    if version == ENCRYPTED_VERSION:
        raise InputError(
            f"{name}: version 2 of Marian's format is encrypted and cannot be read; ask its author "
            "for version 1"
        )
    if version != VERSION:
        raise InputError(f"{name}: version {version} of Marian's format is unknown; 1 is read")
    headers = [reader.integers(4) for _ in range(reader.checked(count, 4 * 8))]
    names = [reader.text(length) for length, _, _, _ in headers]
    shapes = [reader.shape(dimensions) for _, _, dimensions, _ in headers]
    reader.skip(reader.integers(1)[0])
    items: dict[str, Item] = {}
    for item_name, (_, kind, _, length), shape in zip(names, headers, shapes, strict=True):
        _check_type(kind, item_name, name)
        item = Item(item_name, kind, shape, reader.take(length))
        needed = math.prod(shape) * (kind & 0xFF) + (4 if item.is_quantized else 0)
        if length < needed or item_name in items:
            fault = "is there twice" if item_name in items else f"has {length:,} bytes"
            reader.fail(f"its item {item_name}, of shape {list(shape)}, {fault}")
        items[item_name] = item
    return items


def _check_type(kind: int, item: str, name: str) -> None:
    if kind in PLAIN or kind in QUANTIZED:
        return
    if kind & PACKED_BIT or kind & INTGEMM_BIT:
        layout = "packed" if kind & PACKED_BIT else "intgemm"
        raise InputError(
            f"{name}: its item {item} is laid out for one kind of processor ({layout}, type "
            f"{kind:#06x}); convert the original with `marian-conv --gemm-type intgemm8` or float32"
        )
    raise InputError(f"{name}: its item {item} is of the unknown type {kind:#06x}")


class _Reader:
    """Reads a container from its beginning; nothing is taken that it does not hold."""

    def __init__(self, data: memoryview, name: str) -> None:
        self.data, self.name, self.position = data, name, 0

    def fail(self, reason: str) -> NoReturn:
        raise InputError(f"{self.name} is damaged or was cut off: {reason}; copy it again")

    def checked(self, count: int, bytes_each: int) -> int:
        """The count of what follows, if the file is long enough to hold it."""
        if count * bytes_each > len(self.data) - self.position:
            self.fail(f"it announces {count:,} x {bytes_each} bytes more than it has")
        return count

    def take(self, count: int) -> memoryview:
        self.skip(count)
        return self.data[self.position - count : self.position]

    def skip(self, count: int) -> None:
        self.position += self.checked(count, 1)

    def integers(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.take(8 * count))

    def text(self, length: int) -> str:
        try:
            return bytes(self.take(length)).rstrip(b"\0").decode()
        except UnicodeDecodeError:
            self.fail("the name of an item is not UTF-8")

    def shape(self, dimensions: int) -> Shape:
        if dimensions > MOST_DIMENSIONS:
            self.fail(f"an item has {dimensions:,} dimensions")
        shape = struct.unpack(f"<{dimensions}i", self.take(4 * dimensions))
        if any(size < 0 for size in shape):
            self.fail(f"an item is of shape {list(shape)}")
        return shape


def write_items(items: Sequence[Item]) -> bytes:
    """The container of items, in their order."""
    encoded = [(item, item.name.encode() + b"\0", _padded(item.data)) for item in items]
    parts = [struct.pack("<QQ", VERSION, len(items))]
    for item, name, data in encoded:
        parts.append(struct.pack("<4Q", len(name), item.type, len(item.shape), len(data)))
    parts += [name for _, name, _ in encoded]
    parts += [struct.pack(f"<{len(item.shape)}i", *item.shape) for item in items]
    start = sum(map(len, parts)) + 8
    parts.append(struct.pack("<Q", -start % ALIGNMENT) + bytes(-start % ALIGNMENT))
    return b"".join([*parts, *(data for _, _, data in encoded)])


def _padded(data: Buffer) -> bytes:
    return bytes(data) + bytes(-len(data) % ALIGNMENT)
