"""Prints tokenised and 13a BLEU of runs; exit code 1 if the mean is below --least.

The translation of a RUN is in RUN.test.de. The mean is that of tokenised BLEU.
"""

import argparse
import platform
from pathlib import Path
from statistics import mean, stdev

import torch
from reports import last_validation, training_speed

from seq2seq_cli.evaluation.scoring import Score, ScoreOptions, score
from seq2seq_cli.text import read_lines


def bleu(hypothesis: Path, reference: Path, tokenize: str) -> Score:
    """Return the BLEU of a file of translations."""
    texts = [list(read_lines(path, print)) for path in (hypothesis, reference)]
    return score(texts[0], [texts[1]], ("bleu",), ScoreOptions(tokenize=tokenize))[0]


def row(run: Path, scores: list[Score]) -> str:
    """Return a run as a row of recipes/README.md."""
    last = last_validation(run)
    figures = " | ".join(f"{each.value:.2f}" for each in scores)
    return (
        f"| {run.name} | {figures} | {last['seconds'] / 60:.0f} "
        f"| {last['target_tokens'] / 1e6:.1f} M | {training_speed(run):,.0f} |"
    )


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("runs", type=Path, nargs="+")
parser.add_argument("--reference", type=Path, required=True)
parser.add_argument("--least", type=float, required=True, help="mean BLEU that must be reached")
arguments = parser.parse_args()

tokenised = []
for run in arguments.runs:
    translation = run.with_name(f"{run.name}.test.de")
    found = [bleu(translation, arguments.reference, name) for name in ("none", "13a")]
    tokenised.append(found[0].value)
    print(row(run, found))
print("  ".join(f"BLEU|{each.signature}" for each in found))
print(f"Python {platform.python_version()}, torch {torch.__version__}")
spread = f" ± {stdev(tokenised):.2f} (standard deviation)" if len(tokenised) > 1 else ""
print(f"mean of {len(tokenised)}: {mean(tokenised):.2f}{spread}")
if mean(tokenised) < arguments.least:
    raise SystemExit(f"a mean of {mean(tokenised):.2f} is below the required {arguments.least}")
