"""Self-contained pages: what they show is inside them, and they load nothing."""

import json
from collections.abc import Sequence
from importlib.resources import files

from seq2seq_cli.evaluation.inspection import AttentionMap

DIGITS = 4  # of a weight


def attention_data(maps: Sequence[AttentionMap]) -> list[dict[str, object]]:
    """Maps as plain lists: source, target, and weights by layer, head, target and source token."""
    return [
        {
            "source": list(one.source),
            "target": list(one.target),
            "weights": [
                [[[round(w, DIGITS) for w in row] for row in head] for head in layer]
                for layer in one.weights.tolist()
            ],
        }
        for one in maps
    ]


def attention_page(maps: Sequence[AttentionMap], title: str) -> str:
    """An HTML page: hover a target token and see where it looked; choose sentence, layer, head."""
    template = files(__package__).joinpath("attention.html").read_text(encoding="utf-8")
    # Inside a script element only "</" and "<!--" can do harm.
    data = json.dumps(attention_data(maps), ensure_ascii=False).replace("<", "\\u003c")
    escaped = title.replace("&", "&amp;").replace("<", "&lt;")
    return template.replace("{{title}}", escaped).replace("{{data}}", data)
