"""Batches contain every pair once an epoch, within their budget, in a reproducible order."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import Mixture, TokenPairs
from seq2seq_cli.padding import pad
from seq2seq_cli.symbols import BOS, EOS, PAD

sentences = st.lists(st.integers(4, 40_000), max_size=12)
corpora = st.lists(st.tuples(sentences, sentences), min_size=1, max_size=40)


def token_pairs(corpus: list[tuple[list[int], list[int]]]) -> TokenPairs:
    return TokenPairs(Sentences(s for s, _ in corpus), Sentences(t for _, t in corpus))


@pytest.fixture(scope="module")
def random_pairs() -> TokenPairs:
    """2,000 pairs of 1 to 40 tokens whose sides are of similar length."""
    random = np.random.default_rng(1)
    lengths = random.integers(1, 40, 2000)
    others = np.maximum(1, lengths + random.integers(-3, 4, 2000))
    return token_pairs([([4] * int(n), [5] * int(m)) for n, m in zip(lengths, others, strict=True)])


def order(pairs: TokenPairs, seed: int, epoch: int) -> list[list[int]]:
    return [rows.tolist() for rows in epoch_batches(pairs, 400, seed, epoch)]


@given(corpora, st.integers(1, 60), st.integers(0, 3), st.integers(0, 3))
@settings(deadline=None)
def test_every_pair_comes_once_an_epoch_and_batches_keep_to_their_budget(
    corpus: list[tuple[list[int], list[int]]], batch_tokens: int, seed: int, epoch: int
) -> None:
    pairs = token_pairs(corpus)
    batches = epoch_batches(pairs, batch_tokens, seed, epoch)
    assert sorted(row for rows in batches for row in rows.tolist()) == list(range(len(corpus)))
    for rows in batches:
        batch = pairs.batch(rows)
        longest = max(batch.source.size(1), batch.target.size(1) - 1)
        assert len(rows) == 1 or len(rows) * longest <= batch_tokens


def test_the_order_depends_only_on_seed_and_epoch(random_pairs: TokenPairs) -> None:
    first = order(random_pairs, seed=1, epoch=0)
    np.random.seed(7)
    torch.manual_seed(7)
    assert order(random_pairs, seed=1, epoch=0) == first
    assert order(random_pairs, seed=1, epoch=1) != first
    assert order(random_pairs, seed=2, epoch=0) != first


def test_batches_are_different_in_each_epoch(random_pairs: TokenPairs) -> None:
    first, second = (
        {frozenset(rows) for rows in order(random_pairs, seed=1, epoch=epoch)} for epoch in (0, 1)
    )
    assert len(first & second) < len(first) / 2


def test_two_pairs_are_seldom_in_one_batch_in_two_epochs(random_pairs: TokenPairs) -> None:
    meetings = []
    for epoch in (0, 1):
        batch_of = np.empty(len(random_pairs), dtype=int)
        for number, rows in enumerate(epoch_batches(random_pairs, 100, 1, epoch)):
            batch_of[rows] = number
        meetings.append(batch_of[:, None] == batch_of)
    np.fill_diagonal(meetings[0], False)
    assert (meetings[0] & meetings[1]).sum() < 0.25 * meetings[0].sum()


def test_each_corpus_of_a_mixture_has_its_share(random_pairs: TokenPairs) -> None:
    small, large = token_pairs([([4], [4])] * 100), random_pairs
    sizes = (len(small), len(large))
    expected = {  # pairs of the small corpus, of 2,100 in an epoch
        ((1.0, 1.0), 1.0): 100,
        ((5.0, 1.0), 1.0): 2100 * 500 / 2500,
        ((1.0, 1.0), 1e9): 2100 / 2,
        ((1.0, 1.0), 2.0): 2100 * 100**0.5 / (100**0.5 + 2000**0.5),
    }
    for (weights, temperature), count in expected.items():
        mixture = Mixture.from_weights(sizes, weights, temperature)
        pairs = TokenPairs.concatenate([small, large], mixture)
        epochs = [
            np.bincount(np.concatenate(epoch_batches(pairs, 400, 1, epoch)), minlength=2100)
            for epoch in (0, 1)
        ]
        for times in epochs:
            assert times[:100].sum() == round(count)
            assert times[100:].sum() == round(2100 - count)
            assert np.ptp(times[:100]) <= 1
            assert np.ptp(times[100:]) <= 1
        if count > 100:  # of the others, some are left out: other ones in each epoch
            assert (epochs[0] != epochs[1]).any()


def test_batches_are_not_sorted_by_length(random_pairs: TokenPairs) -> None:
    lengths = [random_pairs.target.lengths[rows[0]] for rows in order(random_pairs, 1, 0)]
    assert abs(np.corrcoef(lengths, np.arange(len(lengths)))[0, 1]) < 0.3


def test_batches_have_little_padding(random_pairs: TokenPairs) -> None:
    batches = [random_pairs.batch(rows) for rows in epoch_batches(random_pairs, 1000, 1, 0)]
    for side in ("source", "target"):
        padding = sum(int((getattr(batch, side) == PAD).sum()) for batch in batches)
        assert padding < 0.15 * sum(getattr(batch, side).numel() for batch in batches)


def test_a_batch_has_bos_eos_and_padding() -> None:
    pairs = token_pairs([([7, 8, 9], [4]), ([], [5, 6]), ([9], [9])])
    batch = pairs.batch([1, 0])
    assert batch.source.tolist() == [[EOS, PAD, PAD, PAD], [7, 8, 9, EOS]]
    assert batch.target.tolist() == [[BOS, 5, 6, EOS], [BOS, 4, EOS, PAD]]
    assert batch.source.dtype == batch.target.dtype == torch.int64
    assert batch.target_tokens() == 5


@given(st.lists(sentences))
def test_sentences_come_back_as_they_were(lists: list[list[int]]) -> None:
    held = Sentences(lists)
    assert [held[index].tolist() for index in range(len(held))] == lists
    assert held.lengths.tolist() == [len(each) for each in lists]


def test_pad_makes_the_longest_fit() -> None:
    assert pad([[4], [5, 6]]).tolist() == [[4, PAD], [5, 6]]


def test_the_fingerprint_changes_with_the_data() -> None:
    corpus = [([4, 5], [6]), ([7], [8, 9])]
    changed = [
        [([4, 5], [6]), ([7], [8, 10])],  # a token
        [([4], [6]), ([5, 7], [8, 9])],  # where a sentence ends
        [([7], [8, 9]), ([4, 5], [6])],  # the order
        [([6], [4, 5]), ([8, 9], [7])],  # the direction
        corpus[:1],
    ]
    prints = [token_pairs(each).fingerprint() for each in (corpus, *changed)]
    assert len(set(prints)) == len(prints)
    assert token_pairs(corpus).fingerprint() == prints[0]
