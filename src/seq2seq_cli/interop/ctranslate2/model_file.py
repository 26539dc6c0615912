"""The file model.bin of CTranslate2: variables by name, in its binary versions 2 to 6.

All numbers are little-endian. A string is a uint16 length, which counts a NUL at its end, and its
bytes. The file: uint32 version, the name of the specification, uint32 revision, uint32 count; of
each variable its name, uint8 rank, uint32 dimensions, its type and its numbers; from version 3 on
uint32 count, and of each alias its name and the variable's. Before version 4 the type is a uint8
size and a uint32 count of numbers, from then on a uint8 type and a uint32 count of bytes.
"""

import math
import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seq2seq_cli.config.shapes import Shape
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import widened
from seq2seq_cli.kernels.arrays import Array, Floats
from seq2seq_cli.whole_files import replacing_file

VERSIONS = range(2, 7)
VERSION = 6  # that is written: the newest
SPECIFICATION, REVISION = "TransformerSpec", 7

# The types by their numbers in the file, as arrays of numpy: bfloat16 is read as bits.
TYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
NUMPY_TYPES = {name: np.dtype(name) for name in TYPES[:-1]} | {"bfloat16": np.dtype("uint16")}
TYPES_BY_SIZE = {4: "float32", 2: "int16", 1: "int8"}  # before version 4
OLD_INT16_SCALE = 1000.0  # of int16 weights without a scale of their own
MOST_DIMENSIONS = 8
ROWS_AT_A_TIME = 4096  # of a weight; more would take up memory for the numbers in between


@dataclass(frozen=True)
class Variable:
    """Numbers of a model, by their type in the file."""

    shape: Shape
    type: str
    numbers: Callable[[], Array]  # of `NUMPY_TYPES[type]`

    @classmethod
    def of(cls, array: Array, type_: str = "") -> "Variable":
        """A variable that is in memory; bfloat16 has to be named."""
        return cls(array.shape, type_ or array.dtype.name, lambda: array)

    @property
    def bytes(self) -> int:
        """The size of its numbers."""
        return math.prod(self.shape) * NUMPY_TYPES[self.type].itemsize

    def floats(self) -> Floats:
        """The numbers as float32."""
        return widened(self.numbers())

    def scalar(self) -> float:
        """The one number of an attribute."""
        return float(self.floats().reshape(-1)[0])


@dataclass(frozen=True)
class ModelFile:
    """The content of a file: the name of its specification and its variables by name."""

    path: Path
    version: int
    specification: str
    revision: int
    variables: Mapping[str, Variable]
    aliases: Mapping[str, str] = field(default_factory=dict)  # resolved in `variables` already

    def floats(self, name: str) -> Floats:
        """The numbers of a variable in float32, those of quantized weights included."""
        variable = self.variables[name]
        numbers = variable.floats()
        if variable.type not in ("int8", "int16"):
            return numbers
        return numbers / self.scale(name)

    def scale(self, name: str) -> Floats:
        """The factors of the integers of a weight, for each row or for all."""
        scale = self.variables.get(f"{name}_scale")
        variable = self.variables[name]
        if scale is None:
            if variable.type == "int16":
                return np.array([OLD_INT16_SCALE], np.float32)
            raise InputError(f"{self.path} is damaged: it lacks {name}_scale")
        factors = scale.floats()
        rows = variable.shape[0] if variable.shape else 1
        if factors.size not in (1, rows) or not np.all(np.isfinite(factors) & (factors > 0)):
            raise InputError(
                f"{self.path} is damaged: {name}_scale has {factors.size:,} numbers for {rows:,} "
                "rows, or one that is not above 0"
            )
        return factors.reshape(-1, *[1] * (len(variable.shape) - 1))


class _Reader:
    """Reads numbers and strings of a mapped file, and checks that it goes on that far."""

    def __init__(self, mapping: mmap.mmap, path: Path) -> None:
        self.mapping = mapping
        self.path = path
        self.offset = 0

    def skip(self, count: int, what: str) -> int:
        """Pass over bytes, and return where they begin."""
        start = self.offset
        if count > len(self.mapping) - start:
            raise InputError(
                f"{self.path} is cut off or damaged: {what} would end at byte "
                f"{start + count:,} of {len(self.mapping):,}"
            )
        self.offset += count
        return start

    def number(self, kind: str, what: str) -> int:
        start = self.skip(struct.calcsize(kind), what)
        return int(struct.unpack_from("<" + kind, self.mapping, start)[0])

    def string(self, what: str) -> str:
        length = self.number("H", what)
        if not length:
            raise InputError(f"{self.path} is damaged: the length of {what} is 0")
        start = self.skip(length, what)
        return self.mapping[start : start + length - 1].decode("utf-8", "replace")


def is_model_file(path: Path) -> bool:
    """Whether a file begins as one of a known or later version, without reading more of it."""
    try:
        with path.open("rb") as stream:
            start = stream.read(64)
    except OSError:
        return False
    if len(start) < 6:
        return False
    version, length = struct.unpack_from("<IH", start)
    name = start[6 : 6 + length]
    return 1 <= version < 100 and name.endswith(b"\0") and name[:-1].isalnum()


