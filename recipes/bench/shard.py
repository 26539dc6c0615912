"""Measures the peak memory of each process of a training, sharded and not.

    python recipes/bench/shard.py [--preset transformer-base] [--processes 2]

Trains a few updates on made-up text, with a validation, checkpoints and the choice of the best
weights, once with training.shard = false and once with true, both with activation checkpointing and
micro-batches of about 512 tokens, so that what the model itself takes is most of the memory. Prints
the highest resident memory of each process, and of a process that only imports what these do: the
interpreter and the libraries, which sharding cannot divide. More settings: --set.
"""

import argparse
import os
import random
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORTS = (
    "import seq2seq_cli.training.run, torch.distributed.fsdp, torch.distributed.checkpoint;"
    "from seq2seq_cli.kernels.library import library; library()"
)
PAIRS, WORDS, LENGTH = 2000, 20_000, 20


def write_text(folder: Path) -> None:
    """Write parallel text of made-up words, a third of which come once."""
    draw = random.Random(1)
    words = [
        "".join(draw.choices("abdefgiklmnoprstuvz", k=draw.randint(3, 9))) for _ in range(WORDS)
    ]
    for name, count in (("train", PAIRS), ("valid", 4)):
        lines = [" ".join(draw.choices(words, k=LENGTH)) for _ in range(count)]
        for language in ("en", "de"):
            text = "".join(f"{line}\n" for line in lines)
            (folder / f"{name}.{language}").write_text(text, encoding="utf-8")


def peaks(commands: list[list[str]], environments: list[dict[str, str]], folder: Path) -> list[int]:
    """Run commands side by side; returns the highest resident memory of each, in MB."""
    running = [
        subprocess.Popen(command, env=os.environ | more, cwd=folder)
        for command, more in zip(commands, environments, strict=True)
    ]
    found = []
    for process in running:
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(process.args)} failed")  # type: ignore[arg-type]
        found.append(usage.ru_maxrss // 1024)
    return found


def train(options: argparse.Namespace, folder: Path, *, is_sharded: bool) -> list[int]:
    """Train in several processes; returns the peak of each, in MB."""
    command = [sys.executable, "-m", "seq2seq_cli", "train", "--quiet", "--accept-data"]
    for name in ("source", "target"):
        language = "en" if name == "source" else "de"
        command += [f"--{name}", f"train.{language}", f"--valid-{name}", f"valid.{language}"]
    command += ["--preset", options.preset, "--output", f"run-{is_sharded}", "--device", "cpu"]
    command += ["--max-updates", "2", "--threads", "1"]
    settings = {"training.batch_tokens": "1024", "training.micro_batch_tokens": "1024"}
    settings |= {"training.activation_checkpointing": "true", "training.precision": "float32"}
    settings |= {"training.checkpoint_every": "1", "training.validate_every": "1"}
    settings |= {"training.warmup_updates": "1", "tokenizer.vocabulary_size": "16000"}
    settings |= {"training.shard": str(is_sharded).lower()}
    for setting in [*(f"{key}={value}" for key, value in settings.items()), *options.set]:
        command += ["--set", setting]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    common |= {"WORLD_SIZE": str(options.processes)}
    ranks = [str(rank) for rank in range(options.processes)]
    return peaks(
        [command] * options.processes,
        [common | {"RANK": rank, "LOCAL_RANK": rank} for rank in ranks],
        folder,
    )


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", default="transformer-base")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[1:])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_text(folder)
        (base,) = peaks([[sys.executable, "-c", IMPORTS]], [{}], folder)
        whole = train(options, folder, is_sharded=False)
        sharded = train(options, folder, is_sharded=True)
    print(f"interpreter and libraries: {base:,} MB")
    print("rank  whole MB  sharded MB  ratio  without interpreter and libraries")
    for rank, (one, other) in enumerate(zip(whole, sharded, strict=True)):
        net = (other - base) / (one - base)
        print(f"{rank:4}  {one:8,}  {other:10,}  {other / one:5.2f}  {net:.2f}")


if __name__ == "__main__":
    main()
