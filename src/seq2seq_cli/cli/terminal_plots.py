"""Attention maps and training curves drawn with characters."""

import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from unicodedata import bidirectional, category, east_asian_width

from seq2seq_cli.evaluation.writing import is_right_to_left

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.curves import Curve

BARS = "▁▂▃▄▅▆▇█"
COLUMNS = 60  # width of a curve
SHADES = " ░▒▓█"
GREYS = 23  # shades above black among the 256 colours of a terminal


# Around text from right to left, so that a terminal that reorders it leaves the rest of the line as
# it is: an isolate, and an override that keeps the order of a line that is made of several texts.
ISOLATE, END_ISOLATE = "\u2068", "\u2069"
LEFT_TO_RIGHT, END_OVERRIDE = "\u202d", "\u202c"


def cell_width(text: str) -> int:
    """How many columns text takes in a terminal."""
    return sum(map(_letter_width, text))


def _letter_width(letter: str) -> int:
    if category(letter) in ("Mn", "Me", "Cf"):
        return 0  # drawn over the letter before it, or not at all
    return 2 if east_asian_width(letter) in "WF" else 1


def _letters(text: str) -> list[str]:
    """The letters of a text, each with the signs that belong to it."""
    letters: list[str] = []
    for character in text:
        if letters and category(character) in ("Mn", "Mc", "Me", "Cf"):
            letters[-1] += character
        else:
            letters.append(character)
    return letters


def heat_map(
    source: Sequence[str],
    target: Sequence[str],
    weights: Sequence[Sequence[float]],
    *,
    colour: bool,
) -> Iterator[str]:
    """Lines to print: a row for each target token, a cell of two columns for each source token.

    Source tokens are written from top to bottom above their cells, the first at the right if the
    source is written from right to left.
    """
    reversed_ = is_right_to_left(source)
    margin = max(map(cell_width, target)) + 1
    columns = [_letters(piece) for piece in source]
    height = max(map(len, columns))
    for level in range(height):
        letters = [([" "] * (height - len(each)) + each)[level] for each in columns]
        cells = [letter + " " * (2 - cell_width(letter)) for letter in letters]
        line = (" " * margin + "".join(cells[::-1] if reversed_ else cells)).rstrip()
        yield f"{LEFT_TO_RIGHT}{line}{END_OVERRIDE}" if has_right_to_left(line) else line
    for piece, row in zip(target, weights, strict=True):
        label = f"{ISOLATE}{piece}{END_ISOLATE}" if has_right_to_left(piece) else piece
        cells = [_cell(weight, colour) for weight in row]
        padding = " " * (margin - 1 - cell_width(piece))
        yield f"{padding}{label} " + "".join(cells[::-1] if reversed_ else cells)


def has_right_to_left(text: str) -> bool:
    """Whether a text has letters that are written from right to left."""
    return any(bidirectional(letter) in ("R", "AL") for letter in text)


def _cell(weight: float, colour: bool) -> str:
    share = min(1.0, max(0.0, weight))
    if colour:
        return f"\x1b[48;5;{232 + round(share * GREYS)}m  \x1b[0m"
    return SHADES[round(share * (len(SHADES) - 1))] * 2


def shows_colour() -> bool:
    """Whether standard output is a terminal that shows 256 colours."""
    from rich.console import Console

    return Console(file=sys.stdout).color_system in ("256", "truecolor")


def curve_lines(curves: "Sequence[Curve]", over: str) -> Iterator[str]:
    """A block for each figure, in it a line for each run: the curve, then its last value.

    All runs of a figure share both axes, so that their lines can be compared.
    """
    width = max(cell_width(curve.run) for curve in curves)
    for figure in dict.fromkeys(curve.figure for curve in curves):
        chosen = [curve for curve in curves if curve.figure == figure]
        end = max(curve.x[-1] for curve in chosen)
        low, high = min(min(c.y) for c in chosen), max(max(c.y) for c in chosen)
        yield f"{figure}, {low:.4g} to {high:.4g}, over {end:,.4g} {over}"
        for curve in chosen:
            padding = " " * (width - cell_width(curve.run))
            last = f"last {curve.y[-1]:.4g}"
            yield f"  {curve.run}{padding}  {_bars(curve, end, low, high):<{COLUMNS}}  {last}"
        yield ""


def _bars(curve: "Curve", end: float, low: float, high: float) -> str:
    """The latest value at each column, as a bar; blank before the first and after the last."""
    bars = []
    for column in range(COLUMNS):
        x = end * (column + 1) / COLUMNS
        points = bisect_right(curve.x, x * (1 + 1e-9))
        if points == 0 or end * column / COLUMNS > curve.x[-1]:
            bars.append(" ")
            continue
        share = (curve.y[points - 1] - low) / ((high - low) or 1.0)
        bars.append(BARS[round(share * (len(BARS) - 1))])
    return "".join(bars).rstrip()
