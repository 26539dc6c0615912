"""Prints BLEU, size and speed of a student in Firefox's format beside its teacher's.

All translate on one thread. Exit code 1 if the student misses the range of recipes/student.sh.
"""

import argparse
import time
from pathlib import Path

from seq2seq_cli.devices import prepare
from seq2seq_cli.evaluation.scoring import score
from seq2seq_cli.interop.firefox.engine import translate_with_original
from seq2seq_cli.search import SearchOptions
from seq2seq_cli.text import read_lines
from seq2seq_cli.translation import TranslationSettings, Translator

COMPARED = 100  # lines that fxtranslate translates too
LEAST_BLEU, MOST_SIZE, LEAST_SPEED = 0.85, 0.5, 1.0
LEAST_EQUAL, LEAST_EQUAL_UNROUNDED = 0.9, 0.99  # of the lines compared
ROUNDS = 3  # the fastest counts
TEACHER, STUDENT = "teacher, beam 5", "student, 8 bits, greedy, shortlist"


def size_of(folder: Path) -> int:
    """Bytes of what translating needs: weights, vocabularies, shortlist."""
    needed = (".bin", ".spm", ".safetensors", ".model")
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in needed)


def translated(
    run: Path, lines: list[str], beam: int, *, precision: str, shortlist: bool = False
) -> tuple[list[str], float]:
    """The translations, and lines a second."""
    settings = TranslationSettings(
        search=SearchOptions(beam=beam),
        device="cpu",
        precision=precision,  # type: ignore[arg-type]
        shortlist=shortlist,
        split_sentences="off",
        unknown="keep",
        workers=1,
    )
    translator = Translator.load(run, settings)
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        found = [each.text for each in translator.translate(lines)]
        seconds.append(time.perf_counter() - begun)
    return found, len(lines) / min(seconds)


parser = argparse.ArgumentParser(description=__doc__)
for name, meaning in (
    ("--teacher", "its run"),
    ("--student", "its run as it was trained"),
    ("--model", "the student in Firefox's format, in 8 bits"),
    ("--unrounded", "the same in float32"),
    ("--imported", "the run that was made of --model"),
    ("--source", "lines to translate"),
    ("--reference", "their translations"),
):
    parser.add_argument(name, type=Path, required=True, help=meaning)
arguments = parser.parse_args()
prepare(1)
lines = list(read_lines(arguments.source, print))
references = [list(read_lines(arguments.reference, print))]

print("| | BLEU | lines/s | MB |\n|---|---|---|---|")
figures = {}
for title, run, files, beam, precision, shortlist in (
    (TEACHER, arguments.teacher, arguments.teacher, 5, "float32", False),
    ("teacher, 8 bits, greedy", arguments.teacher, arguments.teacher, 1, "int8", False),
    ("student, 8 bits, greedy", arguments.imported, arguments.model, 1, "int8", False),
    (STUDENT, arguments.imported, arguments.model, 1, "int8", True),
):
    found, speed = translated(run, lines, beam, precision=precision, shortlist=shortlist)
    (bleu,) = score(found, references, ("bleu",))
    figures[title] = bleu.value, speed, size_of(files)
    print(f"| {title} | {bleu.value:.2f} | {speed:.0f} | {size_of(files) / 1e6:.1f} |")
print(bleu.signature)

compared = lines[:COMPARED]
equal = []
for title, model, run in (
    ("8 bits", arguments.model, arguments.imported),
    ("float32", arguments.unrounded, arguments.student),
):
    theirs = translate_with_original(model, compared, 1)
    ours, _ = translated(run, compared, 1, precision="float32")
    equal.append(sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(compared))
    print(f"fxtranslate, {title}: {equal[-1]:.0%} of {len(compared)} lines equal")

teacher, student = figures[TEACHER], figures[STUDENT]
faults = [
    fault
    for fault, is_missed in (
        (f"BLEU is below {LEAST_BLEU:.0%} of the teacher's", student[0] < LEAST_BLEU * teacher[0]),
        (
            f"speed is below {LEAST_SPEED} times the teacher's",
            student[1] < LEAST_SPEED * teacher[1],
        ),
        (f"size is above {MOST_SIZE:.0%} of the teacher's", student[2] > MOST_SIZE * teacher[2]),
        (f"fewer than {LEAST_EQUAL:.0%} of lines are equal in 8 bits", equal[0] < LEAST_EQUAL),
        (
            f"fewer than {LEAST_EQUAL_UNROUNDED:.0%} of lines are equal in float32",
            equal[1] < LEAST_EQUAL_UNROUNDED,
        ),
    )
    if is_missed
]
if faults:
    raise SystemExit("; ".join(faults))
