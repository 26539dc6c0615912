"""Attention maps, curves, scores by length and comparisons as files, by the ending of the name."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.plots import figures, page
from seq2seq_cli.messages import Warn, ignore_warning
from seq2seq_cli.whole_files import replace_file

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.attention_maps import AttentionMap
    from seq2seq_cli.evaluation.comparison_results import SystemComparison
    from seq2seq_cli.evaluation.curves import Curve
    from seq2seq_cli.evaluation.geometry import SideGeometry
    from seq2seq_cli.evaluation.probes.report import ProbeReport
    from seq2seq_cli.evaluation.probes.word_states import WordStates
    from seq2seq_cli.evaluation.scoring import Bucket

MAP_FORMATS = (".png", ".svg", ".html", ".json")
CURVE_FORMATS = (".png", ".svg", ".html")
LENGTH_FORMATS = (".png", ".svg")
STATES_FORMATS = (".npz", ".parquet", ".safetensors")
COMPARISON_FORMATS = (".html", ".json", ".md", ".tex")


def check_format(path: Path, formats: Sequence[str]) -> None:
    """Raise InputError for a name that does not end in one of the formats."""
    if path.suffix not in formats:
        *others, last = formats
        raise InputError(f"{path}: the name must end in {', '.join(others)} or {last}")


def save_attention(
    maps: "Sequence[AttentionMap]",
    path: Path,
    title: str,
    layer: int | None = None,
    head: int | None = None,
    *,
    warn: Warn = ignore_warning,
) -> None:
    """Write attention maps in one of MAP_FORMATS.

    Figures show one layer and head, both counted from 1, or the mean over all; pages and JSON hold
    every layer and head. `warn` is told of characters that no installed font has. Raises InputError
    for a layer or head that the model does not have, and where a figure needs matplotlib and it is
    not installed.
    """
    check_format(path, MAP_FORMATS)
    maps[0].mean(layer, head)  # a layer or head that is missing is an error in any format
    if path.suffix == ".html":
        replace_file(path, page.attention_page(maps, title).encode())
    elif path.suffix == ".json":
        replace_file(path, json.dumps(page.attention_data(maps), ensure_ascii=False).encode())
    else:
        figures.save(figures.attention_figure(maps, layer, head), path, warn)


def save_geometry(sides: "Sequence[SideGeometry]", path: Path, title: str) -> None:
    """Write a page with the words of each layer in a plane."""
    replace_file(path, page.geometry_page(sides, title).encode())


def save_curves(
    curves: "Sequence[Curve]",
    over: str,
    path: Path,
    title: str,
    *,
    warn: Warn = ignore_warning,
) -> None:
    """Write training curves over `over`, their x axis, in one of CURVE_FORMATS.

    Raises InputError where matplotlib is not installed.
    """
    check_format(path, CURVE_FORMATS)
    drawing = figures.curve_figure(curves, over)
    if path.suffix == ".html":
        replace_file(path, figures.as_page(drawing, title, warn).encode())
    else:
        figures.save(drawing, path, warn)


def save_scores_by_length(
    systems: "Mapping[str, Sequence[Bucket]]", path: Path, *, warn: Warn = ignore_warning
) -> None:
    """Draw the first metric of each system over the length of lines, in one of LENGTH_FORMATS.

    Raises InputError where matplotlib is not installed.
    """
    check_format(path, LENGTH_FORMATS)
    figures.save(figures.length_figure(systems), path, warn)


def save_comparison(comparison: "SystemComparison", path: Path) -> None:
    """Write a comparison of systems in one of COMPARISON_FORMATS."""
    from seq2seq_cli.evaluation.comparison_tables import as_latex, as_markdown

    check_format(path, COMPARISON_FORMATS)
    write = {
        ".html": page.comparison_page,
        ".json": lambda each: f"{each.as_json()}\n",
        ".md": as_markdown,
        ".tex": as_latex,
    }[path.suffix]
    replace_file(path, write(comparison).encode())


def save_tree(
    shown: "WordStates",
    report: "ProbeReport",
    path: Path,
    *,
    warn: Warn = ignore_warning,
) -> None:
    """Write a sentence's tree and its states in the layer that knows trees best, PNG or SVG.

    Raises InputError where matplotlib is not installed.
    """
    from seq2seq_cli.evaluation.plots.geometry_figures import tree_figure

    check_format(path, LENGTH_FORMATS)
    layer = report.best().layer
    vectors = shown.layers[layer] @ report.projections[layer]
    figures.save(tree_figure(shown.tree, vectors, f"{Path(report.run).name}, {layer}"), path, warn)
