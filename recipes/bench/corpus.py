"""Times a large corpus: how long preparing it and starting from the cache take, and the memory.

    python recipes/bench/corpus.py DIR [--pairs 10000000] [--updates 200]

Writes made-up parallel text to DIR (0.18 GB for a million pairs) with the cache beside it. Trains
transformer-tiny twice, each time in a process of its own: the first run learns a tokenizer and
fills the cache, the second starts from the cache. Prints for each the seconds to its first update
and its highest resident memory. Then it times the ordering of an epoch, and batches without a
model.
"""

import argparse
import os
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import numpy as np

from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.token_store import PAIRS, load_entry

LANGUAGES = ("en", "de")
WORDS = 10_000  # different words, drawn by Zipf's law
WRITTEN_AT_ONCE = 50_000  # pairs
VALID_PAIRS = 10
CONSONANTS, VOWELS = "bcdfghklmnprstvwz", "aeiou"
BATCH_TOKENS = 4096
BATCHES = 2000  # read without a model


def made_up_words(random: np.random.Generator) -> np.ndarray:
    """Return different words of one to four syllables, the shorter the more common."""
    words: dict[str, None] = {}
    while len(words) < WORDS:
        syllables = min(4, 1 + len(words) // 40 + int(random.integers(2)))
        letters = (random.choice(list(each)) for each in (CONSONANTS, VOWELS) * syllables)
        words["".join(letters)] = None
    return np.array(list(words), dtype=object)


def write_corpus(folder: Path, pairs: int) -> None:
    """Write train and valid .en/.de; word k of one language translates word k of the other."""
    random = np.random.default_rng(1)
    vocabularies = [made_up_words(random) for _ in LANGUAGES]
    frequency = 1 / (np.arange(WORDS) + 2.7)
    cumulated = np.cumsum(frequency / frequency.sum())
    for name, count in (("valid", VALID_PAIRS), ("train", pairs)):
        files = [(folder / f"{name}.{language}").open("w") for language in LANGUAGES]
        for start in range(0, count, WRITTEN_AT_ONCE):
            rows = min(WRITTEN_AT_ONCE, count - start)
            lengths = np.clip(random.gamma(3.5, 3.5, rows).astype(int), 1, 60)
            ends = lengths.cumsum()
            drawn = np.searchsorted(cumulated, random.random(ends[-1]))
            for file, words in zip(files, vocabularies, strict=True):
                sentences = np.split(words[np.minimum(drawn, WORDS - 1)], ends[:-1])
                file.writelines(f"{' '.join(sentence)}\n" for sentence in sentences)
        for file in files:
            file.close()


def train(folder: Path, run: Path, updates: int, *more: str) -> tuple[float, float, float]:
    """Train; return the seconds to the first update, all seconds, and resident memory in GB."""
    texts = chain.from_iterable(
        (f"--{prefix}{side}", str(folder / f"{name}.{language}"))
        for prefix, name in (("", "train"), ("valid-", "valid"))
        for side, language in zip(("source", "target"), LANGUAGES, strict=True)
    )
    command = [sys.executable, "-m", "seq2seq_cli", "train", *texts, *more]
    command += ["--preset", "transformer-tiny", "--output", str(run)]
    command += ["--cache", str(folder / "cache")]
    checkpoints = {path.name for path in run.glob("training/update-*")}
    begin = time.monotonic()
    process = subprocess.Popen([*command, "--max-updates", str(updates)])
    first = 0.0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        now = {path.name for path in run.glob("training/update-*")} | checkpoints
        if not first and now != checkpoints:  # a checkpoint is written before the first update
            first = time.monotonic() - begin
        if pid:
            break
        time.sleep(0.05)
    if status:
        sys.exit(f"training ended with {os.waitstatus_to_exitcode(status)}")
    return first, time.monotonic() - begin, usage.ru_maxrss / (1 if is_mac() else 1e-3) / 1e9


def is_mac() -> bool:
    """Whether the system reports resident memory in bytes, not in kilobytes."""
    return sys.platform == "darwin"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--updates", type=int, default=200)
    arguments = parser.parse_args()
    folder, pairs = arguments.folder, arguments.pairs
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "train.en").exists():
        begin = time.monotonic()
        write_corpus(folder, pairs)
        print(f"{pairs:,} pairs written in {time.monotonic() - begin:.0f} s")
    for name, run, updates in (
        ("tokenizer learned and cache filled", "first", 1),
        ("started from the cache", "second", arguments.updates),
    ):
        first, _, memory = train(folder, folder / run, updates, "--restart")
        print(f"{name}: first update after {first:.1f} s, {memory:.2f} GB resident at most")
    report_order(folder / "cache")


def report_order(cache: Path) -> None:
    """Time the order of epochs, and batches without a model."""
    (entry,) = (path.parent for path in cache.glob(f"*/{PAIRS}"))
    size = (entry / PAIRS).stat().st_size
    begin = time.monotonic()
    data, _ = load_entry(entry)
    print(f"{len(data):,} pairs, {size / 1e9:.2f} GB, mapped in {time.monotonic() - begin:.2f} s")
    for epoch in range(3):
        begin = time.monotonic()
        batches = epoch_batches(data, BATCH_TOKENS, seed=1, epoch=epoch)
        print(f"order of epoch {epoch}: {time.monotonic() - begin:.2f} s, {len(batches):,} batches")
    begin = time.monotonic()
    rows = sum(len(data.batch(rows).source) for rows in batches[:BATCHES])
    print(f"batches without a model: {rows / (time.monotonic() - begin):,.0f} pairs/s")


if __name__ == "__main__":
    main()
