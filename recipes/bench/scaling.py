"""Compares training in several processes with training in one, on the same processor cores.

    python recipes/bench/scaling.py --source train.en --target train.de \
        --valid-source valid.en --valid-target valid.de

Trains each preset with one process of one thread, one process of two threads and two processes of
one thread each, alternating for several rounds, and prints medians of the target tokens per second
that the run folders record, without the time of starting and validating. With --translate RUN, it
also compares `translate --processes 2` with `--workers 2` on --lines lines of the source.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

LAYOUTS = {
    "1 process, 1 thread": (1, 1),
    "1 process, 2 threads": (1, 2),
    "2 processes, 1 thread each": (2, 1),
}


def tokens_per_second(run: Path) -> float:
    """The speed between the first record of a run and its last one of training."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    training = [record for record in records if record["kind"] == "training"]
    return float(training[-1]["tokens_per_second"])


def train(options: argparse.Namespace, preset: str, layout: str) -> float:
    """Train for some updates; returns the tokens per second of the last report."""
    processes, threads = LAYOUTS[layout]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "seq2seq_cli", "train", "--quiet"]
        for name in ("source", "target", "valid_source", "valid_target"):
            command += [f"--{name.replace('_', '-')}", getattr(options, name)]
        command += ["--preset", preset, "--output", str(run)]
        command += ["--max-updates", str(options.updates)]
        command += ["--processes", str(processes), "--threads", str(threads), "--accept-data"]
        command += ["--set", "training.validate_every=1000000", "--set", "training.valid_beam=1"]
        command += ["--set", f"training.warmup_updates={options.updates // 2}", "--device", "cpu"]
        for setting in options.set:
            command += ["--set", setting]
        subprocess.run(command, check=True)
        return tokens_per_second(run)


def translate(options: argparse.Namespace, how: list[str]) -> float:
    """Translate many lines; returns the seconds that it took."""
    with tempfile.TemporaryDirectory() as folder:
        text, output = Path(folder) / "source", Path(folder) / "target"
        with Path(options.source).open(encoding="utf-8") as stream:
            lines = islice(cycle(stream.readlines()), options.lines)
            text.write_text("".join(lines), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "seq2seq_cli",
            "translate",
            options.translate,
            "--beam",
            "1",
        ]
        command += ["--precision", "int8", "--input", str(text), "--output", str(output), *how]
        began = time.perf_counter()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in ("source", "target", "valid-source", "valid-target"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--presets", nargs="*", default=["transformer-small", "attention-rnn"])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=100, help="the last 50 are timed, at most")
    parser.add_argument("--translate", metavar="RUN")
    parser.add_argument("--lines", type=int, default=100_000)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[1:])
    for preset in options.presets:
        found: dict[str, list[float]] = {layout: [] for layout in LAYOUTS}
        for number in range(options.rounds):
            for layout in LAYOUTS:
                found[layout].append(train(options, preset, layout))
                print(
                    f"{preset}, round {number + 1}, {layout}: {found[layout][-1]:,.0f}", flush=True
                )
        medians = {layout: statistics.median(speeds) for layout, speeds in found.items()}
        one, two, both = medians.values()
        print(f"{preset}: tokens/s {one:,.0f}, {two:,.0f}, {both:,.0f}; two processes are", end=" ")
        print(f"{both / one:.2f} times one of one thread, {both / two:.2f} times one of two")
    if options.translate:
        ways = {"--workers 2": ["--workers", "2"], "--processes 2": ["--processes", "2"]}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, how in ways.items():
                seconds[way].append(translate(options, how))
        medians = {way: statistics.median(each) for way, each in seconds.items()}
        print(f"{options.lines:,} lines:", ", ".join(f"{k} {v:.1f} s" for k, v in medians.items()))


if __name__ == "__main__":
    main()
