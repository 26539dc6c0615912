"""What Python declares of the kernels is what C++ has: functions, structs and constants."""

import ctypes
import importlib
import pkgutil
import re
from collections.abc import Iterator
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from seq2seq_cli import kernels, symbols
from seq2seq_cli.kernels import library, training
from seq2seq_cli.kernels.inference import recurrent, transformer
from seq2seq_cli.kernels.prototypes import (
    Declaration,
    Prototype,
    Prototypes,
    parse_fields,
    parse_prototypes,
)
from seq2seq_cli.models.copying import LEAST_WEIGHT

FOLDER = Path(kernels.__file__).parent
SOURCES = {
    path.name: re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
    for path in sorted(FOLDER.rglob("*"))
    if path.suffix in (".cpp", ".h")
}


def block(text: str, start: int) -> str:
    """What stands within the braces that open at the first { after `start`."""
    begin = text.index("{", start)
    depth = 0
    for end in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if not depth:
            return text[begin + 1 : end]
    raise ValueError("a brace is not closed")


def without_blocks(text: str) -> str:
    """Code with a semicolon instead of everything within braces."""
    while inner := re.search(r"\{[^{}]*\}", text):
        text = f"{text[: inner.start()]};{text[inner.end() :]}"
    return text


def exported() -> dict[str, Prototype]:
    """The functions that C++ exports, by name."""
    prototypes = []
    for text in SOURCES.values():
        for found in re.finditer(r'extern "C"', text):
            code = re.sub(r"^\s*#.*$", "", without_blocks(block(text, found.end())), flags=re.M)
            prototypes += parse_prototypes(code)
    return {prototype.function.name: prototype for prototype in prototypes}


def modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(kernels.__path__, f"{kernels.__name__}."):
        found = info.module_finder.find_spec(info.name, None)
        # The libraries beside them have no function that Python could import them by.
        if found is not None and not isinstance(found.loader, ExtensionFileLoader):
            yield importlib.import_module(info.name)


def declared() -> dict[str, Prototype]:
    """The functions that Python declares, by name."""
    found = [
        prototype
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, Prototypes)
        for prototype in value.prototypes
    ]
    names = [prototype.function.name for prototype in found]
    assert len(names) == len(set(names)), "a function is declared twice"
    return dict(zip(names, found, strict=True))


def structs() -> dict[str, type[ctypes.Structure]]:
    """The structs that Python declares, by their names in C++."""
    return {
        name.removeprefix("_"): value
        for module in modules()
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, ctypes.Structure)
        and value.__module__ == module.__name__
    }


def struct_in_cpp(name: str) -> tuple[Declaration, ...]:
    [code] = [
        block(text, found.start())
        for text in SOURCES.values()
        for found in re.finditer(rf"struct {name} \{{", text)
    ]
    statements = without_blocks(code).split(";")
    return parse_fields(";".join(line for line in statements if "(" not in line))


def test_every_function_is_declared_as_cpp_has_it() -> None:
    """Results, kinds and names of arguments in their order: a swap of two is found."""
    ours, theirs = declared(), exported()
    assert sorted(ours) == sorted(theirs)
    assert len(ours) > 40
    for name, prototype in ours.items():
        assert prototype == theirs[name]


def bodies() -> dict[str, str]:
    """What stands within the braces of each function that C++ exports."""
    found = {}
    for text in SOURCES.values():
        for start in re.finditer(r'extern "C"', text):
            code = block(text, start.end())
            for prototype in exported().values():
                name = prototype.function.name
                if opened := re.search(rf"\b{name}\([^()]*\) \{{", code):
                    found[name] = block(code, opened.start())
    return found


def test_no_exception_leaves_a_function_that_python_calls() -> None:
    """It would end the process; `guarded` hands it to Python, which raises it."""
    found = bodies()
    assert sorted(found) == sorted(exported())
    unguarded = {
        name
        for name, body in found.items()
        if not re.fullmatch(r"\s*(return )?guarded\(.*\);\s*", body, re.S)
    }
    assert unguarded == {"take_failure"}, "wrap what a function does in guarded([&] { … })"


def test_every_struct_has_the_fields_that_cpp_has() -> None:
    ours = structs()
    assert len(ours) > 10
    for name, struct in ours.items():
        theirs = struct_in_cpp(name)
        assert struct._fields_ == [(field.name, field.ctype) for field in theirs], name


@pytest.mark.parametrize("build", library.usable_builds())
def test_every_struct_is_as_large_in_every_build(build: str) -> None:
    functions = library.STRUCTS.bind(ctypes.CDLL(str(library.build_file(build))))
    for name, struct in structs().items():
        assert functions.size_of_struct(name.encode()) == ctypes.sizeof(struct), name


CONSTANTS = {
    "PAD": symbols.PAD,
    "BOS": symbols.BOS,
    "EOS": symbols.EOS,
    "NORM_ROWS": training.NORM_ROWS,
    "SIDE": training.SIDE,
}


@pytest.mark.parametrize(("name", "value"), CONSTANTS.items(), ids=CONSTANTS)
def test_constants_are_the_same_on_both_sides(name: str, value: int) -> None:
    constant = rf"constexpr int (?:\w+ = \w+, )*{name} = (\d+)"
    [found] = [found for text in SOURCES.values() for found in re.findall(constant, text)]
    assert int(found) == value


def test_what_is_not_in_the_source_is_copied_as_rarely_on_both_sides() -> None:
    [found] = re.findall(r"constexpr float LEAST_WEIGHT = (\S+)f;", SOURCES["copying.h"])
    assert float(found) == LEAST_WEIGHT


def test_activations_are_numbered_alike() -> None:
    [names] = re.findall(r"enum Activation \{(.*?)\}", SOURCES["layers.h"])
    in_python = [name.replace("-", "_") for name in transformer.ACTIVATIONS]
    assert names.lower().replace(" ", "").split(",") == in_python


def test_scores_are_numbered_alike() -> None:
    [names] = re.findall(r"enum Score \{(.*?)\}", SOURCES["recurrent_attention.h"])
    numbered = names.lower().replace(" ", "").replace("_", "-").split(",")
    assert numbered == [*recurrent.SCORES]


@pytest.mark.parametrize(
    "path", sorted((FOLDER.parent / "search").glob("*.py")), ids=lambda path: path.stem
)
def test_search_does_not_ask_whether_there_are_kernels(path: Path) -> None:
    """`inference` decides; a search that asked by itself would be one more place to forget."""
    assert "kernels.library" not in path.read_text(encoding="utf-8")
    assert "kernels import library" not in path.read_text(encoding="utf-8")
