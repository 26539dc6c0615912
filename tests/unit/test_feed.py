"""Batches made ahead are those that would have been made when asked for."""

import time

import numpy as np
import pytest
import torch

from seq2seq_cli.config.settings import TrainingConfig
from seq2seq_cli.data.batching import Batch, Indices, Sentences, TokenPairs, epoch_batches
from seq2seq_cli.data.prefetch import Feed

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


def test_batches_come_in_order_from_any_place_and_epoch(pairs: TokenPairs) -> None:
    feed = Feed(pairs, CONFIG, pinned=False)
    assert len(feed) == 0
    for epoch, begin in ((0, 0), (1, 0), (1, 6), (1, 2), (0, 4)):  # back, too, as no training goes
        order = epoch_batches(pairs, 60, 3, epoch)
        for place in range(begin, len(order), 2):
            expected = [pairs.batch(rows) for rows in order[place : place + 2]]
            assert same(feed.take(epoch, place), expected)
        assert len(feed) == len(order)


def test_what_was_made_ahead_is_left_where_training_goes_on_elsewhere(pairs: TokenPairs) -> None:
    feed = Feed(pairs, CONFIG, pinned=False)
    order = epoch_batches(pairs, 60, 3, 0)
    for place in (0, 4, 2):
        expected = [pairs.batch(rows) for rows in order[place : place + 2]]
        assert same(feed.take(0, place), expected)


def test_an_epoch_begins_when_nothing_reads_the_last_one(
    pairs: TokenPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    feed = Feed(pairs, CONFIG, pinned=False)
    made, at = feed._made, TokenPairs.at

    def slowly(place: int) -> list[Batch]:
        time.sleep(0.1 if place else 0)
        events.append("made")
        return made(place)

    def begun(self: TokenPairs, seed: int, epoch: int) -> TokenPairs:
        events.append("begun")
        return at(self, seed, epoch)

    monkeypatch.setattr(feed, "_made", slowly)
    monkeypatch.setattr(TokenPairs, "at", begun)
    feed.take(0, 0)
    feed.take(1, 0)
    assert events[:4] == ["begun", "made", "made", "begun"]


def test_the_next_batches_are_made_meanwhile_and_no_others(
    pairs: TokenPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, ...]] = []
    batch = TokenPairs.batch

    def recording(self: TokenPairs, rows: Indices) -> Batch:
        made.append(tuple(rows))
        return batch(self, rows)

    monkeypatch.setattr(TokenPairs, "batch", recording)
    order = [tuple(rows) for rows in epoch_batches(pairs, 60, 3, 0)]
    feed = Feed(pairs, CONFIG, pinned=False)
    feed.take(0, 0)
    give_up = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < give_up:
        time.sleep(0.01)
    assert made == order[:4]
    feed.take(0, 2)
    feed.take(0, 4)
    assert made[:6] == order[:6]


def test_what_goes_wrong_is_raised_where_it_is_asked_for(
    pairs: TokenPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed(pairs, CONFIG, pinned=False)
    monkeypatch.setattr(feed, "_made", lambda place: 1 / 0 if place else [pairs.batch([0])] * 2)
    feed.take(0, 0)
    with pytest.raises(ZeroDivisionError):
        feed.take(0, 2)
