"""Batches made ahead are the same as batches made when they are needed."""

import time

import numpy as np
import pytest
import torch

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.prefetch import Prefetcher
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.padding import Indices

CONFIG = TrainingConfig(batch_tokens=60, accumulate=2, seed=3)


@pytest.fixture
def pairs() -> TokenPairs:
    random = np.random.default_rng(1)
    sides = ([random.integers(4, 99, random.integers(1, 20)) for _ in range(50)] for _ in range(2))
    return TokenPairs(*map(Sentences, sides))


def same(found: list[Batch], expected: list[Batch]) -> bool:
    return len(found) == len(expected) and all(
        torch.equal(one.source, other.source) and torch.equal(one.target, other.target)
        for one, other in zip(found, expected, strict=True)
    )


def test_batches_come_in_order_from_any_index_and_epoch(pairs: TokenPairs) -> None:
    prefetcher = Prefetcher(pairs, CONFIG, pin_memory=False)
    assert len(prefetcher) == 0
    for epoch, begin in ((0, 0), (1, 0), (1, 6), (1, 2), (0, 4)):  # also backwards, unlike training
        order = epoch_batches(pairs, 60, 3, epoch)
        for index in range(begin, len(order), 2):
            expected = [pairs.batch(rows) for rows in order[index : index + 2]]
            assert same(prefetcher.take(epoch, index), expected)
        assert len(prefetcher) == len(order)


def test_batches_made_ahead_are_dropped_if_training_continues_elsewhere(pairs: TokenPairs) -> None:
    prefetcher = Prefetcher(pairs, CONFIG, pin_memory=False)
    order = epoch_batches(pairs, 60, 3, 0)
    for index in (0, 4, 2):
        expected = [pairs.batch(rows) for rows in order[index : index + 2]]
        assert same(prefetcher.take(0, index), expected)


def test_an_epoch_begins_after_the_thread_has_read_the_last_one(
    pairs: TokenPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    prefetcher = Prefetcher(pairs, CONFIG, pin_memory=False)
    made, at = prefetcher._make, TokenPairs.pairs_for_epoch

    def slowly(index: int) -> list[Batch]:
        time.sleep(0.1 if index else 0)
        events.append("made")
        return made(index)

    def begun(self: TokenPairs, seed: int, epoch: int) -> TokenPairs:
        events.append("begun")
        return at(self, seed, epoch)

    monkeypatch.setattr(prefetcher, "_make", slowly)
    monkeypatch.setattr(TokenPairs, "pairs_for_epoch", begun)
    prefetcher.take(0, 0)
    prefetcher.take(1, 0)
    assert events[:4] == ["begun", "made", "made", "begun"]


def test_only_the_batches_of_the_next_update_are_made_ahead(
    pairs: TokenPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, ...]] = []
    batch = TokenPairs.batch

    def recording(self: TokenPairs, rows: Indices) -> Batch:
        made.append(tuple(rows))
        return batch(self, rows)

    monkeypatch.setattr(TokenPairs, "batch", recording)
    order = [tuple(rows) for rows in epoch_batches(pairs, 60, 3, 0)]
    prefetcher = Prefetcher(pairs, CONFIG, pin_memory=False)
    prefetcher.take(0, 0)
    give_up = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < give_up:
        time.sleep(0.01)
    assert made == order[:4]
    prefetcher.take(0, 2)
    prefetcher.take(0, 4)
    assert made[:6] == order[:6]


def test_an_error_in_the_thread_is_raised_when_its_batches_are_taken(
    pairs: TokenPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefetcher = Prefetcher(pairs, CONFIG, pin_memory=False)
    monkeypatch.setattr(
        prefetcher, "_make", lambda index: 1 / 0 if index else [pairs.batch([0])] * 2
    )
    prefetcher.take(0, 0)
    with pytest.raises(ZeroDivisionError):
        prefetcher.take(0, 2)
