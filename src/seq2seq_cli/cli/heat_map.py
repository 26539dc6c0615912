"""A heat map in the terminal: source tokens above, target tokens beside, dark to bright cells."""

import sys
from collections.abc import Iterator, Sequence
from unicodedata import east_asian_width

SHADES = " ░▒▓█"
STEPS = 23  # of grey in the 256 colours of a terminal


def cell_width(text: str) -> int:
    """Columns that text takes in a terminal."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def heat_map(
    source: Sequence[str],
    target: Sequence[str],
    weights: Sequence[Sequence[float]],
    *,
    colour: bool,
) -> Iterator[str]:
    """Lines to print; a cell is two columns wide. Source tokens stand upright above theirs."""
    margin = max(map(cell_width, target)) + 1
    height = max(map(len, source))
    for level in range(height):
        letters = [piece.rjust(height)[level] for piece in source]
        cells = [letter + " " * (2 - cell_width(letter)) for letter in letters]
        yield (" " * margin + "".join(cells)).rstrip()
    for piece, row in zip(target, weights, strict=True):
        label = " " * (margin - 1 - cell_width(piece)) + piece + " "
        yield label + "".join(_cell(weight, colour) for weight in row)


def _cell(weight: float, colour: bool) -> str:
    share = min(1.0, max(0.0, weight))
    if colour:
        return f"\x1b[48;5;{232 + round(share * STEPS)}m  \x1b[0m"
    return SHADES[round(share * (len(SHADES) - 1))] * 2


def shows_colour() -> bool:
    """Whether standard output is a terminal that shows 256 colours."""
    from rich.console import Console

    return Console(file=sys.stdout).color_system in ("256", "truecolor")
