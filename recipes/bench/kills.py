"""Kills a process of a training again and again: does the training end as it would have?

    python recipes/bench/kills.py [--kills 20] [--seed 1] [--set training.shard=true]

Trains a tiny model in two processes under torchrun, once undisturbed and once while a process at
random is killed by SIGKILL at random moments: while processes start, between updates, within them,
and while a checkpoint is written. torchrun starts all of them again. Prints the kills, and at the
end whether the weights, and the weights put aside, have the same bytes. Needs Linux.
"""

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROCESSES, EVERY = 2, 5  # updates between checkpoints
TOML = """
[model]
architecture = "transformer"
width = 32
encoder_layers = 1
decoder_layers = 1
heads = 2
feed_forward = 64
[training]
batch_tokens = 300
micro_batch_tokens = 200
precision = "float32"
ema_decay = 0.9
warmup_updates = 20
validate_every = 50
[tokenizer]
vocabulary_size = 60
"""


def write_text(folder: Path) -> None:
    """Write numbers in digits and in words, and the settings."""
    draw = random.Random(1)
    words = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
    for name, count in (("train", 400), ("valid", 20)):
        digits = [[draw.randrange(10) for _ in range(draw.randint(1, 12))] for _ in range(count)]
        source = "".join(" ".join(map(str, each)) + "\n" for each in digits)
        target = "".join(" ".join(words[i] for i in each) + "\n" for each in digits)
        (folder / f"{name}.en").write_text(source, encoding="utf-8")
        (folder / f"{name}.de").write_text(target, encoding="utf-8")
    (folder / "tiny.toml").write_text(TOML, encoding="utf-8")


def start(folder: Path, run: str, updates: int, settings: list[str]) -> subprocess.Popen[bytes]:
    """Start a training under torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={PROCESSES}", "--max-restarts=1000", "--monitor-interval=0.1"]
    command += ["-m", "seq2seq_cli", "train", "--config", "tiny.toml", "--output", run, "--quiet"]
    for name, language in (("source", "en"), ("target", "de")):
        command += [f"--{name}", f"train.{language}", f"--valid-{name}", f"valid.{language}"]
    command += ["--accept-data", "--max-updates", str(updates), "--device", "cpu"]
    for setting in [f"training.checkpoint_every={EVERY}", *settings]:
        command += ["--set", setting]
    with (folder / f"{run}.log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, stderr=log, stdout=log)


def workers(launcher: int) -> dict[int, int]:
    """The processes that a launcher has started: rank -> number of the process."""
    ranks = {}
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
            variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            for variable in variables:
                if variable.startswith(b"RANK="):
                    ranks[int(variable.removeprefix(b"RANK="))] = int(child)
    return ranks


def last_checkpoint(run: Path) -> int:
    """The update of the last checkpoint; 0 before the first one."""
    found = [int(path.name.removeprefix("update-")) for path in run.glob("training/update-*")]
    return max(found, default=0)


def kill_once(training: subprocess.Popen[bytes], run: Path, draw: random.Random) -> str:
    """Wait for a random moment and kill a process; returns what was killed, or nothing if it ended.

    The moment is a random time after the processes have started, or after a checkpoint or two.
    """
    before = last_checkpoint(run)
    goal = before + EVERY * draw.choice((0, 0, 1, 2))
    later = draw.uniform(0, 5.0 if goal == before else 0.5)
    old = workers(training.pid)
    while training.poll() is None:
        found = workers(training.pid)
        if len(found) == PROCESSES and last_checkpoint(run) >= goal:
            break
        time.sleep(0.01)
    time.sleep(later)
    found = workers(training.pid)
    if training.poll() is not None or not found:
        return "" if training.poll() is not None else kill_once(training, run, draw)
    rank = draw.choice(sorted(found))
    update = last_checkpoint(run)
    with contextlib.suppress(ProcessLookupError):
        os.kill(found[rank], signal.SIGKILL)
    while training.poll() is None and set(workers(training.pid).values()) & {
        *found.values(),
        *old.values(),
    }:
        time.sleep(0.05)  # until torchrun has ended the others
    return f"rank {rank} after the checkpoint of update {update}"


def hashes(run: Path) -> dict[str, str]:
    """SHA-256 of the weights of a run, and of those put aside."""
    paths = [run / "model.safetensors", *sorted(run.glob("training/weights/*.safetensors"))]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def main() -> None:
    """Train twice, compare; exits with 1 if the bytes differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[1:])
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    draw = random.Random(options.seed)
    updates = 3 * EVERY * options.kills
    folder = Path(tempfile.mkdtemp())
    write_text(folder)
    if start(folder, "unbroken", updates, options.set).wait():
        raise SystemExit((folder / "unbroken.log").read_text())
    training = start(folder, "killed", updates, options.set)
    for number in range(1, options.kills + 1):
        killed = kill_once(training, folder / "killed", draw)
        print(f"kill {number}: {killed or 'the training had ended'}", flush=True)
    if training.wait():
        raise SystemExit((folder / "killed.log").read_text())
    is_same = hashes(folder / "unbroken") == hashes(folder / "killed")
    print("the same bytes" if is_same else f"other bytes: see {folder}")
    if is_same:
        shutil.rmtree(folder)
    raise SystemExit(not is_same)


if __name__ == "__main__":
    main()
