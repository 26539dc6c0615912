"""A stream has every pair in its turn, and training resumes where it stopped."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data import pair_tokenizer
from seq2seq_cli.data.pair_tokenizer import PairTokenizer
from seq2seq_cli.data.parallel import Corpus, parse_corpora
from seq2seq_cli.data.prefetch import Prefetcher
from seq2seq_cli.data.streaming import Stream, StreamedPairs
from seq2seq_cli.data.token_pairs import EndOfDataError, TokenPairs
from seq2seq_cli.errors import InputError
from seq2seq_cli.tokenization.learning import train_tokenizer

LETTERS = "abcdefghijklmno"
CAPITALS = "ABCD"
TOKENIZER = train_tokenizer([LETTERS, CAPITALS], TokenizerSettings(model_type="char")).tokenizer


def write(path: Path, letters: str) -> Corpus:
    path.write_text("".join(f"{letter}\n" for letter in letters))
    [corpus] = parse_corpora([str(path)], [str(path)])
    return corpus


def stream(found: list[Corpus], pairs: int, **data: object) -> StreamedPairs:
    config = DataConfig(stream=True, stream_pairs=pairs, **data)  # type: ignore[arg-type]
    return Stream(found, config, pytest.fail).tokenise(PairTokenizer(TOKENIZER, TOKENIZER, config))


def letters(pairs: TokenPairs) -> str:
    return "".join(TOKENIZER.decode([ids.tolist() for ids, _ in pairs.take(range(len(pairs)))]))


def test_portions_follow_each_other_and_start_again_at_the_end(tmp_path: Path) -> None:
    read = stream([write(tmp_path / "a", LETTERS)], 6)
    portions = [letters(read.pairs_for_epoch(1, epoch)) for epoch in range(6)]
    assert portions == ["abcdef", "ghijkl", "mnoabc", "defghi", "jklmno", "abcdef"]
    for epoch in (0, 1, 4, 5):
        again = stream([write(tmp_path / "a", LETTERS)], 6)
        assert letters(again.pairs_for_epoch(1, epoch)) == portions[epoch]
        assert again.first.fingerprint() == read.first.fingerprint()


def test_portions_mix_corpora_by_their_weights(tmp_path: Path) -> None:
    both = [write(tmp_path / "a", LETTERS), write(tmp_path / "b", CAPITALS)]
    assert letters(stream(both, 6).pairs_for_epoch(1, 1)) == "defDAB"
    weighted = stream(both, 6, source=("a", "b"), target=("a", "b"), weights=(5.0, 1.0))
    assert [letters(weighted.pairs_for_epoch(1, epoch)) for epoch in range(3)] == [
        "abcdeA",
        "fghijB",
        "klmnoC",
    ]


def test_a_portion_is_not_longer_than_the_text(tmp_path: Path) -> None:
    """Otherwise a tokenizer would be learned from copies, and an epoch would be several."""
    read = stream([write(tmp_path / "a", LETTERS)], 500)
    assert [letters(read.pairs_for_epoch(1, epoch)) for epoch in range(2)] == [LETTERS, LETTERS]
    both = [write(tmp_path / "a", LETTERS), write(tmp_path / "b", CAPITALS)]
    assert letters(stream(both, 500).pairs_for_epoch(1, 0)) == LETTERS + (CAPITALS * 4)[:15]
    weighted = stream(both, 500, source=("a", "b"), target=("a", "b"), weights=(3.0, 1.0))
    assert letters(weighted.pairs_for_epoch(1, 0)) == LETTERS + "ABCDA"
    assert letters(stream(both, 20).pairs_for_epoch(1, 0)) == LETTERS[:10] + (CAPITALS * 3)[:10]


def test_the_last_portion_of_a_pipe_is_shorter(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    threading.Thread(target=path.write_text, args=["a\nb\nc\n"], daemon=True).start()
    target = write(tmp_path / "b", "abc").target
    [corpus] = parse_corpora([str(path)], [str(tmp_path / "b")])
    assert corpus.target == target
    read = stream([corpus], 2)
    assert [letters(read.pairs_for_epoch(1, epoch)) for epoch in range(2)] == ["ab", "c"]
    with pytest.raises(EndOfDataError, match="the stream has come to its end"):
        read.pairs_for_epoch(1, 2)


def test_a_stream_without_pairs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are empty: there is no sentence pair"):
        stream([write(tmp_path / "a", "")], 2)


def test_a_later_portion_without_a_usable_pair_is_left_out_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("a\nb\n\n \n" + "a" * 50 + "\n" + "b" * 60 + "\nc\nd\n")
    [corpus] = parse_corpora([str(path)], [str(path)])
    config = DataConfig(stream=True, stream_pairs=2, max_length=9)
    warnings: list[str] = []
    read = Stream([corpus], config, warnings.append).tokenise(
        PairTokenizer(TOKENIZER, TOKENIZER, config)
    )
    portions = [read.pairs_for_epoch(1, epoch) for epoch in range(4)]
    assert [letters(pairs) if len(pairs) else "" for pairs in portions] == ["ab", "", "", "cd"]
    blank, long = warnings
    assert "portion 2 of the stream is left out" in blank
    assert "2 have a blank side" in blank
    assert "portion 3 of the stream" in long
    assert "2 are longer than data.max_length" in long
    prefetcher = Prefetcher(read_again(corpus, config), TrainingConfig(), pin_memory=False)
    assert [len(prefetcher.take(epoch, 0)) for epoch in range(4)] == [1, 0, 0, 1]


def read_again(corpus: Corpus, config: DataConfig) -> StreamedPairs:
    tokenizer = PairTokenizer(TOKENIZER, TOKENIZER, config)
    return Stream([corpus], config, lambda message: None).tokenise(tokenizer)


class Group:
    """Processes that are threads: each waits until all have given what it gathers."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=60)
        self.values: list[object] = [None] * count

    def member(self, rank: int) -> "Member":
        return Member(self, rank, len(self.values))


