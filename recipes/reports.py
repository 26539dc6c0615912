"""Parts that the reports of recipes share: records of a run, tables, and the end of a report."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

ARCHITECTURES = ("rnn", "attention-rnn", "conv", "transformer")


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    """The records of one kind in a run's metrics.jsonl, from the first to the last."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def last_validation(run: Path) -> dict[str, Any]:
    """The record of the last validation: seconds, target tokens and scores."""
    return records(run, "validation")[-1]


def training_speed(run: Path) -> float:
    """Target tokens/s of training: the median over its records."""
    return median(record["tokens_per_second"] for record in records(run, "training"))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, whose first row is its head, and an empty line."""
    head, *others = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *others, ""]


def finish(folder: Path, report: Sequence[str], figures: object, missed: Sequence[str]) -> None:
    """Write report.md and figures.json, and print the report.

    Ends with exit code 1 if something was missed of what the recipe states.
    """
    (folder / "report.md").write_text("\n".join(report), encoding="utf-8")
    (folder / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print("\n".join(report))
    if missed:
        raise SystemExit("; ".join(missed))