def read_model_file(path: Path) -> ModelFile:
    """Map a file and read its names. Raises InputError if it is missing, damaged or unknown."""
    try:
        with path.open("rb") as stream:
            mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise InputError(f"{path} cannot be read: {error}") from None
    reader = _Reader(mapping, path)
    version = reader.number("I", "the version")
    if version not in VERSIONS:
        raise InputError(
            f"{path}: binary version {version} of CTranslate2's models; {VERSIONS[0]} to "
            f"{VERSIONS[-1]} can be read"
        )
    name = reader.string("the name of the specification")
    revision = reader.number("I", "the revision")
    variables: dict[str, Variable] = {}
    for number in range(reader.number("I", "the count of variables")):
        variable = reader.string(f"the name of variable {number + 1}")
        variables.setdefault(variable, _variable(reader, variable, version))
    aliases = {}
    if version >= 3:
        for number in range(reader.number("I", "the count of aliases")):
            alias = reader.string(f"the name of alias {number + 1}")
            aliases[alias] = reader.string(f"what {alias} stands for")
    resolved = dict(variables)
    for alias, variable in aliases.items():
        for suffix in ("", "_scale"):
            if variable + suffix in variables:
                resolved.setdefault(alias + suffix, variables[variable + suffix])
    return ModelFile(path, version, name, revision, resolved, aliases)


def _variable(reader: _Reader, name: str, version: int) -> Variable:
    """Read the head of a variable, and pass over its numbers."""
    rank = reader.number("B", f"the rank of {name}")
    if rank > MOST_DIMENSIONS:
        raise InputError(f"{reader.path} is damaged: {name} has {rank} dimensions")
    shape = tuple(reader.number("I", f"the shape of {name}") for _ in range(rank))
    code = reader.number("B", f"the type of {name}")
    count = reader.number("I", f"the size of {name}")
    if version >= 4:
        type_ = TYPES[code] if code < len(TYPES) else ""
    else:
        type_, count = TYPES_BY_SIZE.get(code, ""), count * code
    if not type_:
        raise InputError(f"{reader.path}: {name} has the unknown type {code}")
    dtype, items = NUMPY_TYPES[type_].newbyteorder("<"), math.prod(shape)
    # Sizes are stored modulo 2**32, which the numbers of a large matrix exceed.
    if items * dtype.itemsize % 2**32 != count:
        raise InputError(
            f"{reader.path} is damaged: {name} is {list(shape)} of {type_} in {count:,} bytes"
        )
    start = reader.skip(items * dtype.itemsize, name)

    def numbers() -> Array:
        array = np.frombuffer(reader.mapping, dtype, items, start).reshape(shape)
        return array.astype(NUMPY_TYPES[type_], copy=False)

    return Variable(shape, type_, numbers)


def write_model_file(
    path: Path, variables: Mapping[str, Variable], aliases: Mapping[str, str]
) -> None:
    """Write a file of the newest version, a variable at a time and in one step."""
    with replacing_file(path) as stream:
        stream.write(struct.pack("<I", VERSION) + _string(SPECIFICATION))
        stream.write(struct.pack("<II", REVISION, len(variables)))
        for name, variable in sorted(variables.items()):
            dimensions = len(variable.shape)
            stream.write(_string(name))
            stream.write(struct.pack(f"<B{dimensions}I", dimensions, *variable.shape))
            stream.write(struct.pack("<BI", TYPES.index(variable.type), variable.bytes % 2**32))
            dtype = NUMPY_TYPES[variable.type].newbyteorder("<")
            stream.write(np.ascontiguousarray(variable.numbers(), dtype).data.cast("B"))
        stream.write(struct.pack("<I", len(aliases)))
        for strings in sorted(aliases.items()):
            stream.writelines(map(_string, strings))


def _string(text: str) -> bytes:
    content = text.encode() + b"\0"
    return struct.pack("<H", len(content)) + content


# Weights in 8 and 16 bits, by the rules of CTranslate2


def int8_scales(weight: Floats) -> Floats:
    """The scale of each row of a weight, by which its greatest number becomes 127."""
    greatest = np.maximum(weight.max(axis=1), -weight.min(axis=1))
    greatest[greatest == 0] = 127
    smallest = np.float32(127) / np.finfo(np.float32).max  # its scale is a float32 yet
    scales: Floats = np.float32(127) / np.maximum(greatest, smallest)
    return scales


def as_int8(weight: Floats) -> Array:
    """A weight in int8, by `int8_scales`."""
    scales, made = int8_scales(weight), np.empty(weight.shape, np.int8)
    for start in range(0, len(weight), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        made[rows] = np.rint(weight[rows] * scales[rows, None])
    return made


def int16_scale(weight: Floats) -> Floats:
    """The scale of a weight, by which its greatest number becomes 1,024: a scalar."""
    greatest = np.float32(max(weight.max(initial=0), -weight.min(initial=0)))
    return np.array(np.float32(1024) / greatest if greatest else 1, np.float32)


def as_int16(weight: Floats) -> Array:
    """A weight in int16, by `int16_scale`."""
    scale, made = int16_scale(weight), np.empty(weight.shape, np.int16)
    for start in range(0, len(weight), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        made[rows] = np.clip(np.rint(weight[rows] * scale), -(2**15), 2**15 - 1)
    return made
