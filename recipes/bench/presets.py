"""Compare what presets learn with an equal budget: validation BLEU of `seq2seq train --preset P`.

    python recipes/bench/presets.py CORPUS OUTPUT --epochs 4 [--languages en de] [--preset P...]

CORPUS has train and valid (or val), each as .en and .de, or as the two --languages. A budget is a
number of --epochs, which are as many target tokens for each preset, or of --minutes. Nothing else
is set. Presets are trained one after the other into OUTPUT/PRESET; the same command continues.
Prints a row for each: BLEU of the weights that it ends with, and of its validations on the way.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from seq2seq_cli.config import presets


def main() -> None:
    """Train each preset, and print a table in Markdown."""
    given = arguments()
    print("| preset | BLEU | target tokens | minutes | on the way: million tokens: BLEU |")
    print("|---|---|---|---|---|", flush=True)
    for preset in given.preset:
        train(preset, given)
        records = figures(given.output / preset)
        course = ", ".join(
            f"{each['target_tokens'] / 1e6:.2f}: {each['bleu']:.1f}"
            for each in records
            if each["kind"] == "validation"
        )
        tokens, minutes = records[-1]["target_tokens"], records[-1]["seconds"] / 60
        bleu = final_bleu(given.output / f"{preset}.log")
        print(f"| {preset} | {bleu} | {tokens:,} | {minutes:.1f} | {course} |", flush=True)


def train(preset: str, given: argparse.Namespace) -> None:
    """Train with the defaults of a preset."""
    held_out = "valid" if list(given.corpus.glob("valid.*")) else "val"
    files = [
        f"--{option}={given.corpus / name}.{language}"
        for option, name, language in (
            ("source", "train", given.languages[0]),
            ("target", "train", given.languages[1]),
            ("valid-source", held_out, given.languages[0]),
            ("valid-target", held_out, given.languages[1]),
        )
    ]
    limit = f"--max-epochs={given.epochs}" if given.epochs else f"--max-minutes={given.minutes}"
    command = [sys.executable, "-m", "seq2seq_cli", "train", *files, limit, "--preset", preset]
    command += ["--output", str(given.output / preset), *given.more]
    given.output.mkdir(parents=True, exist_ok=True)
    with (given.output / f"{preset}.log").open("a") as log:
        subprocess.run(command, check=True, stderr=log)


def figures(run: Path) -> list[dict[str, Any]]:
    """The reports and validations of a run."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def final_bleu(log: Path) -> str:
    """BLEU of the weights that training ended with, which need not be among its validations."""
    return re.findall(r"^saved .*: bleu (\S+) on validation data$", log.read_text(), re.M)[-1]


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description="Compare presets with an equal budget.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--languages", nargs=2, default=["en", "de"])
    parser.add_argument("--preset", nargs="+", default=presets.names(), choices=presets.names())
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--epochs", type=int)
    budget.add_argument("--minutes", type=float)
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="options of `train`")
    return parser.parse_args()


if __name__ == "__main__":
    main()
