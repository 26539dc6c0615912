"""Neighbouring pairs are joined at random: the same in each run, and nothing is lost."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.data.alignments import Alignments, PairAlignment
from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.pair_tokenizer import PairTokenizer
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import Mixture, TokenPairs
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer

CHINESE = ["我喜欢苹果。", "你呢。", "他 A。", "苹果 喜欢 。"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    lines = ["<2de> ab abc bca.", "cab! dabc? ddd", "a b c d", *CHINESE] * 5
    settings_ = TokenizerSettings(vocabulary_size=60, languages=("de",))
    return train_tokenizer(lines, settings_).tokenizer


def pairs_of(
    texts: list[tuple[str, str]], tokenizer: Tokenizer, data: DataConfig, corpora: int = 1
) -> TokenPairs:
    pair_tokenizer = PairTokenizer(tokenizer, tokenizer, data)
    found = []
    for chunk in pair_tokenizer.tokenise(texts):
        sides = (Sentences.from_arrays([side]) for side in (chunk.source, chunk.target))
        found.append(TokenPairs(*sides, line_numbers=[chunk.line_numbers]))
    pairs = TokenPairs.concatenate(found * corpora)
    pairs.joiner = pair_tokenizer.pair_joiner()
    return pairs


def texts(pairs: TokenPairs, tokenizer: Tokenizer) -> list[tuple[str, str]]:
    rows = list(pairs.take(range(len(pairs))))
    source, target = (
        tokenizer.decode([ids.tolist() for ids in side]) for side in zip(*rows, strict=True)
    )
    return list(zip(source, target, strict=True))


words = st.text("abcd", min_size=1, max_size=4).map(" ".join)
corpus = st.lists(st.tuples(words, words) | st.just(("", "")), min_size=1, max_size=30)


@given(
    lines=corpus,
    share=st.floats(0.01, 0.99),
    longest=st.integers(8, 30),
    epoch=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_an_epoch_has_all_pairs_in_order_and_none_too_long(
    lines: list[tuple[str, str]], share: float, longest: int, epoch: int, tokenizer: Tokenizer
) -> None:
    lines = [*lines, ("a", "b")]
    pairs = pairs_of(lines, tokenizer, DataConfig(join_sentences=share, max_length=longest))
    joined = pairs.pairs_for_epoch(1, epoch)
    for side in (0, 1):
        before = " ".join(pair[side] for pair in texts(pairs, tokenizer))
        assert " ".join(pair[side] for pair in texts(joined, tokenizer)) == before
    assert max(*joined.source.lengths, *joined.target.lengths) <= longest
    again = pairs.pairs_for_epoch(1, epoch)
    assert texts(again, tokenizer) == texts(joined, tokenizer)
    rows = [row for batch in epoch_batches(joined, 20, 1, epoch) for row in batch.tolist()]
    assert sorted(rows) == list(range(len(joined)))


def test_the_share_of_joined_pairs_is_the_one_asked_for_and_changes_with_the_epoch(tokenizer):
    pairs = pairs_of([("a", "b")] * 10_000, tokenizer, DataConfig(join_sentences=0.2))
    first, second = (pairs.pairs_for_epoch(1, epoch) for epoch in (0, 1))
    assert len(first) == pytest.approx(8000, abs=150)
    lengths = np.bincount(first.source.lengths // pairs.source.lengths[0])
    assert lengths[2] / lengths[1] == pytest.approx(0.2, abs=0.02)
    assert lengths[3] / lengths[2] == pytest.approx(0.2, abs=0.05)
    assert first.source.lengths.tolist() != second.source.lengths.tolist()
    other = pairs.pairs_for_epoch(2, 0)
    assert first.source.lengths.tolist() != other.source.lengths.tolist()


def test_a_run_that_is_too_long_is_divided_into_lines_that_are_as_long_as_may_be(tokenizer):
    data = DataConfig(join_sentences=0.999, max_length=8)
    pairs = pairs_of([("a", "b")] * 24, tokenizer, data)
    size = pairs.source.lengths[0]
    joined = pairs.pairs_for_epoch(1, 0)
    assert joined.source.lengths.tolist() == [8 // size * size] * (24 // (8 // size))


def test_only_neighbours_of_one_corpus_are_joined(tokenizer):
    """Not pairs with a pair between them that was left out, nor the last of one corpus."""
    data = DataConfig(join_sentences=0.999)
    lines = [("a", "a"), ("b", "b"), ("", "c"), ("d", "d")]
    joined = pairs_of(lines, tokenizer, data, corpora=2).pairs_for_epoch(1, 0)
    assert texts(joined, tokenizer) == [("a b", "a b"), ("d", "d")] * 2


def test_a_mixture_counts_the_joined_pairs_of_each_corpus(tokenizer):
    data = DataConfig(join_sentences=0.999)
    pairs = pairs_of([("a", "a"), ("b", "b"), ("", ""), ("d", "d")], tokenizer, data, corpora=2)
    pairs.mixture = Mixture((3, 3), (0.25, 0.75))
    joined = pairs.pairs_for_epoch(1, 0)
    assert joined.mixture == Mixture((2, 2), (0.25, 0.75))
    rows = list(chain.from_iterable(epoch_batches(joined, 20, 1, 0)))
    assert sorted(row >= 2 for row in rows) == [False, True, True, True]


def test_chinese_is_joined_without_a_space_unless_its_words_have_spaces(tokenizer):
    data = DataConfig(join_sentences=0.999)
    first = [("ab", CHINESE[0]), ("ab", CHINESE[1])]
    joined = pairs_of(first, tokenizer, data).pairs_for_epoch(1, 0)
    assert texts(joined, tokenizer) == [("ab ab", "我喜欢苹果。你呢。")]
    second = [("ab", CHINESE[3]), ("ab", CHINESE[1])]
    joined = pairs_of(second, tokenizer, data).pairs_for_epoch(1, 0)
    assert texts(joined, tokenizer) == [("ab ab", "苹果 喜欢 。 你呢。")]


def test_a_joined_line_has_one_tag(tokenizer):
    lines = [("<2de> ab", "ab"), ("<2de> cab", "cab"), ("<2de> b", "我")]
    joined = pairs_of(lines, tokenizer, DataConfig(join_sentences=0.999)).pairs_for_epoch(1, 0)
    (ids,) = [source.tolist() for source, _ in joined.take([0])]
    assert ids == tokenizer.encode(["<2de> ab cab b"])[0]
    assert texts(joined, tokenizer)[0][1] == "ab cab 我"


def test_alignments_count_on_through_a_joined_line(tokenizer):
    lines = [("a b", "b a"), ("c", "d a b")]
    pairs = pairs_of(lines, tokenizer, DataConfig(join_sentences=0.999))
    aligned = [PairAlignment([(0, 1), (1, 0)], (2, 2)), PairAlignment([(0, 2)], (1, 3))]
    vocabulary = tokenizer.vocabulary
    pairs.alignments = Alignments(aligned, vocabulary, vocabulary)
    joined = pairs.pairs_for_epoch(1, 0)
    assert joined.alignments.pair(0).links.tolist() == [[0, 1], [1, 0], [2, 4]]
    whole = [PairAlignment([(0, 1), (1, 0), (2, 4)], (3, 5))]
    whole = Alignments(whole, vocabulary, vocabulary)
    ids = next(joined.take([0]))
    assert whole.matrix(0, *ids).tolist() == joined.alignments.matrix(0, *ids).tolist()
    assert joined.batch([0]).alignment.sum() > 0
