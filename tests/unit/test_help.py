"""The help of commands: examples can be copied, required options are marked."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from seq2seq_cli.cli.app import app

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
