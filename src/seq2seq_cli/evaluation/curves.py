"""Curves of training: loss, perplexity, scores and learning rate of a run as it trained."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.layout import METRICS, REPORT_EVERY, check_run_folder

Over = Literal["updates", "tokens", "minutes"]
X_KEYS: dict[Over, str] = {"updates": "update", "tokens": "target_tokens", "minutes": "seconds"}

# Name of a figure: the kind of its records in metrics.jsonl, and its key there.
FIGURES = {
    "loss": ("training", "loss"),
    "validation loss": ("validation", "loss"),
    "perplexity": ("validation", "perplexity"),
    "BLEU": ("validation", "bleu"),
    "chrF": ("validation", "chrf"),
    "learning rate": ("training", "learning_rate"),
}


@dataclass(frozen=True)
class Curve:
    """One figure of one run in the course of its training."""

    run: str
    figure: str  # a key of FIGURES
    x: tuple[float, ...]  # updates, target tokens or minutes
    y: tuple[float, ...]


def curves(run: Path, over: Over = "updates") -> list[Curve]:
    """The figures that a run has written so far.

    Raises InputError for a folder that is not a run, and for a run without any.
    """
    path = run / METRICS
    if not path.is_file():
        check_run_folder(run)
        raise InputError(
            f"{run} has no figures yet: training writes the first after {REPORT_EVERY} updates, or "
            "when it ends; the command that trains continues it"
        )
    records = list(_records(path))
    x_key = X_KEYS[over]
    scale = 1 / 60 if over == "minutes" else 1.0
    result = []
    for figure, (kind, key) in FIGURES.items():
        points = [
            (record[x_key] * scale, record[key])
            for record in records
            if record.get("kind") == kind and {key, x_key} <= record.keys()
        ]
        if points:
            x, y = zip(*points, strict=True)
            result.append(Curve(run.name, figure, x, y))
    if not result:
        raise InputError(f"{path} holds no figures over {over} yet")
    return result


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Read the complete lines of metrics.jsonl; a training that runs may be writing the last."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record
