"""Times a large corpus: how long preparing it and starting from the cache take, and the memory.

    python recipes/bench/corpus.py DIR [--pairs 10000000] [--updates 200] [--workers 1 2]

Writes made-up parallel text to DIR (0.18 GB for a million pairs) with the cache beside it.
Tokenises it with each number of processes in `--workers`, in a cache of its own, and prints the
seconds, the processor time, the highest resident memory of the process that reads and of those
that tokenise, and a hash of what they made, which must be the same. Trains transformer-tiny twice,
each time in a process of its own: the first run learns a tokenizer and fills the cache, the second
starts from the cache. Prints for each the seconds to its first update and its highest resident
memory. Then it times the ordering of an epoch, and batches without a model. With `--updates 0` it
ends before training.
"""

import argparse
import hashlib
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.cache import Cache
from seq2seq_cli.data.pair_tokenizer import PairTokenizer
from seq2seq_cli.data.parallel import parse_corpora
from seq2seq_cli.data.token_store import PAIRS, load_entry, tokenise_or_load
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer

LANGUAGES = ("en", "de")
WORDS = 10_000  # different words, drawn by Zipf's law
WRITTEN_AT_ONCE = 50_000  # pairs
VALID_PAIRS = 10
CONSONANTS, VOWELS = "bcdfghklmnprstvwz", "aeiou"
TOKENIZER = "tokenizer.model"
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


def tokenise(folder: Path, workers: int) -> None:
    """Tokenise the corpus with this number of processes, and print what it took.

    To be called in a process of its own.
    """
    [corpus] = parse_corpora(*([str(folder / f"train.{language}")] for language in LANGUAGES))
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    pair_tokenizer = PairTokenizer(tokenizer.for_side("source"), tokenizer, DataConfig())
    with TemporaryDirectory(dir=folder) as cache:
        begin = time.monotonic()
        tokenise_or_load(corpus, pair_tokenizer, Cache(Path(cache)), print, workers=workers)
        seconds = time.monotonic() - begin
        (entry,) = Path(cache).glob(f"*/{PAIRS}")
        with entry.open("rb") as stream:
            made = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor = sum(each.ru_utime + each.ru_stime for each in used)
    memory = " + ".join(f"{each.ru_maxrss / (1e9 if is_mac() else 1e6):.2f}" for each in used)
    print(
        f"tokenised by {workers}: {seconds:.1f} s, {processor:.1f} s of processors, {memory} GB "
        f"resident at most in the process that reads and in each other, {made}",
        flush=True,
    )


def learn_tokenizer(folder: Path) -> None:
    """Learn the tokenizer of `tokenise` from the first pairs."""
    lines: list[str] = []
    for language in LANGUAGES:
        with (folder / f"train.{language}").open() as stream:
            lines += [line.rstrip("\n") for line in islice(stream, WRITTEN_AT_ONCE)]
    trained = train_tokenizer(lines, TokenizerSettings(vocabulary_size=8000))
    (folder / TOKENIZER).write_bytes(trained.tokenizer.model)


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
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    arguments = parser.parse_args()
    folder, pairs = arguments.folder, arguments.pairs
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "train.en").exists():
        begin = time.monotonic()
        write_corpus(folder, pairs)
        print(f"{pairs:,} pairs written in {time.monotonic() - begin:.0f} s", flush=True)
    learn_tokenizer(folder)
    for workers in arguments.workers:
        process = multiprocessing.get_context("spawn").Process(
            target=tokenise, args=(folder, workers)
        )
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"tokenising ended with {process.exitcode}")
    if not arguments.updates:
        return
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
