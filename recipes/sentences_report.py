"""Shares of right lines and BLEU of recipes/sentences.sh; exit code 1 if they miss its range."""

import sys
from pathlib import Path

from reports import table

from seq2seq_cli.evaluation.scoring import score
from seq2seq_cli.text import read_lines

work = Path(sys.argv[1])
right: dict[tuple[str, str], float] = {}
rows = [["", "lines of one sentence: right", "BLEU", "of two sentences: right", "BLEU"]]
for system in ("single-off", "single-on", "joined"):
    row = [system]
    for text in ("test", "two"):
        references = list(read_lines(work / "corpus" / f"{text}.de", print))
        hypotheses = list(read_lines(work / f"{system}.{text}", print))
        pairs = list(zip(hypotheses, references, strict=True))
        right[system, text] = sum(one == other for one, other in pairs) / len(pairs)
        (bleu,) = score(hypotheses, [references], ("bleu",))
        row += [f"{right[system, text]:.1%}", f"{bleu.value:.2f}"]
    rows.append(row)
print("\n".join(table(rows)))

likely = right["single-on", "test"] ** 2
if right["single-on", "two"] < 0.9 * likely:
    raise SystemExit(f"split lines are right less often than 90 % of {likely:.1%}")
if right["joined", "two"] < right["single-off", "two"] + 0.1:
    raise SystemExit("joined training gains less than a tenth of the lines of two sentences")
