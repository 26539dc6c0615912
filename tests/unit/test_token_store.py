"""Tokenised corpora are the same from memory and cache, and are made again when needed."""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.data import pair_tokenizer as pair_tokenizer_module
from seq2seq_cli.data import tokenising
from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.cache import UNUSED_DAYS, Cache
from seq2seq_cli.data.pair_tokenizer import PairTokenizer
from seq2seq_cli.data.parallel import Corpus, parse_corpora
from seq2seq_cli.data.token_blocks import TokenBlocks
from seq2seq_cli.data.token_store import PAIRS, tokenise_or_load
from seq2seq_cli.data.tokenising import tokenise_blocks
from seq2seq_cli.data.tokenizers import train_or_load_tokenizer
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.symbols import PAD
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer

LINES = [f"{'ab ' * (1 + number % 7)}{number}" for number in range(100)]
FILTERED = ["", "too long " * 50, "a"]  # blank, too long, uneven
OTHER = ["blank beside", "b", "a b c d e f g h i j k l m n o p"]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return write_corpus(tmp_path)


def write_corpus(folder: Path) -> Corpus:
    for name, lines in (("a", FILTERED), ("b", OTHER)):
        lines = [*lines[:1], *LINES, *lines[1:]]
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    [corpus] = parse_corpora([str(folder / "a")], [str(folder / "b")])
    return corpus


@pytest.fixture
def pair_tokenizer() -> PairTokenizer:
    tokenizer = train_tokenizer(LINES, TokenizerSettings(model_type="char")).tokenizer
    return PairTokenizer(tokenizer, tokenizer, DataConfig(max_length=60))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def entries(cache: Cache) -> dict[str, int]:
    """The entries, and when each was made."""
    folders = [path for path in cache.folder.glob("[!.]*") if path.is_dir()]
    return {path.name: path.stat().st_ctime_ns for path in folders}


