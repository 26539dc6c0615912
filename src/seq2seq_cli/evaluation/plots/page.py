"""Self-contained HTML pages: they hold their data and load nothing."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.attention_maps import AttentionMap
    from seq2seq_cli.evaluation.comparison_results import SystemComparison
    from seq2seq_cli.evaluation.geometry import SideGeometry


DIGITS = 4  # after the point of a weight
POINT_DIGITS = 3  # of a coordinate or cosine


def attention_data(maps: "Sequence[AttentionMap]") -> list[dict[str, object]]:
    """Maps as plain lists: source, target, and weights by layer, head, target and source token."""
    return [
        {
            "source": list(drawn.source),
            "target": list(drawn.target),
            "weights": [
                [[[round(w, DIGITS) for w in row] for row in head] for head in layer]
                for layer in drawn.weights.tolist()
            ],
        }
        for drawn in maps
    ]


def attention_page(maps: "Sequence[AttentionMap]", title: str) -> str:
    """An HTML page that shows what a target token attends to when the mouse is over it.

    The reader chooses sentence, layer and head.
    """
    return _page("attention.html", attention_data(maps), title)


def geometry_data(sides: "Sequence[SideGeometry]") -> list[dict[str, object]]:
    """Words, sentences and trees of each side, and points and neighbours by layer and word."""
    return [
        {
            "name": side.name,
            "words": side.words,
            "sentences": side.sentences,
            "trees": [
                tree
                and {
                    "heads": [head + 1 for head in tree.heads],
                    "relations": [word.relation for word in tree.words],
                }
                for tree in side.trees
            ],
            "layers": [
                {
                    "name": layer.name,
                    "share": round(layer.share, POINT_DIGITS),
                    "points": layer.points.round(POINT_DIGITS).tolist(),
                    "neighbours": layer.neighbours.tolist(),
                    "cosines": layer.cosines.round(POINT_DIGITS).tolist(),
                }
                for layer in side.layers
            ],
        }
        for side in sides
    ]


def geometry_page(sides: "Sequence[SideGeometry]", title: str) -> str:
    """An HTML page that shows the words of each layer in a plane, which move between layers.

    The reader chooses side, sentence, layer and word, and sees its neighbours and its tree.
    """
    return _page("geometry.html", geometry_data(sides), title)


def comparison_page(comparison: "SystemComparison") -> str:
    """An HTML page of a comparison: scores with intervals, groups, and lines with differences.

    The reader chooses the metric, and how groups are divided.
    """
    from seq2seq_cli.evaluation.comparison_tables import explanations

    data = asdict(comparison) | {"explanations": explanations(comparison)}
    return _page("comparison.html", data, f"Comparison of {', '.join(comparison.systems)}")


def _page(name: str, data: object, title: str) -> str:
    """A page of this package, filled in."""
    template = files(__package__).joinpath(name).read_text(encoding="utf-8")
    # Inside a script element only "</" and "<!--" are markup.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    escaped = title.replace("&", "&amp;").replace("<", "&lt;")
    return template.replace("{{title}}", escaped).replace("{{data}}", text)
