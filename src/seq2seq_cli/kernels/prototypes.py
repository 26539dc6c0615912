"""Declares C functions and structs for ctypes, in C's own words.

A prototype stands in Python as it stands in the .cpp, with the names of its parameters, and so do
the fields of a struct. tests/unit/test_boundary.py compares both sides, so that an argument that is
moved, added or left out on one side is found before it corrupts memory.
"""

import ctypes
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

Check = Callable[[Any, Any, tuple[Any, ...]], Any]

POINTER = ctypes.c_void_p
INT = ctypes.c_int32

TYPES: dict[str, Any] = {
    "void": None,
    "int32_t": INT,
    "int64_t": ctypes.c_int64,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
}


class Declaration(NamedTuple):
    """A parameter, a field, or a function and what it returns."""

    type: str  # without const, and with a space before its stars: `float *`
    name: str

    @property
    def ctype(self) -> Any:
        """The type as ctypes has it; None for void."""
        return POINTER if self.type.endswith("*") else TYPES[self.type]


class Prototype(NamedTuple):
    """A C function as its callers see it."""

    function: Declaration
    parameters: tuple[Declaration, ...]


def parse_declaration(text: str) -> Declaration:
    """Read `const float *bias`, or `int32_t` without a name."""
    text = re.sub(r"\bconst\b", " ", text).strip()
    found = re.fullmatch(r"(\w+)([\s*]*)(\w*)", text)
    assert found, f"not a declaration: {text}"
    return Declaration(f"{found[1]} {'*' * found[2].count('*')}".strip(), found[3])


def parse_prototypes(text: str) -> tuple[Prototype, ...]:
    """Read prototypes, each with a semicolon after it."""
    prototypes = []
    for function, parameters in re.findall(r"([^();]+)\(([^()]*)\)\s*;", text):
        declarations = [parse_declaration(each) for each in parameters.split(",") if each.strip()]
        prototypes.append(Prototype(parse_declaration(function), tuple(declarations)))
    return tuple(prototypes)


def parse_fields(text: str) -> tuple[Declaration, ...]:
    """Read the fields of a struct, with semicolons: `int32_t width, heads; const float *bias;`."""
    declarations = []
    for line in filter(str.strip, text.split(";")):
        first, *others = line.split(",")
        field = parse_declaration(first)
        base = field.type.split(" ")[0]
        declarations += [field, *(parse_declaration(f"{base} {other}") for other in others)]
    return tuple(declarations)


def fields(text: str) -> list[tuple[str, Any]]:
    """Make the `_fields_` of a ctypes.Structure."""
    return [(field.name, field.ctype) for field in parse_fields(text)]


class Prototypes:
    """C functions that belong together."""

    def __init__(self, text: str) -> None:
        self.prototypes = parse_prototypes(text)

    def bind(self, library: ctypes.CDLL, check: Check | None = None) -> SimpleNamespace:
        """Take the functions from a library, with their types; what it does not have is left out.

        Only what is declared can be called. `check` is called after each call, with its result, and
        returns the result or raises.
        """
        functions = {}
        for (result, name), parameters in self.prototypes:
            if hasattr(library, name):
                function = getattr(library, name)
                function.restype = Declaration(result, name).ctype
                function.argtypes = [parameter.ctype for parameter in parameters]
                if check is not None:
                    function.errcheck = check
                functions[name] = function
        return SimpleNamespace(**functions)
