"""Prints a finished run as a row of recipes/README.md; exit code 1 if BLEU is below --least."""

import argparse
import platform
from pathlib import Path

import sacrebleu
import torch
from reports import last_validation, training_speed

from seq2seq_cli.evaluation.scoring import score
from seq2seq_cli.text import read_lines

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("run", type=Path)
parser.add_argument("--reference", type=Path, required=True)
parser.add_argument("--hypothesis", type=Path, required=True)
parser.add_argument("--least", type=float, default=0.0, help="BLEU that must be reached")
arguments = parser.parse_args()

last = last_validation(arguments.run)
hypotheses = list(read_lines(arguments.hypothesis, print))
references = list(read_lines(arguments.reference, print))
bleu, chrf = score(hypotheses, [references])

print(
    f"| {arguments.run.name} | {bleu.value:.2f} | {chrf.value:.2f} | {last['seconds'] / 60:.0f} "
    f"| {last['target_tokens'] / 1e6:.1f} M | {training_speed(arguments.run):,.0f} |"
)
print(f"BLEU|{bleu.signature}  chrF2|{chrf.signature}")
print(
    f"Python {platform.python_version()}, torch {torch.__version__}, "
    f"sacreBLEU {sacrebleu.__version__}, {torch.get_num_threads()} threads"
)
if bleu.value < arguments.least:
    raise SystemExit(f"BLEU {bleu.value:.2f} is below the required {arguments.least}")
