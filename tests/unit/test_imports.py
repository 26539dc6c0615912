"""Modules know only what lies below them, and the command line answers at once."""

import ast
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import seq2seq_cli
from seq2seq_cli.cli.app import COMMANDS, app
from seq2seq_cli.devices import is_cpu

PACKAGE = "seq2seq_cli"
ROOT = Path(seq2seq_cli.__file__).parent

SLOW = {
    "torch",
    "sentencepiece",
    "datasets",
    "pyarrow",
    "sacrebleu",
    "matplotlib",
    "numpy",
    "safetensors",
}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def packages() -> list[Path]:
    return [path.parent for path in modules() if path.name == "__init__.py"]


def listed(package: Path) -> list[str]:
    """The files and packages that a package's docstring lists, in its order."""
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    return re.findall(r"^- `(\w+)`", ast.get_docstring(tree) or "", re.M)


def contents(package: Path) -> set[str]:
    """The files and packages within a package; folders without Python count as packages."""
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    folders = {path.name for path in package.iterdir() if path.is_dir()}
    return files | {name for name in folders if not name.startswith("__")}


def imported(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, at whatever place."""
    package = [PACKAGE, *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            # `from package import module` imports a module, `from module import thing` does not
            yield from (f"{name}.{alias.name}" for alias in node.names)


def file_of(name: str) -> Path | None:
    """The file of a module of the project, or of the module that a name stands in."""
    first, *rest = name.split(".")
    if first != PACKAGE:
        return None
    for count in range(len(rest), -1, -1):
        path = ROOT.joinpath(*rest[:count])
        if path != ROOT and path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        if (path / "__init__.py").is_file():
            return path / "__init__.py"
    return None


def names_within(path: Path) -> list[str]:
    """The packages that a file is in, from the root on, and its own name."""
    return [*path.relative_to(ROOT).with_suffix("").parts]


def stands_above(one: Path, other: Path) -> bool:
    """Whether a file stands above another in the docstring of the package that holds both."""
    package = ROOT
    for first, second in zip(names_within(one), names_within(other), strict=False):
        if first == second:
            package /= first
            continue
        if package == ROOT and first == "__init__":
            return True  # the version
        order = [*listed(package), "__init__"]
        return order.index(first) < order.index(second)
    return False


def libraries_imported(package: Path) -> set[str]:
    """What else than the project the files of a package import."""
    tops = {full.split(".")[0] for path in package.rglob("*.py") for full in imported(path)}
    return tops - {PACKAGE} - sys.stdlib_module_names


@pytest.mark.parametrize("package", packages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_docstring_of_a_package_lists_all_that_is_in_it(package: Path) -> None:
    assert sorted(listed(package)) == sorted(contents(package))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_files_above_it(path: Path) -> None:
    files = {found for name in imported(path) if (found := file_of(name))} - {path}
    assert [file for file in sorted(files) if not stands_above(file, path)] == []


@pytest.mark.parametrize("name", ["models", "search"])
def test_models_and_search_need_torch_and_numpy_alone(name: str) -> None:
    """Models know no files, no SentencePiece and no beams; search knows only models."""
    assert libraries_imported(ROOT / name) <= {"torch", "numpy"}


def test_only_the_command_line_prints_and_exits() -> None:
    for path in modules():
        if path.is_relative_to(ROOT / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in {"print", "exit", "sys.exit"}, f"{path}:{node.lineno}"


LIGHT = ("cli.app", "config", "data", "runs", "search", "training", "translation")


@pytest.mark.parametrize("package", LIGHT)
def test_packages_that_commands_import_at_once_are_free_of_slow_libraries(package: str) -> None:
    code = f"import json, sys, {PACKAGE}.{package}; print(json.dumps([*sys.modules]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert SLOW & set(json.loads(result.stdout)) == set()


@pytest.mark.skipif(not is_cpu("auto"), reason="a GPU is counted by torch")
def test_one_of_several_processes_finds_that_there_is_no_gpu_without_torch() -> None:
    code = f"import sys; from {PACKAGE}.launching import device_of_process"
    code += "; print(device_of_process('auto')); sys.exit('torch' in sys.modules)"
    launched = os.environ | {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, env=launched)
    assert (done.returncode, done.stdout) == (0, b"auto\n")


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


def processor_seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


MOST_STARTS = 12  # of an interpreter that does nothing; typer takes six, torch more than a hundred


@pytest.mark.parametrize("command", [*commands(typer.main.get_command(app))], ids="-".join)
def test_help_answers_within_twelve_starts_of_the_interpreter(command: tuple[str, ...]) -> None:
    """The best of up to ten runs of each: what else the machine does changes little."""
    bare, ours = [], []
    for _ in range(10):
        bare.append(processor_seconds("-c", "pass"))
        ours.append(processor_seconds("-m", PACKAGE, *command, "--help"))
        if min(ours) < MOST_STARTS * min(bare):
            return
    assert min(ours) < MOST_STARTS * min(bare)


@pytest.mark.parametrize("command", [*commands(typer.main.get_command(app))], ids="-".join)
def test_help_imports_the_module_of_its_command_alone(command: tuple[str, ...]) -> None:
    code = f"""
import sys
from {PACKAGE}.cli import main
sys.argv = ["seq2seq", *{list(command)}, "--help"]
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Usage" in result.stdout
    loaded = set(result.stderr.split())
    assert loaded & {*SLOW, "rich"} == set()
    files = {name: f"{PACKAGE}.cli.{entry.function_of(name)}" for name, entry in COMMANDS.items()}
    assert {name for name, file in files.items() if file in loaded} == {*command[:1]}


@pytest.mark.parametrize("before", ["default_int_handler", "SIG_IGN"])
def test_an_interrupt_that_nobody_waits_for_ends_the_process(before: str) -> None:
    """Modules that are imported may swallow an exception; what a shell ignores stays ignored."""
    code = f"""
import signal, sys
from seq2seq_cli.cli import main
signal.signal(signal.SIGINT, signal.{before})
sys.argv = ["seq2seq", "--version"]
try:
    main()
except SystemExit:
    print(signal.getsignal(signal.SIGINT).name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = "SIG_IGN" if before == "SIG_IGN" else "SIG_DFL"
    assert done.stdout.split()[-1] == expected
