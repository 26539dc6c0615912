"""Figures with matplotlib, from the extra `plots`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq_cli.errors import InputError
from seq2seq_cli.inspection import AttentionMap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = 0.28  # inches a token


def figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches; drawn without a display.

    Raises InputError where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(
            "figures want matplotlib: pip install 'seq2seq-cli[plots]'; --output FILE.html and "
            "FILE.json do without"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def attention_figure(maps: Sequence[AttentionMap], layer: int | None, head: int | None) -> "Figure":
    """One heat map a sentence, below each other; dark is much weight."""
    heights = [len(one.target) * CELL + 1.6 for one in maps]
    width = max(len(one.source) for one in maps) * CELL + 2.2
    drawing = figure(width, sum(heights))
    axes = drawing.subplots(len(maps), 1, squeeze=False, height_ratios=heights)[:, 0]
    for one, axis in zip(maps, axes, strict=True):
        _heat_map(axis, one, layer, head)
    return drawing


def _heat_map(axis: Any, one: AttentionMap, layer: int | None, head: int | None) -> None:
    axis.imshow(
        one.chosen(layer, head).numpy(), cmap="Blues", vmin=0, vmax=1, interpolation="nearest"
    )
    axis.set_xticks(range(len(one.source)), [_plain(p) for p in one.source], rotation=90)
    axis.set_yticks(range(len(one.target)), [_plain(p) for p in one.target])
    axis.xaxis.tick_top()
    axis.tick_params(length=0, labelsize=8)
    axis.set_anchor("W")
    for side in axis.spines.values():
        side.set_color("#d5d5d5")


def _plain(piece: str) -> str:
    """A piece as a label: matplotlib reads dollars as mathematics."""
    return piece.replace("$", r"\$")


def save(drawing: "Figure", path: Path) -> None:
    """Write a PNG or SVG by the file's name."""
    drawing.savefig(path, dpi=150)
