"""Self-contained HTML pages: they hold their data and load nothing."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.attention_maps import AttentionMap


DIGITS = 4  # after the point of a weight


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
    template = files(__package__).joinpath("attention.html").read_text(encoding="utf-8")
    # Inside a script element only "</" and "<!--" are markup.
    data = json.dumps(attention_data(maps), ensure_ascii=False).replace("<", "\\u003c")
    escaped = title.replace("&", "&amp;").replace("<", "&lt;")
    return template.replace("{{title}}", escaped).replace("{{data}}", data)