@pytest.mark.parametrize("lines", [1, 7, 100, 1000])
def test_tokens_from_cache_and_memory_are_the_same(
    lines: int,
    corpus: Corpus,
    pair_tokenizer: PairTokenizer,
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, report = tokenise_or_load(corpus, pair_tokenizer, None, pytest.fail)
    monkeypatch.setattr(pair_tokenizer_module, "CHUNK_LINES", lines)
    for _ in range(2):  # made, then found
        mapped, again = tokenise_or_load(corpus, pair_tokenizer, cache, pytest.fail)
        assert again == report
        assert mapped.fingerprint() == held.fingerprint()
        assert np.concatenate(mapped.line_numbers).tolist() == [*range(1, 101)]
        assert np.array_equal(mapped.rows_by_length, held.rows_by_length)
        one, other = mapped.batch(range(len(held))), held.batch(range(len(held)))
        assert one.source.equal(other.source)
        assert one.target.equal(other.target)
    expected = pair_tokenizer.source.encode(LINES)
    assert [ids.tolist() for ids, _ in held.take(range(100))] == expected
    assert (report.read, report.used) == (103, 100)
    assert (report.blank, report.too_long, report.uneven) == (1, 1, 1)
    assert report.source_tokens == sum(map(len, expected))


def test_the_cache_is_used_until_something_changes(
    corpus: Corpus, pair_tokenizer: PairTokenizer, cache: Cache, tmp_path: Path
) -> None:
    tokenise_or_load(corpus, pair_tokenizer, cache, pytest.fail)
    first = entries(cache)
    touched = tmp_path / "a"
    os.utime(touched, (0, 0))
    copied = tmp_path / "copy"
    copied.write_bytes(touched.read_bytes())
    same = parse_corpora([str(copied)], [str(tmp_path / "b")])[0]
    tokenise_or_load(same, pair_tokenizer, cache, pytest.fail)
    assert entries(cache) == first
    other = train_tokenizer(LINES, TokenizerSettings(model_type="word")).tokenizer
    for changed in (
        replace(pair_tokenizer, target=other),
        replace(pair_tokenizer, source=other),
        replace(pair_tokenizer, data=DataConfig(max_length=59)),
        replace(pair_tokenizer, data=DataConfig(max_length=60, max_length_ratio=8.0)),
    ):
        before = entries(cache)
        tokenise_or_load(corpus, changed, cache, pytest.fail)
        assert len(entries(cache)) == len(before) + 1
    times = touched.stat().st_mtime_ns
    touched.write_text(touched.read_text().replace("99", "98"))  # as long as before
    os.utime(touched, ns=(times, times))
    again = replace(corpus)  # which hashes its files when it is first asked, as in each command
    pairs, _ = tokenise_or_load(again, pair_tokenizer, cache, pytest.fail)
    assert (
        pairs.source[99].tolist()
        == pair_tokenizer.source.encode([LINES[99].replace("99", "98")])[0]
    )


def test_an_unfinished_entry_is_not_used(
    corpus: Corpus, pair_tokenizer: PairTokenizer, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_tokenizer_module, "CHUNK_LINES", 30)
    apply = PairTokenizer.tokenise_chunk
    left = [2]

    def stops(self: PairTokenizer, lines: list[tuple[str, str]], first: int) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return apply(self, lines, first)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(PairTokenizer, "tokenise_chunk", stops)
        with pytest.raises(KeyboardInterrupt):
            tokenise_or_load(corpus, pair_tokenizer, cache, pytest.fail)
    assert entries(cache) == {}
    said: list[str] = []
    assert len(tokenise_or_load(corpus, pair_tokenizer, cache, said.append)[0]) == 100
    assert "2 blocks of" in said[0]


def made(cache: Cache) -> dict[str, bytes]:
    """All files of a cache but locks, by their paths within it."""
    paths = (path for path in cache.folder.rglob("*") if path.is_file())
    files = {str(path.relative_to(cache.folder)): path.read_bytes() for path in paths}
    return {name: data for name, data in files.items() if not name.endswith(".lock")}


@pytest.fixture
def many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few pairs each."""
    monkeypatch.setattr(pair_tokenizer_module, "CHUNK_LINES", 7)


@pytest.fixture
def uncommon(tmp_path: Path) -> Corpus:
    """A corpus with characters that divide lines elsewhere, or that sides read in their own way."""
    (tmp_path / "c").mkdir()
    corpus = write_corpus(tmp_path / "c")
    for name in "ab":
        text = (tmp_path / "c" / name).read_text()
        text = text.replace("11\n", "\u2028 \uff11 \x85\r\r\n").replace("22\n", "2\x002\n")
        (tmp_path / "c" / name).write_text(text, newline="")
    return corpus


@pytest.mark.usefixtures("many_blocks")
def test_any_number_of_processes_makes_the_same_bytes(
    uncommon: Corpus, pair_tokenizer: PairTokenizer, tmp_path: Path
) -> None:
    tokenizer = pair_tokenizer.source.for_side("source")
    pair_tokenizer = replace(pair_tokenizer, source=tokenizer)
    found = []
    for workers in (1, 2, 3):
        cache = Cache(tmp_path / str(workers))
        pairs, report = tokenise_or_load(
            uncommon, pair_tokenizer, cache, pytest.fail, workers=workers
        )
        found.append(made(cache))
    held, expected = tokenise_or_load(uncommon, pair_tokenizer, None, pytest.fail)
    assert (pairs.fingerprint(), report) == (held.fingerprint(), expected)
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 2  # and nothing else is left


@pytest.mark.usefixtures("many_blocks")
def test_a_killed_preparation_goes_on_where_it_was(
    corpus: Corpus, pair_tokenizer: PairTokenizer, cache: Cache, tmp_path: Path
) -> None:
    whole = Cache(tmp_path / "whole")
    tokenise_or_load(corpus, pair_tokenizer, whole, pytest.fail)
    killed = multiprocessing.get_context("forkserver").Process(
        target=killed_after_blocks, args=(tmp_path, pair_tokenizer.source.model, cache.folder)
    )
    killed.start()
    killed.join(100)
    assert killed.exitcode == -signal.SIGKILL
    work = next(cache.folder.glob(".*.work"))
    done = sorted(work.glob("*.arrow"))
    assert len(done) >= 3
    done[0].write_bytes(done[0].read_bytes()[:100])
    written: list[int] = []
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        write = TokenBlocks.write
        patch.setattr(
            TokenBlocks, "write", lambda self, *of: written.append(of[0]) or write(self, *of)
        )
        tokenise_or_load(corpus, pair_tokenizer, cache, said.append)
    assert "going on with a preparation that was broken off" in said[0]
    assert int(done[0].stem) in written  # the damaged one
    assert len(written) <= 15 - len(done) + 1
    assert made(cache) == made(whole)


def killed_after_blocks(folder: Path, model: bytes, cache: Path) -> None:
    """Tokenise a corpus with two processes, and be killed once some blocks are there."""
    pair_tokenizer_module.CHUNK_LINES = 7
    [corpus] = parse_corpora([str(folder / "a")], [str(folder / "b")])
    tokenizer = Tokenizer(model)

    def pairs(self: Corpus, warn: object) -> Iterator[tuple[str, str]]:
        for number, pair in enumerate(read(self, print)):
            while number == 95 and len(list(cache.glob(".*.work/*.arrow"))) < 3:
                time.sleep(0.01)
            if number == 95:
                os.kill(os.getpid(), signal.SIGKILL)
            yield pair

    read, Corpus.pairs = Corpus.pairs, pairs
    pair_tokenizer = PairTokenizer(tokenizer, tokenizer, DataConfig(max_length=60))
    tokenise_or_load(corpus, pair_tokenizer, Cache(cache), print, workers=2)


@pytest.mark.usefixtures("many_blocks")
def test_what_goes_wrong_in_a_process_is_said(
    corpus: Corpus, pair_tokenizer: PairTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = TokenBlocks(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        tokenise_blocks(corpus, pair_tokenizer, folder, pytest.fail, 2)
    monkeypatch.setattr(tokenising, "SERVE", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(Seq2seqError, match=r"was ended by SIGKILL, .*the same command goes on"):
        tokenise_blocks(corpus, pair_tokenizer, folder, pytest.fail, 2)


def test_blocks_of_a_corpus_that_cannot_be_used_are_removed(
    corpus: Corpus, pair_tokenizer: PairTokenizer, cache: Cache, tmp_path: Path
) -> None:
    with (tmp_path / "a").open("a") as stream:
        stream.write("one more\n")
    with pytest.raises(InputError, match=r"104 lines but .* has 103"):
        tokenise_or_load(corpus, pair_tokenizer, cache, pytest.fail)
    assert made(cache) == {}


@pytest.mark.usefixtures("many_blocks")
def test_no_more_lines_are_read_ahead_than_processes_are_about_to_need(
    pair_tokenizer: PairTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, total = 2 * tokenising.READ_AHEAD, 40
    read, done = [0], [0]

    class Endless:
        def pairs(self, warn: object) -> Iterator[tuple[str, str]]:
            for number in range(7 * total):
                read[0] = number // 7
                assert read[0] <= done[0] + ahead + 1
                yield "a", "b"

    class Slow:
        def __init__(self, *_: object) -> None:
            pass

        def make(self, index: int, first_line: int, lines: object) -> None:
            while read[0] < min(index + ahead, total - 1):  # as far as it may be
                time.sleep(0.001)
            time.sleep(0.01)
            done[0] += 1

        def end(self) -> None:
            pass

    monkeypatch.setattr(tokenising, "_Worker", Slow)
    folder = TokenBlocks(tmp_path)
    assert tokenise_blocks(Endless(), pair_tokenizer, folder, pytest.fail, 2) == total


@pytest.mark.parametrize("size", [0, 100, 2000])
def test_a_damaged_entry_is_made_again(
    size: int, corpus: Corpus, pair_tokenizer: PairTokenizer, cache: Cache
) -> None:
    held, _ = tokenise_or_load(corpus, pair_tokenizer, cache, pytest.fail)
    expected = held.fingerprint()
    (path,) = cache.folder.glob(f"*/{PAIRS}")
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:size])
    assert tokenise_or_load(corpus, pair_tokenizer, cache, pytest.fail)[0].fingerprint() == expected
    assert path.read_bytes() == whole


def test_old_entries_are_removed_when_a_new_one_is_made(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    used, unused = (cache.entry(name, lambda folder: None) for name in ("used", "unused"))
    assert used is not None
    assert unused is not None
    for entry in (used, unused):
        os.utime(entry.with_suffix(".lock"), (0, time.time() - (UNUSED_DAYS + 1) * 24 * 3600))
    assert cache.entry("used", lambda folder: pytest.fail("it is there")) == used
    cache.entry("new", lambda folder: None)
    assert used.is_dir()
    assert not unused.exists()


def test_what_a_killed_process_left_is_removed_when_its_entry_is_made(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    made = cache.entry("one", lambda folder: None)
    assert made is not None
    made.rmdir()
    remains, of_another = (cache.folder / f".{key}-1.tmp" for key in (made.name, "other"))
    for path in (remains, of_another):
        path.mkdir()
    assert cache.entry("one", lambda folder: None) == made
    assert not remains.exists()
    assert of_another.exists()  # a process may be at work on it


def test_a_trained_tokenizer_is_stored_with_its_notes(corpus: Corpus, cache: Cache) -> None:
    settings = TokenizerSettings(vocabulary_size=30)
    expected = train_or_load_tokenizer([corpus], (0, 1), settings, None)
    for _ in range(2):
        found = train_or_load_tokenizer([corpus], (0, 1), settings, cache)
        assert found.tokenizer.model == expected.tokenizer.model
        assert found.notes == expected.notes
    assert len(entries(cache)) == 1
    one_side = train_or_load_tokenizer([corpus], (1,), settings, cache).tokenizer
    assert one_side.model != expected.tokenizer.model


def test_an_unwritable_cache_is_an_error_that_names_it(
    corpus: Corpus, pair_tokenizer: PairTokenizer, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Seq2seqError, match=r"cannot write to the cache .*file.*--cache"):
        tokenise_or_load(corpus, pair_tokenizer, Cache(tmp_path / "file" / "below"), pytest.fail)
    with pytest.raises(InputError, match=r"file is not a folder for a cache; .*--cache"):
        Cache(tmp_path / "file")


@contextmanager
def another_user() -> Iterator[None]:
    """Go on as a user who may not do everything, as root may."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users may enter."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "cache"


def seal(cache: Cache, folders: int, files: int) -> None:
    """Set what another user may do with a cache and all within it."""
    for path in [*sorted(cache.folder.rglob("*"), reverse=True), cache.folder]:
        path.chmod(folders if path.is_dir() else files)


@pytest.mark.parametrize("folder", [0o555, 0o777], ids=["read-only", "writable"])
def test_an_entry_of_another_user_is_read(
    folder: int, shared: Path, pair_tokenizer: PairTokenizer
) -> None:
    corpus = write_corpus(shared.parent)
    cache = Cache(shared, pytest.fail)
    expected = tokenise_or_load(corpus, pair_tokenizer, cache, pytest.fail)[0].fingerprint()
    seal(cache, 0o555, 0o444)
    shared.chmod(folder)
    with another_user():
        found, _ = tokenise_or_load(corpus, pair_tokenizer, cache, pytest.fail)
        assert found.fingerprint() == expected
    seal(cache, 0o755, 0o644)


@pytest.mark.parametrize("damage", ["unreadable", "damaged", "missing"])
def test_what_cannot_be_used_of_another_user_is_done_without_and_said(
    damage: str, shared: Path, pair_tokenizer: PairTokenizer
) -> None:
    corpus = write_corpus(shared.parent)
    said: list[str] = []
    cache = Cache(shared, said.append)
    held, _ = tokenise_or_load(corpus, pair_tokenizer, cache, pytest.fail)
    expected = held.fingerprint()
    (path,) = shared.glob(f"*/{PAIRS}")
    if damage == "missing":
        shutil.rmtree(path.parent)
    elif damage == "damaged":
        path.unlink()
        path.write_bytes(b"no table")
    seal(cache, 0o555, 0o000 if damage == "unreadable" else 0o444)
    with another_user():
        found, _ = tokenise_or_load(corpus, pair_tokenizer, cache, pytest.fail)
        assert found.fingerprint() == expected
    seal(cache, 0o755, 0o644)
    [warning] = said
    assert warning.startswith(f"the cache {shared} cannot be used (")
    assert "going on without it; name a folder of your own with --cache" in warning


def test_a_folder_that_a_user_may_write_serves_the_entries_of_all(shared: Path) -> None:
    """Locks, remains and unused entries of one user are no hindrance to another."""
    cache = Cache(shared, pytest.fail)
    cache.entry("old", lambda folder: None)
    [lock] = shared.glob("*.lock")
    os.utime(lock, (0, 0))
    (shared / ".abc-1.tmp").mkdir()
    seal(cache, 0o555, 0o444)
    shared.chmod(0o1777)
    with another_user():
        made = cache.entry("new", lambda folder: (folder / "x").touch())
        assert made is not None
        assert cache.entry("new", lambda folder: pytest.fail("it is there")) == made
    seal(cache, 0o755, 0o644)


def test_pipes_become_rereadable(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("c\nd\n")
    (tmp_path / "folder").mkdir()
    reading, writing = os.pipe()
    os.write(writing, b"a\nb\n")
    os.close(writing)
    name = f"/dev/fd/{reading}"
    [corpus] = parse_corpora([name], [str(tmp_path / "b")])
    corpus = corpus.make_rereadable(tmp_path / "folder")
    for _ in range(2):
        assert list(corpus.pairs(pytest.fail)) == [("a", "c"), ("b", "d")]
    (tmp_path / "b").write_text("c\n")
    with pytest.raises(InputError, match=f"{name} has 2 lines but .*b has 1"):
        list(corpus.pairs(pytest.fail))
    os.close(reading)


def test_sampled_tokens_differ_by_epoch_and_are_reproducible(
    pair_tokenizer: PairTokenizer, corpus: Corpus, cache: Cache
) -> None:
    settings = TokenizerSettings(model_type="bpe", vocabulary_size=30)
    tokenizer = train_tokenizer(LINES, settings).tokenizer
    data = DataConfig(max_length=60, subword_sampling=0.3)
    sampling = PairTokenizer(tokenizer, tokenizer, data)
    plain, _ = tokenise_or_load(
        corpus, replace(sampling, data=DataConfig(max_length=60)), cache, print
    )
    pairs, _ = tokenise_or_load(corpus, sampling, cache, pytest.fail)
    assert len(entries(cache)) == 1  # stored tokens are not sampled
    pairs.sampler = sampling.subword_sampler()

    def tokens(seed: int, epoch: int, rows: list[int]) -> list[list[int]]:
        return [
            ids[ids != PAD].tolist()
            for ids in pairs.pairs_for_epoch(seed, epoch).batch(rows).source
        ]

    rows = list(range(20))
    first = tokens(1, 0, rows)
    assert first == tokens(1, 0, rows)
    assert first != tokens(1, 1, rows)
    assert first != tokens(2, 0, rows)
    assert first != [ids[ids != PAD].tolist() for ids in plain.batch(rows).source]
    assert tokenizer.decode(first) == LINES[:20]
    assert 1.1 < pairs.pairs_for_epoch(1, 0).sampling_length_ratio < 3
    sizes = [
        pairs.pairs_for_epoch(1, 0).batch(rows).source.numel()
        for rows in epoch_batches(pairs, 200, 1, 0)
    ]
    assert 150 < np.mean(sizes) < 250
    short = replace(sampling, data=replace(data, max_length=max(plain.source.lengths)))
    pairs.sampler = short.subword_sampler()
    assert max(map(len, tokens(1, 0, list(range(100))))) <= max(plain.source.lengths) + 1
