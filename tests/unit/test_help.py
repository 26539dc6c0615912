"""The help of commands: examples can be copied, required options are marked."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from seq2seq_cli.cli.app import COMMANDS, app
from seq2seq_cli.cli.help import first_paragraph

COLUMNS = 80  # of a terminal; help leaves one free at each side


def commands(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its names, groups included."""
    yield names, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *names, name)


ALL = [
    pytest.param(names, command, id=" ".join(names) or "seq2seq")
    for names, command in commands(typer.main.get_command(app))
]


def shown(*names: str) -> list[str]:
    """The lines that --help prints in a terminal of 80 columns."""
    given = {"COLUMNS": str(COLUMNS), "TERMINAL_WIDTH": str(COLUMNS), "NO_COLOR": "1"}
    result = CliRunner(env=given).invoke(app, [*names, "--help"])
    assert result.exit_code == 0
    return [line.strip() for line in result.stdout.splitlines()]


@pytest.mark.parametrize(("names", "command"), ALL)
def test_examples_are_whole_in_a_terminal_of_80_columns(
    names: tuple[str, ...], command: Any
) -> None:
    _, _, text = (command.help or "").partition("\b")
    examples = [line for line in text.splitlines() if line.strip()]
    assert [line for line in examples if len(line) > COLUMNS - 2] == []
    assert examples or hasattr(command, "commands")
    lines = shown(*names)
    assert [line for line in examples if line.strip() not in lines] == []


def test_help_of_train_says_which_options_are_required() -> None:
    text = " ".join(" ".join(line.strip("│ ") for line in shown("train")).split())
    assert "Run folder to write (required)." in text
    assert text.count("Required unless --config names them") == 4


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_the_first_paragraph_of_its_help(name: str) -> None:
    """It is written apart, so that `seq2seq --help` need not import the command."""
    command: Any = typer.main.get_command(app)
    assert COMMANDS[name].summary == first_paragraph(command.commands[name].help)


@pytest.mark.parametrize("columns", ["40", "57", "80", "133"])
@pytest.mark.parametrize(("names", "command"), ALL)
def test_panels_are_as_wide_as_the_terminal(
    names: tuple[str, ...], command: Any, columns: str
) -> None:
    given = {"COLUMNS": columns, "TERMINAL_WIDTH": columns, "FORCE_COLOR": "1", "NO_COLOR": None}
    result = CliRunner(env=given).invoke(app, [*names, "--help"], color=True)
    assert "\033[" in result.stdout
    lines = re.sub(r"\033\[[\d;]*m", "", result.stdout).splitlines()
    boxes = [line for line in lines if line.startswith(("╭", "│", "╰"))]
    assert {len(line) for line in boxes} == {int(columns)}
    assert {line[-1] for line in boxes} == {"╮", "│", "╯"}


def test_help_says_default_limits_and_what_is_required() -> None:
    text = " ".join(" ".join(line.strip("│ ") for line in shown("translate")).split())
    assert "is greedy search. [default: 5; 1<=x<=1000]" in text
    assert "several are an ensemble. [required]" in text


@pytest.mark.parametrize("words", [["--help"], ["translate", "--help"], []])
def test_help_that_nobody_reads_ends_as_by_a_broken_pipe(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "seq2seq_cli", *words]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_help_has_no_characters_that_the_output_cannot_show() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "seq2seq_cli", "translate", "--help"]
    shown = subprocess.run(command, capture_output=True, env=environment, check=True).stdout
    assert b"+- Search --" in shown
    assert b"?" not in shown
