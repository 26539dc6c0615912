"""Prints the BLEU of two translations; exit code 1 if the second gains less than --least."""

import argparse
from pathlib import Path

from seq2seq_cli.evaluation.scoring import score
from seq2seq_cli.text import read_lines

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("before", type=Path)
parser.add_argument("after", type=Path)
parser.add_argument("--reference", type=Path, required=True)
parser.add_argument(
    "--least", type=float, required=True, help="BLEU that must be gained; may be negative"
)
arguments = parser.parse_args()

references = list(read_lines(arguments.reference, print))
scores = []
for path in (arguments.before, arguments.after):
    (bleu,) = score(list(read_lines(path, print)), [references], ("bleu",))
    print(f"{path.name}: BLEU {bleu.value:.2f}")
    scores.append(bleu)
gain = scores[1].value - scores[0].value
print(f"gain: {gain:+.2f}, required: {arguments.least:+.2f}; {scores[0].signature}")
if gain < arguments.least:
    raise SystemExit(f"a gain of {gain:+.2f} BLEU is below the required {arguments.least:+.2f}")
