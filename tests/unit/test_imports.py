"""Modules know only what lies below them, and the command line answers at once."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import seq2seq_cli
from seq2seq_cli.cli.app import app

PACKAGE = "seq2seq_cli"
ROOT = Path(seq2seq_cli.__file__).parent

# From the command line down to what everyone may know. A module imports only from rows below its
# own; within a package of several files anything goes.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"experiment"},
    {"plots"},
    {"validation", "inspection", "exporting", "likelihood"},
    {"translator", "scoring"},
    {"training", "search"},
    {"memory"},
    {"averaging", "fine_tuning", "objective"},
    {"checkpoint", "compiling", "optimization", "devices", "streaming", "feed"},
    {"r_drop"},
    {"diagnosis", "models", "loss", "lexicon", "token_store"},
    {"native"},
    {"batching"},
    {"tokenizer", "corpus", "alignments", "cache"},
    {"config", "text", "presets", "subwords"},
    {"symbols", "errors"},
    {"__init__"},  # the version
]
ROW = {name: row for row, names in enumerate(LAYERS) for name in names}
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


def part(path: Path) -> str:
    """The module or package directly below the root that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


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


def parts_imported(path: Path) -> set[str]:
    """What of the project a file imports, itself left out."""
    names = [name.split(".") for name in imported(path)]
    own = {
        name[1] if name[1:2] and name[1] in ROW else "__init__"
        for name in names
        if name[0] == PACKAGE
    }
    return own - {part(path)}


def libraries_imported(name: str) -> set[str]:
    """What else the files of a module or package import."""
    files = [path for path in modules() if part(path) == name]
    tops = {full.split(".")[0] for path in files for full in imported(path)}
    return tops - {PACKAGE} - sys.stdlib_module_names


def test_every_module_has_its_layer() -> None:
    assert {part(path) for path in modules()} == set(ROW)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_the_layers_only(path: Path) -> None:
    not_below = {name for name in parts_imported(path) if ROW[name] <= ROW[part(path)]}
    assert not_below == set()


@pytest.mark.parametrize(
    ("name", "project", "libraries"),
    [
        ("models", {"native", "config", "symbols", "errors"}, {"torch"}),
        ("search", {"models", "native", "batching", "config", "errors", "symbols"}, {"torch"}),
    ],
)
def test_who_knows_what(name: str, project: set[str], libraries: set[str]) -> None:
    """Models know no files, no SentencePiece and no beams; search knows only models."""
    files = [path for path in modules() if part(path) == name]
    assert set().union(*map(parts_imported, files)) <= project
    assert libraries_imported(name) <= libraries


def test_only_the_command_line_prints_and_exits() -> None:
    for path in modules():
        if part(path) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in {"print", "exit", "sys.exit"}, f"{path}:{node.lineno}"


def test_the_command_line_starts_without_slow_libraries() -> None:
    code = "import json, sys, seq2seq_cli.cli; print(json.dumps([*sys.modules]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert SLOW & set(json.loads(result.stdout)) == set()


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


def processor_seconds(*arguments: str) -> float:
    before = os.times().children_user
    result = subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    assert b"Usage" in result.stdout
    return os.times().children_user - before


SLACK = 2.2  # times as long as an empty program; a single import of torch would make it eight

EMPTY = """
import typer
app = typer.Typer()
@app.command()
def one(option: int = 1): ...
@app.command()
def two(option: int = 1): ...
app()
"""


@pytest.mark.parametrize("command", [*commands(typer.main.get_command(app))], ids="-".join)
def test_help_answers_as_fast_as_that_of_an_empty_program(command: tuple[str, ...]) -> None:
    """The best of up to five runs of each: what else the machine does changes little."""
    empty, ours = [], []
    for _ in range(5):
        empty.append(processor_seconds("-c", EMPTY, "one", "--help"))
        ours.append(processor_seconds("-m", PACKAGE, *command, "--help"))
        if min(ours) < SLACK * min(empty):
            return
    assert min(ours) < SLACK * min(empty)


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
