"""Counts which made-up words translations have, and writes the report of copying.sh.

    python recipes/copying_report.py FOLDER

Ends with exit code 1 if what copying.sh states does not hold.
"""

import argparse
import json
import platform
import re
from pathlib import Path
from typing import Any

import torch
from reports import finish, last_validation, table

from seq2seq_cli.text import read_lines

PRESETS = ("attention-rnn", "transformer-small")
CHOICES = {"false": "without", "true": "with"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    made_up = [line.split() for line in read_lines(folder / "corpus" / "test.made-up", print)]
    sources = list(read_lines(folder / "corpus" / "test.en", print))
    figures: dict[str, dict[str, Any]] = {}
    for preset in PRESETS:
        for copies in CHOICES:
            name = f"{preset}-{copies}"
            written = list(read_lines(folder / f"{name}.test", print))
            hits: dict[str, list[bool]] = {"names": [], "numbers": []}
            for words, line in zip(made_up, written, strict=True):
                for word in words:
                    # A name may have the s of the German genitive.
                    kind, end = ("numbers", "") if word.isdecimal() else ("names", "s?")
                    hits[kind].append(re.search(rf"\b{word}{end}\b", line) is not None)
            text = (folder / f"{name}.score.json").read_text(encoding="utf-8")
            [bleu] = json.loads(text)
            figures[name] = {
                **{kind: sum(found) / len(found) for kind, found in hits.items()},
                "counts": {kind: len(found) for kind, found in hits.items()},
                "bleu": bleu["value"],
                "signature": bleu["signature"],
                "minutes": last_validation(folder / name)["seconds"] / 60,
            }
    counts = figures[f"{PRESETS[0]}-true"]["counts"]
    rows = [["preset", "copy attention", f"names ({counts['names']})",
             f"numbers ({counts['numbers']})", "BLEU", "minutes"]]  # fmt: skip
    for preset in PRESETS:
        for copies, word in CHOICES.items():
            each = figures[f"{preset}-{copies}"]
            rows.append(
                [preset, word, f"{each['names']:.1%}", f"{each['numbers']:.1%}",
                 f"{each['bleu']:.2f}", f"{each['minutes']:.1f}"]
            )  # fmt: skip
    example = next(k for k, words in enumerate(made_up) if len(words) > 1)
    report = ["# Copy attention", "", *table(rows), "For example:", "", f"- {sources[example]}"]
    for preset in PRESETS:
        for copies, word in CHOICES.items():
            line = list(read_lines(folder / f"{preset}-{copies}.test", print))[example]
            report.append(f"- {preset} {word}: {line}")
    report += [
        "", f"BLEU: {figures[f'{PRESETS[0]}-true']['signature']}. torch {torch.__version__}, "
        f"Python {platform.python_version()}.", "",
    ]  # fmt: skip
    missed = []
    for preset in PRESETS:
        with_, without = figures[f"{preset}-true"], figures[f"{preset}-false"]
        for kind, is_missed in (
            ("names", with_["names"] <= without["names"]),
            ("numbers", with_["numbers"] < without["numbers"]),
        ):
            if is_missed:
                missed.append(
                    f"{preset}: {kind} are written exactly in {with_[kind]:.1%} with copies, in "
                    f"{without[kind]:.1%} without"
                )
    finish(folder, report, figures, missed)


if __name__ == "__main__":
    main()
