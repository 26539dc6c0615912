"""Figures with matplotlib, from the extra `plots`."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.plots.fonts import families_for, missing_message
from seq2seq_cli.evaluation.writing import is_right_to_left
from seq2seq_cli.messages import Warn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seq2seq_cli.evaluation.attention_maps import AttentionMap
    from seq2seq_cli.evaluation.curves import Curve
    from seq2seq_cli.evaluation.scoring import Bucket

CELL = 0.28  # inches for each token


def figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches; drawn without a display.

    Raises InputError where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(
            "figures need matplotlib: pip install 'seq2seq-cli[plots]'; --output FILE.html and "
            "FILE.json do without"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def attention_figure(
    maps: "Sequence[AttentionMap]", layer: int | None, head: int | None
) -> "Figure":
    """A heat map for each sentence, one below the other; a dark cell is a large weight."""
    heights = [len(drawn.target) * CELL + 1.6 for drawn in maps]
    width = max(len(drawn.source) for drawn in maps) * CELL + 2.2
    drawing = figure(width, sum(heights))
    axes = drawing.subplots(len(maps), 1, squeeze=False, height_ratios=heights)[:, 0]
    for drawn, axis in zip(maps, axes, strict=True):
        image = _heat_map(axis, drawn, layer, head)
        scale = axis.inset_axes((1.03, 0, 0.04, 1))  # beside the map, however small that is
        drawing.colorbar(image, cax=scale, label="attention weight")
    return drawing


def _heat_map(axis: Any, drawn: "AttentionMap", layer: int | None, head: int | None) -> Any:
    image = axis.imshow(
        drawn.mean(layer, head), cmap="Blues", vmin=0, vmax=1, interpolation="nearest"
    )
    axis.set_xticks(range(len(drawn.source)), [plain(p) for p in drawn.source], rotation=90)
    axis.set_yticks(range(len(drawn.target)), [plain(p) for p in drawn.target])
    axis.set_xlabel("source")
    axis.set_ylabel("translation")
    axis.xaxis.set_label_position("top")
    axis.xaxis.tick_top()
    axis.tick_params(length=0, labelsize=8)
    axis.set_anchor("W")
    if is_right_to_left(drawn.source):
        axis.invert_xaxis()  # the first token at the right, as it is read
    for side in axis.spines.values():
        side.set_color("#d5d5d5")
    return image


def length_figure(systems: "Mapping[str, Sequence[Bucket]]") -> "Figure":
    """The first metric over the length of lines, a curve for each system.

    Bootstrap intervals are drawn if the scores have them.
    """
    drawing = figure(6.4, 4.0)
    axis = drawing.subplots()
    for name, buckets in systems.items():
        first = [bucket.scores[0] for bucket in buckets]
        middles = [(bucket.least + bucket.most) / 2 for bucket in buckets]
        values = [score.value for score in first]
        spread = [score.confidence for score in first if score.confidence is not None]
        if len(spread) == len(first):
            axis.errorbar(middles, values, spread, marker="o", capsize=3, label=name)
        else:
            axis.plot(middles, values, marker="o", label=name)
        axis.set_ylabel(first[0].metric)
        axis.set_xlabel(f"{buckets[0].unit} in a line")
    # Matplotlib's own margin is a share of the spread of values: of equal ones it would be nothing.
    lowest, highest = min(0.0, axis.dataLim.y0), axis.dataLim.y1
    axis.set_ylim(lowest, highest + 0.06 * ((highest - lowest) or 1.0))
    axis.grid(axis="y", color="#e5e5e5")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.legend(frameon=False)
    return drawing


def curve_figure(curves: "Sequence[Curve]", over: str) -> "Figure":
    """A panel for each figure, in it a line for each run."""
    names = list(dict.fromkeys(curve.figure for curve in curves))
    runs = list(dict.fromkeys(curve.run for curve in curves))
    rows = (len(names) + 1) // 2
    drawing = figure(10.0, 2.8 * rows)
    axes = list(drawing.subplots(rows, 2, squeeze=False).flat)
    for name, axis in zip(names, axes, strict=False):
        for curve in curves:
            if curve.figure == name:
                colour = f"C{runs.index(curve.run)}"
                marker = "o" if len(curve.x) < 3 else ""
                axis.plot(curve.x, curve.y, marker=marker, color=colour, label=plain(curve.run))
        axis.set_title(name, loc="left", fontsize=10)
        axis.set_xlabel(over)
        axis.grid(color="#ececec")
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    axes[0].legend(frameon=False)
    return drawing


def as_page(drawing: "Figure", title: str, warn: Warn) -> str:
    """A self-contained HTML page that shows the figure."""
    text = io.StringIO()
    _write(drawing, text, warn, format="svg")
    picture = text.getvalue()
    escaped = title.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escaped}</title>'
        "<style>body{margin:2rem auto;max-width:70rem;font-family:system-ui,sans-serif}"
        "svg{max-width:100%;height:auto}</style></head>\n"
        f"<body><h1>{escaped}</h1>\n{picture[picture.index('<svg') :]}</body></html>\n"
    )


def plain(piece: str) -> str:
    """Escape a label: matplotlib reads text between dollars as a formula."""
    return piece.replace("$", r"\$")


def save(drawing: "Figure", path: Path, warn: Warn) -> None:
    """Write a PNG or an SVG, by the ending of the name."""
    _write(drawing, path, warn, dpi=150, bbox_inches="tight")


@contextmanager
def _silent_font_search() -> Iterator[None]:
    """Silence matplotlib about fonts that have only another weight than the usual one."""
    import logging

    logger = logging.getLogger("matplotlib.font_manager")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _write(drawing: "Figure", file: Path | io.StringIO, warn: Warn, **how: Any) -> None:
    """Write a figure in fonts that have its characters; `warn` is told of those that none has."""
    from matplotlib.text import Text

    with warnings.catch_warnings(), _silent_font_search():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        drawing.draw_without_rendering()  # or the labels at ticks have no text yet
        texts = [each for each in drawing.findobj(Text) if isinstance(each, Text)]
        labels = [label for label in texts if label.get_text()]
        text = "".join(label.get_text() for label in labels)
        families, without_font = families_for(text, labels[0].get_fontfamily())
        for label in labels:
            label.set_fontfamily(families)
        drawing.savefig(file, **how)
    if without_font:
        warn(missing_message(without_font))
