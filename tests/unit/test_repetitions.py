"""Counting pairs that occur more than once, by hashes of their tokens."""

import random

import numpy as np
import pytest

from seq2seq_cli.data.repetitions import Overlap, PairHashes, Repetitions, sentence_hashes
from seq2seq_cli.data.sentence_arrays import SentenceArray, Sentences
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.symbols import UNK

Pair = tuple[list[int], list[int]]


def hashes(pairs: list[Pair], chunk: int = 1000) -> PairHashes:
    """Of pairs in arrays of `chunk` sentences each, as of a corpus in a file."""
    sides = []
    for side in (0, 1):
        lists = [pair[side] for pair in pairs]
        chunks = [lists[first : first + chunk] for first in range(0, len(lists), chunk)]
        sides.append(Sentences.from_arrays(list(map(SentenceArray.from_sentences, chunks))))
    return PairHashes.of(TokenPairs(*sides))


A, B, C = [4, 5, 6], [6, 5, 4], [4, 5]


def test_pairs_and_sources_that_repeat_earlier_ones_are_counted() -> None:
    found = Repetitions.of(hashes([(B, B), (A, B), (A, B), (A, C), (A, B), (B, A), (C, A)]))
    assert (found.total, found.pairs, found.sources) == (7, 2, 2)
    assert (found.most, found.row) == (3, 1)


def test_without_repetitions_there_are_none() -> None:
    found = Repetitions.of(hashes([(A, B), (B, A), (C, B), ([5, 4], B)]))
    assert (found.pairs, found.sources, found.most) == (0, 0, 1)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_counts_are_those_of_the_pairs_themselves(chunk: int) -> None:
    draw = random.Random(1)

    def sentence() -> list[int]:
        return [draw.randint(4, 6) for _ in range(draw.randint(1, 4))]

    pairs = [(sentence(), sentence()) for _ in range(2000)]
    texts = [(tuple(one), tuple(other)) for one, other in pairs]
    found = Repetitions.of(hashes(pairs, chunk))
    assert found.pairs == len(texts) - len(set(texts))
    assert found.sources == len(set(texts)) - len({source for source, _ in texts})
    assert texts.count(texts[found.row]) == found.most == max(map(texts.count, texts))
    held_out, train = pairs[:200], pairs[200:]
    overlap = Overlap.of(hashes(train, chunk), hashes(held_out))
    known, sources = set(texts[200:]), {source for source, _ in texts[200:]}
    assert overlap.pairs == sum(pair in known for pair in texts[:200])
    assert overlap.sources == sum(source in sources for source, _ in texts[:200])
    assert texts[overlap.row] in known


def test_the_order_of_tokens_and_sides_counts() -> None:
    found = sentence_hashes(Sentences([[5, 7], [7, 5], [5], [5, 5], [5, 5, 5], [], [70000]]))
    assert len(set(found.tolist())) == 7
    assert hashes([(A, B)]).pairs != hashes([(B, A)]).pairs


def test_a_pair_with_an_unknown_token_equals_no_other() -> None:
    """Its text is not known: lines in a script that the vocabulary lacks would all be the same."""
    unknown = [4, UNK]
    train = hashes([(unknown, A), (unknown, A), (A, unknown), (A, unknown)])
    found = Repetitions.of(train)
    assert (found.pairs, found.sources) == (0, 1)
    assert Overlap.of(train, hashes([(unknown, A), (A, unknown)])).pairs == 0


def test_an_overlap_is_shown_by_a_pair_that_is_in_both() -> None:
    found = Overlap.of(hashes([(A, B), (B, B)]), hashes([(C, C), (B, C), (A, B)]))
    assert (found.total, found.pairs, found.sources, found.row) == (3, 1, 2, 2)
    none = Overlap.of(hashes([(A, B)]), hashes([(C, C)]))
    assert (none.pairs, none.sources) == (0, 0)


def test_arrays_that_begin_within_a_file_are_read_from_there() -> None:
    whole = SentenceArray.from_sentences([[9, 9], A, B])
    rest = SentenceArray(whole.offsets[1:], whole.ids)
    plain = sentence_hashes(Sentences([A, B]))
    assert np.array_equal(sentence_hashes(Sentences.from_arrays([rest])), plain)
