"""The text of `--help`: usage, description, and panels of arguments, options and commands.

Written without Rich, whose help costs as much to import as all else that `--help` needs.
"""

import inspect
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

USUAL_WIDTH = 80  # columns of help that is not written to a terminal
NARROWEST = 40  # columns, below which text is not wrapped further
WIDEST_NAMES = 0.42  # of a panel, for the names of options; longer ones have a line of their own

BOLD, DIM, RED, CYAN, GREEN, YELLOW = "1", "2", "31", "1;36", "1;32", "1;33"
STYLES = (  # of names in a panel, the first that fits
    (re.compile(r"--[\w-]+"), CYAN),
    (re.compile(r"(?<![\w-])-\w\b"), GREEN),
    (re.compile(r"<[^>]+>|(?<![\w<|])[A-Z][A-Z,…]*(?:\.\.\.)?"), YELLOW),
)
OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")  # within text
ASCII = str.maketrans("╭╮╰╯─│…—", "++++-|.-")

Rows = list[tuple[str, str, str]]  # of a panel: names, what is said about them, default and limits


def first_paragraph(text: str) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())


def _terminal_width() -> int:
    """The columns of the terminal, also if only stdin or stderr is one, as in `--help | less`."""
    for name in ("TERMINAL_WIDTH", "COLUMNS"):
        if (value := os.environ.get(name, "")).isdecimal() and int(value):
            return max(NARROWEST, int(value))
    for number in (1, 2, 0):
        with suppress(OSError):
            if columns := os.get_terminal_size(number).columns:
                return max(NARROWEST, columns)
    return max(NARROWEST, shutil.get_terminal_size((USUAL_WIDTH, 24)).columns)


def _has_colour() -> bool:
    if "NO_COLOR" in os.environ or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    if any(os.environ.get(name) for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS")):
        return True
    return sys.stdout.isatty()


def print_help(command: Any, ctx: Any, panels: Mapping[str, Rows]) -> None:
    """Print the help of a command; `panels` are the commands of a group.

    Raises BrokenPipeError if nobody reads it.
    """
    if sys.stdout is None:
        return
    text = "".join(f"{line}\n" for line in _lines(command, ctx, panels, _terminal_width()))
    if not _has_colour():
        text = re.sub(r"\033\[[\d;]*m", "", text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(ASCII).encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
    sys.stdout.flush()


def _lines(command: Any, ctx: Any, panels: Mapping[str, Rows], width: int) -> Iterator[str]:
    usage = " ".join(command.get_usage(ctx).split())
    yield ""
    for index, line in enumerate(_wrapped(usage, width - 2)):
        yield " " + _styled(line.replace("Usage:", _styled("Usage:", YELLOW), not index), BOLD)
    yield ""
    for index, paragraph in enumerate(inspect.cleandoc(command.help or "").split("\n\n")):
        if not paragraph:
            continue
        example = paragraph.startswith("\b")
        lines = paragraph.strip("\b\n").split("\n") if example else _wrapped(paragraph, width - 2)
        yield from (f" {_styled(_highlighted(line), DIM if index else '')}" for line in lines)
        yield ""
    for title, rows in [*_parameters(command, ctx).items(), *panels.items()]:
        yield from _panel(title, rows, width)


def _parameters(command: Any, ctx: Any) -> dict[str, Rows]:
    """Arguments and options by panel: their names and values, and what is said about them."""
    found: dict[str, Rows] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        if (record := parameter.get_help_record(ctx)) is None:  # hidden
            continue
        is_argument = parameter.param_type_name == "argument"
        panel = getattr(parameter, "rich_help_panel", None)
        title = panel if isinstance(panel, str) else "Arguments" if is_argument else "Options"
        names, text = (column.replace(" range>", ">") for column in record)
        described = getattr(parameter, "help", None) or ""
        facts = text.removeprefix(described).strip()
        found.setdefault(title, []).append((names, described, facts))
    return {title: _aligned(rows) for title, rows in found.items() if rows}


def _aligned(rows: Rows) -> Rows:
    """Indent long names, if others have a short one before it."""
    short = re.compile(r"-\w, ")
    if not any(short.match(names) for names, _, _ in rows):
        return rows
    return [
        (names if short.match(names) else f"    {names}", text, facts)
        for names, text, facts in rows
    ]


def _panel(title: str, rows: Rows, width: int) -> Iterator[str]:
    """A box with a title, and what stands in it in two columns."""
    inside = width - 4
    most = int(inside * WIDEST_NAMES)
    left = max((len(names) for names, _, _ in rows if len(names) <= most), default=most)
    edge = _styled("│", DIM)
    yield _styled(f"╭─ {title} {'─' * (width - 5 - len(title))}╮", DIM)
    for names, text, facts in rows:
        lines = _lines_about(text, facts, inside - left - 2)
        if len(names) > left:
            yield f"{edge} {_named(names[:inside])}{' ' * (inside - len(names))} {edge}"
            names = ""
        for line, shown in zip(lines, _described(lines, len(facts)), strict=True):
            padding = " " * (inside - left - 2 - len(line))
            yield f"{edge} {_named(names)}{' ' * (left - len(names))}  {shown}{padding} {edge}"
            names = ""
    yield _styled(f"╰{'─' * (width - 2)}╯", DIM)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def _lines_about(text: str, facts: str, width: int) -> list[str]:
    """The description of a parameter; short facts stay on one line."""
    whole = facts.replace(" ", "\0") if len(facts) <= width else facts
    return [line.replace("\0", " ") for line in _wrapped(f"{text} {whole}", width)] or [""]


def _styled(text: str, codes: str, wanted: bool = True) -> str:
    """Text in a style; a style within it ends without ending this one."""
    if not codes or not wanted:
        return text
    return f"\033[{codes}m" + text.replace("\033[0m", f"\033[0;{codes}m") + "\033[0m"


def _named(names: str) -> str:
    """The names of a command or an option with their colours."""
    if not names:
        return ""
    if not names.strip().startswith("-") and not re.match(r"[A-Z{\[<]", names):
        return _styled(names, CYAN)  # a command
    pattern = "|".join(f"({each.pattern})" for each, _ in STYLES)
    return re.sub(
        pattern, lambda found: _styled(found[0], STYLES[(found.lastindex or 1) - 1][1]), names
    )


def _highlighted(text: str) -> str:
    """Text in which options stand out."""
    return OPTION.sub(lambda found: _styled(found[0], CYAN if found[0][1] == "-" else GREEN), text)


def _described(lines: list[str], dim: int) -> Iterator[str]:
    """The lines of a description, whose last `dim` characters are its default and limits."""
    left = sum(map(len, lines)) + len(lines) - 1 - dim  # characters before those
    for line in lines:
        cut = min(max(left, 0), len(line))
        facts = line[cut:].replace("[required]", _styled("[required]", RED))
        yield _highlighted(line[:cut]) + _styled(facts, DIM if facts else "")
        left -= len(line) + 1
