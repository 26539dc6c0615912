"""`seq2seq settings`: what can be set, and what it means."""

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seq2seq_cli.config.documentation import Group, Setting

NARROWEST = 40  # columns, below which text is not wrapped further


def settings(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            help="A setting such as training.seed or seed, or a section such as model.",
            show_default=False,
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write Markdown, as in docs/settings.md.")
    ] = False,
) -> None:
    """List all settings, or show the type, default, allowed values, meaning and paper of one.

    A setting is given in a file with `seq2seq train --config`, or with `--set`.

    \b
    seq2seq settings
    seq2seq settings training
    seq2seq settings model.dropout
    """
    from seq2seq_cli.config import documentation

    found = documentation.find(key) if key else documentation.groups()
    chosen = [setting for group in found for setting in group.settings]
    if markdown:
        sys.stdout.write(documentation.markdown(found))
    elif key and key.strip("[] ") not in {setting.section for setting in chosen}:
        print("\n\n".join(_described(setting, _columns()) for setting in chosen))
    elif (columns := _columns()) is None:
        print("\n".join(_lines(chosen)))
    else:
        print("\n\n".join(_table(group, columns) for group in found))


def _columns() -> int | None:
    """The width of the terminal; None if the output goes elsewhere, where lines stay whole."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return max(NARROWEST, shutil.get_terminal_size().columns)


def _bold(text: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else typer.style(text, bold=True)


def _wrapped(text: str, indent: str, columns: int | None) -> str:
    if columns is None:
        return indent + text
    return textwrap.fill(
        *(text, columns),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _lines(chosen: list["Setting"]) -> list[str]:
    """A line for each setting, as `grep` likes them: key, default and summary."""
    widths = [max(len(row[column]) for row in map(_cells, chosen)) for column in (0, 1)]
    return [
        f"{key:<{widths[0]}}  {default:<{widths[1]}}  {summary}"
        for key, default, summary in map(_cells, chosen)
    ]


def _cells(setting: "Setting") -> tuple[str, str, str]:
    only = f" ({', '.join(setting.architectures)})" if setting.architectures else ""
    return setting.key, setting.default, setting.summary + only


def _table(group: "Group", columns: int) -> str:
    """A group of settings for the terminal: name, default and summary in columns."""
    name = max(len(setting.name) for setting in group.settings)
    default = max(len(setting.default) for setting in group.settings)
    indent = " " * (name + default + 6)
    lines = [_bold(group.title)]
    for setting in group.settings:
        text = _wrapped(setting.summary, indent, columns).removeprefix(indent)
        padded = setting.name.ljust(name)
        lines.append(f"  {_bold(padded)}  {setting.default:<{default}}  {text}")
    return "\n".join(lines)


def _described(setting: "Setting", columns: int | None) -> str:
    """All about one setting."""
    lines = [_bold(setting.key)]
    facts = {
        "models": ", ".join(setting.architectures),
        "type": setting.type,
        "default": setting.default,
        "allowed": setting.allowed,
    }
    lines += [f"  {name:<8} {fact}" for name, fact in facts.items() if fact]
    paper = f"Paper: {setting.paper}" if setting.paper else ""
    for paragraph in (setting.summary, *setting.details.split("\n\n"), paper):
        if paragraph:
            lines += ["", _wrapped(paragraph, "  ", columns)]
    return "\n".join(lines)
