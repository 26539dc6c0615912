"""Compares the start of `seq2seq translate`, and its memory, with a CTranslate2 script.

    python recipes/bench/start.py RUN --source test.en

Both translate with the same weights, precision, threads and limit of lengths, as commands of their
own that alternate for several rounds. Prints medians: the seconds from the command to its first
translated line, those of a Python that imports numpy alone, and the peak memory of translating many
lines.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

MOST_TOKENS = 100  # of a translation, in both engines

CTRANSLATE2 = """
import sys, ctranslate2, sentencepiece
folder, source, target, precision, beam, workers, most = sys.argv[1:]
engine = ctranslate2.Translator(
    folder, inter_threads=int(workers), intra_threads=1, compute_type=precision
)
read = sentencepiece.SentencePieceProcessor(model_file=source)
written = sentencepiece.SentencePieceProcessor(model_file=target)
lines = [line.rstrip("\\n") for line in sys.stdin]
pieces = [read.encode(line, out_type=str) for line in lines]
found = engine.translate_batch(
    pieces, beam_size=int(beam), max_batch_size=64, max_decoding_length=int(most), disable_unk=True
)
for each in found:
    print(written.decode(each.hypotheses[0]), flush=True)
"""


@dataclass(frozen=True)
class Result:
    """The time and memory that one run of a command took."""

    first_line: float  # seconds from the command to its first line
    whole: float  # seconds until it has ended
    megabytes: float  # most memory that it had


def measure(command: list[str], text: Path) -> Result:
    """Run a command on a text."""
    began = time.perf_counter()
    with text.open("rb") as stream:
        process = subprocess.Popen(command, stdin=stream, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    first = time.perf_counter() - began
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:4]} failed")
    return Result(first, time.perf_counter() - began, usage.ru_maxrss / 1024)


def commands(given: argparse.Namespace, exported: Path) -> dict[str, list[str]]:
    """The commands that are compared."""
    models = sorted(map(str, exported.glob("*.model")))
    workers, beam = str(given.workers), str(given.beam)
    ours = ["translate", str(given.run), "--beam", beam, "--precision", given.precision]
    ours += ["--workers", workers, "--threads", workers, "--device", "cpu"]
    ours += ["--max-ratio", "0", "--max-extra", str(MOST_TOKENS + 1), "--length-penalty", "power"]
    theirs = [str(exported), models[0], models[-1], given.precision, beam, workers]
    return {
        "seq2seq translate": [sys.executable, "-m", "seq2seq_cli", *ours],
        "CTranslate2 script": [sys.executable, "-c", CTRANSLATE2, *theirs, str(MOST_TOKENS)],
        "import numpy": [sys.executable, "-c", "import numpy; print()"],
    }


def rounds(compared: dict[str, list[str]], text: Path, count: int) -> dict[str, list[Result]]:
    """Run all commands in turn, several times."""
    found: dict[str, list[Result]] = {name: [] for name in compared}
    for _ in range(count):
        for name, command in compared.items():
            found[name].append(measure(command, text))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=1000, help="lines that memory is measured on")
    parser.add_argument("--precision", default="float32", choices=["float32", "int8"])
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="of both, with a thread each")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        exported, one, many = (Path(temporary) / name for name in ("exported", "one", "many"))
        export = [sys.executable, "-m", "seq2seq_cli", "export", str(given.run), str(exported)]
        subprocess.run(export, check=True, stderr=subprocess.DEVNULL)
        with given.source.open(encoding="utf-8") as stream:
            lines = [*islice(stream, given.lines)]
        one.write_text(lines[0], encoding="utf-8")
        many.write_text("".join(lines), encoding="utf-8")
        compared = commands(given, exported)
        single = rounds(compared, one, given.rounds)
        del compared["import numpy"]
        whole = rounds(compared, many, 3)
    figures = {}
    print(f"{'':20} {'s to the first line':>20} {'s in all':>10} {f'MB, {len(lines):,} lines':>16}")
    for name, results in single.items():
        first = statistics.median(each.first_line for each in results)
        ended = statistics.median(each.whole for each in results)
        memory = statistics.median(each.megabytes for each in whole.get(name, results))
        figures[name] = {"first_line": first, "whole": ended, "megabytes": memory}
        print(f"{name:20} {first:20.3f} {ended:10.3f} {memory:16.0f}")
    ours, theirs = figures["seq2seq translate"], figures["CTranslate2 script"]
    print(
        f"first line: {ours['first_line'] / theirs['whole']:.2f} times CTranslate2's whole script; "
        f"memory: {ours['megabytes'] / theirs['megabytes']:.2f} times"
    )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