@dataclass(frozen=True)
class Member:
    group: Group
    rank: int
    world_size: int

    def gather(self, value: object) -> list[object]:
        self.group.values[self.rank] = value
        self.group.barrier.wait()
        values = list(self.group.values)
        self.group.barrier.wait()
        return values

    gather_numbers = gather

    def refuse(self, message: str) -> None:
        raise InputError(message)


def in_processes(corpora: list[list[Corpus]], **data: object) -> list[object]:
    """What several processes read of two portions, each of its own corpora, or its error."""
    config = DataConfig(stream=True, **data)  # type: ignore[arg-type]
    group = Group(len(corpora))

    def read(rank: int) -> object:
        try:
            tokenizer = PairTokenizer(TOKENIZER, TOKENIZER, config)
            one = Stream(corpora[rank], config, pytest.fail).tokenise(tokenizer, group.member(rank))
            portions = [one.pairs_for_epoch(1, epoch) for epoch in (0, 1)]
        except InputError as error:
            return str(error)
        lines = [[each.tolist() for each in pairs.line_numbers] for pairs in portions]
        return [letters(pairs) for pairs in portions], lines, one.report

    with ThreadPoolExecutor(len(corpora)) as pool:
        return list(pool.map(read, range(len(corpora))))


@pytest.mark.parametrize("chunk", [2, 100])
def test_processes_that_share_a_stream_have_what_one_has(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_tokenizer, "CHUNK_LINES", chunk)
    both = [write(tmp_path / "a", f"{LETTERS} {LETTERS}"), write(tmp_path / "b", CAPITALS)]
    tokenised: list[int] = []
    tokenise = PairTokenizer.tokenise_chunk

    def counted(self: PairTokenizer, lines: list[tuple[str, str]], first: int) -> object:
        tokenised.append(len(lines))
        return tokenise(self, lines, first)

    monkeypatch.setattr(PairTokenizer, "tokenise_chunk", counted)
    found = []
    for count in (1, 2, 3):
        tokenised.clear()
        found += in_processes([both] * count, stream_pairs=14)
        assert sum(tokenised) == 28  # each pair once, whatever the number
    assert all(each == found[0] for each in found[1:])


def test_processes_that_read_different_streams_end(tmp_path: Path) -> None:
    texts = [[write(tmp_path / name, text)] for name, text in (("a", "abcd"), ("b", "abdc"))]
    for error in in_processes(texts, stream_pairs=4):
        assert "the stream that process 1 reads is not that of process 0" in error
