"""Whether a change to the code leaves every result as it was, to the byte.

    python recipes/bench/same_results.py record FOLDER     # with the code before the change
    python recipes/bench/same_results.py check FOLDER      # with the code after it

`record` trains each architecture for 60 updates in float32 and in bfloat16 and notes the hash of
its weights, then trains one run of each architecture for longer and notes what `translate` and
`likelihood` print for 200 lines. `check` does the same again, with the run folders of `record`,
and lists every difference. Results are equal on one machine with one version of PyTorch only, so
both commands must run there. They take about ten minutes each on two cores.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from safetensors.numpy import load_file

PRESETS = ("transformer-tiny", "attention-rnn", "conv", "rnn")
UPDATES = 60
LINES = 200

# Smaller than the presets, so that each learns something within a minute.
TRAINED = {
    "transformer-tiny": [],
    "attention-rnn": ["--set", "model.width=128", "--set", "model.units=192"],
    "conv": ["--set", "model.width=128", "--set", "model.channels=128"],
    "rnn": ["--set", "model.width=128", "--set", "model.units=192"],
}
TRAINED_UPDATES = 500

TRANSLATIONS = {
    "beam": [],
    "greedy": ["--beam", "1"],
    "shortlist": ["--shortlist", "--n-best", "2"],
    "penalties": ["--repetition-penalty", "1.2", "--no-repeat-ngram", "3"],
    "sampled": ["--sample", "--n-best", "2", "--seed", "7"],
}


def seq2seq(*arguments: object, standard_input: str | None = None) -> str:
    """Run the command with this checkout's code; returns what it printed."""
    source = Path(__file__).resolve().parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    environment.pop("OMP_NUM_THREADS", None)  # results depend on the number of threads
    command = [sys.executable, "-m", "seq2seq_cli", *map(str, arguments)]
    done = subprocess.run(
        command, input=standard_input, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def weights_hash(run: Path) -> str:
    """SHA-256 over names, shapes and bytes of a run's weights."""
    digest = hashlib.sha256()
    for name, weights in sorted(load_file(run / "model.safetensors").items()):
        digest.update(f"{name} {weights.dtype} {weights.shape}".encode())
        digest.update(weights.tobytes())
    return digest.hexdigest()


def make_corpus(folder: Path) -> None:
    """Write the demo corpus and a tokenizer, unless they are there."""
    if not (folder / "joint.model").exists():
        seq2seq("data", "demo", folder, "--pairs", 8000, "--seed", 1)
        text = folder / "train.en", folder / "train.de"
        seq2seq("tokenizer", "train", *text, "--output", folder / "joint.model", "--force")


def train(corpus: Path, run: Path, preset: str, updates: int, *settings: str) -> None:
    """Train from the beginning, with one validation at the end."""
    joint = corpus / "joint.model"
    seq2seq(
        *("train", "--output", run, "--restart", "--preset", preset),
        *("--source", corpus / "train.en", "--target", corpus / "train.de"),
        *("--valid-source", corpus / "valid.en", "--valid-target", corpus / "valid.de"),
        *("--source-tokenizer", joint, "--target-tokenizer", joint),
        *("--max-updates", updates, "--set", "training.batch_tokens=1024"),
        *("--set", "training.warmup_updates=100", "--set", "training.learning_rate=0.003"),
        *("--set", f"training.validate_every={updates}", *settings),
    )


def hashes_of_training(folder: Path) -> Iterator[tuple[str, str]]:
    """Name of a training, hash of the weights that it ended with."""
    for preset in PRESETS:
        for precision in ("float32", "bfloat16"):
            with tempfile.TemporaryDirectory() as run:
                setting = f"training.precision={precision}"
                train(folder / "corpus", Path(run), preset, UPDATES, "--set", setting)
                yield f"weights of {preset} in {precision}", weights_hash(Path(run))


def outputs_of_runs(folder: Path) -> Iterator[tuple[str, str]]:
    """Name of an output of a trained run, the output."""
    corpus = folder / "corpus"
    source, target = (
        "".join((corpus / f"test.{side}").read_text().splitlines(keepends=True)[:LINES])
        for side in ("en", "de")
    )
    lines = folder / "lines.en", folder / "lines.de"
    for path, text in zip(lines, (source, target), strict=True):
        path.write_text(text)
    for preset in PRESETS:
        run = folder / "trained" / preset
        for precision in ("float32", "int8"):
            for name, options in TRANSLATIONS.items():
                n_best = [] if "--n-best" in options or name == "greedy" else ["--n-best", 3]
                yield (
                    f"{name} of {preset} in {precision}",
                    seq2seq(
                        *("translate", run, "--format", "jsonl", "--precision", precision),
                        *(*options, *n_best),
                        standard_input=source,
                    ),
                )
        yield (
            f"likelihood by {preset}",
            seq2seq("likelihood", run, "--source", lines[0], "--target", lines[1]),
        )


def differing_line(before: str, now: str) -> str:
    """The first line of two outputs that differs."""
    pairs = zip(before.splitlines(), now.splitlines(), strict=False)
    for number, (old, new) in enumerate(pairs, start=1):
        if old != new:
            return f"line {number}\n  before {old[:300]}\n  now    {new[:300]}"
    return f"{before.count(chr(10))} lines before, {now.count(chr(10))} now"


def machine() -> dict[str, str]:
    import torch

    model = "".join(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return {"processor": model or platform.processor(), "torch": torch.__version__}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=("record", "check"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without-training", action="store_true", help="check outputs alone")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    expected = folder / "expected.json"
    if arguments.action == "record":
        make_corpus(folder / "corpus")
        for preset in PRESETS:
            run = folder / "trained" / preset
            train(folder / "corpus", run, preset, TRAINED_UPDATES, *TRAINED[preset])
        results = dict(hashes_of_training(folder)) | dict(outputs_of_runs(folder))
        expected.write_text(json.dumps({"machine": machine(), "results": results}, indent=1))
        print(f"recorded {len(results)} results in {expected}")
        return
    record = json.loads(expected.read_text())
    if record["machine"] != machine():
        sys.exit(f"recorded on {record['machine']}, this is {machine()}: results may differ")
    results = dict(outputs_of_runs(folder))
    if not arguments.without_training:
        results |= dict(hashes_of_training(folder))
    changed = 0
    for name, now in results.items():
        before = record["results"][name]
        if before != now:
            changed += 1
            print(f"{name} changed: {differing_line(before, now)}")
    print(f"{len(results) - changed} of {len(results)} results are the same to the byte")
    sys.exit(changed > 0)


if __name__ == "__main__":
    main()
