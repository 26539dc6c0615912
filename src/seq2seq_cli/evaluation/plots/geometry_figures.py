"""Figures of what probes find: trees beside embeddings, and senses of a word."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seq2seq_cli.evaluation.plots.figures import figure, plain
from seq2seq_cli.kernels.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seq2seq_cli.evaluation.probes.treebank import Tree

MOST_DEVIATION = 1.0  # of a squared distance from 1, where colours end
MOST_UPRIGHT = 12  # words of a sentence whose labels are not turned


def principal_components(vectors: Floats) -> Floats:
    """(T, 2): vectors in the plane in which they vary most."""
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(vectors), 2), np.float32)
    found = centred @ axes[:2].T
    plane[:, : found.shape[1]] = found
    return plane


def tree_figure(tree: "Tree", vectors: Floats, title: str) -> "Figure":
    """A tree as arcs over its sentence, and the Pythagorean embedding of its words below.

    `vectors` (T, D) are states times the probe's matrix. An edge of the tree is blue where the
    squared distance of its words is less than one, red where it is more. Dashed lines join words
    that are nearer to each other than the probe says of an edge, and yet have none (Coenen et al.
    2019, figure 2).
    """
    from matplotlib.patheffects import withStroke

    size = len(tree.forms)
    width = max(7.0, (0.3 if size > MOST_UPRIGHT else 0.75) * size + 1.5)
    upright = size <= MOST_UPRIGHT
    drawing = figure(width, 7.5 if upright else 12)
    top, below = drawing.subplots(2, 1, height_ratios=[1, 1.7 if upright else 2.8])
    edges = [(a, b, float(np.square(vectors[a] - vectors[b]).sum())) for a, b in tree.edges]
    _draw_arcs(top, tree, edges)
    top.set_title(title, loc="left", fontsize=10)
    points = principal_components(vectors)
    for a, b, squared in edges:
        below.plot(*points[[a, b]].T, color=_colour(squared), linewidth=2, zorder=1)
    joined = {frozenset(edge) for edge in tree.edges}
    for a in range(len(points)):
        for b in range(a):
            near = float(np.square(vectors[a] - vectors[b]).sum()) < 1
            if near and frozenset((a, b)) not in joined:
                below.plot(
                    *points[[a, b]].T, color="#bbbbbb", linestyle="--", linewidth=1, zorder=0
                )
    below.scatter(*points.T, color="#333333", s=18, zorder=2)
    for form, (x, y) in zip(tree.forms, points, strict=True):
        label = below.annotate(
            plain(form), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=9
        )
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    below.margins(0.15)
    below.set_aspect("equal", adjustable="datalim")
    below.set_xticks([])
    below.set_yticks([])
    for side in below.spines.values():
        side.set_visible(False)
    _add_scale(drawing, below)
    return drawing


def _draw_arcs(axis: Any, tree: "Tree", edges: Sequence[tuple[int, int, float]]) -> None:
    from matplotlib.patches import Arc

    highest = 1
    for a, b, squared in edges:
        span = abs(a - b)
        highest = max(highest, span)
        axis.add_patch(
            Arc(((a + b) / 2, 0), span, span, theta1=0, theta2=180, color=_colour(squared), lw=1.6)
        )
    axis.set_xlim(-0.7, len(tree.forms) - 0.3)
    axis.set_ylim(0, highest / 2 * 1.08)
    upright = len(tree.forms) <= MOST_UPRIGHT
    between = "\n" if upright else "  "
    labels = [
        f"{plain(form)}{between}{relation}"
        for form, relation in zip(tree.forms, tree.relations, strict=True)
    ]
    axis.set_xticks(range(len(labels)), labels, fontsize=8, rotation=0 if upright else 90)
    axis.set_yticks([])
    axis.tick_params(length=0)
    for side in ("top", "left", "right"):
        axis.spines[side].set_visible(False)


def _colour(squared: float) -> Any:
    from matplotlib import colormaps

    return colormaps["coolwarm"](0.5 + (squared - 1) / (2 * MOST_DEVIATION))


def _add_scale(drawing: "Figure", axis: Any) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours = ScalarMappable(Normalize(1 - MOST_DEVIATION, 1 + MOST_DEVIATION), "coolwarm")
    drawing.colorbar(colours, ax=axis, label="squared distance of an edge", shrink=0.7)


def senses_figure(form: str, layers: Mapping[str, Mapping[str, Floats]]) -> "Figure":
    """The occurrences of a word in two dimensions, coloured by sense; a panel for each layer.

    `layers` has, by name of the layer and then by sense, states (occurrences, width).
    """
    drawing = figure(3.4 * len(layers), 3.6)
    panels = drawing.subplots(1, len(layers), squeeze=False)[0]
    for axis, (layer, senses) in zip(panels, layers.items(), strict=True):
        points = principal_components(np.concatenate(list(senses.values())))
        start = 0
        for number, (sense, states) in enumerate(senses.items()):
            end = start + len(states)
            axis.scatter(
                *points[start:end].T, s=12, color=f"C{number}", alpha=0.7, label=plain(sense)
            )
            start = end
        axis.set_title(layer, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    panels[0].legend(frameon=False, fontsize=8, title=plain(form))
    return drawing


def layers_figure(
    lines: Mapping[str, Sequence[float]], flat: Mapping[str, float], what: str
) -> "Figure":
    """Scores by layer, from below: a line for each model, and dashed ones that have no layers."""
    drawing = figure(6.4, 4.0)
    axis = drawing.subplots()
    most = max(len(line) for line in lines.values())
    for number, (name, line) in enumerate(lines.items()):
        axis.plot(range(len(line)), line, marker="o", color=f"C{number}", label=plain(name))
    for name, value in flat.items():
        axis.axhline(value, color="#888888", linestyle="--", linewidth=1)
        axis.text(
            most - 1, value, plain(name), fontsize=8, ha="right", va="bottom", color="#555555"
        )
    axis.set_xticks(range(most), ["embedding", *(str(number) for number in range(1, most))])
    axis.set_xlabel("layer of the encoder; the decoder reads the last")
    axis.set_ylabel(what)
    axis.grid(axis="y", color="#e5e5e5")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.legend(frameon=False)
    return drawing
