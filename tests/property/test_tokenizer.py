"""For any text and any ids: nothing breaks, no text is lost, and a line stays a line."""

from functools import cache
from typing import Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seq2seq_cli import symbols
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.tokenization.learning import automatic_vocabulary_size, train_tokenizer
from seq2seq_cli.tokenization.tokenizer import NON_TEXT, Tokenizer

KNOWN = "the old woman reads a book über Wörter und Straßen , 42 !"
TRAPS = "\n\r\t\x00\x0b\x0c\x1c\x85\u2028\u2029\u2581\u2047\ud800"
any_text = st.text(st.one_of(st.characters(exclude_categories=[]), st.sampled_from(TRAPS)))
known_text = st.text(st.sampled_from(KNOWN + TRAPS.replace("\u2047", "")))


@cache
def tokenizer() -> Tokenizer:
    return train_tokenizer([KNOWN] * 3, TokenizerSettings(vocabulary_size=60)).tokenizer


@given(st.lists(st.lists(st.integers(0, len(tokenizer()) - 1))))
def test_decoded_ids_are_one_line_each_without_control_symbols(sentences: list[list[int]]) -> None:
    lines = tokenizer().decode(sentences)
    assert len(lines) == len(sentences)
    for line in lines:
        assert not {"\n", "\r"} & set(line)
        assert line == " ".join(line.split())
        assert not any(piece in line for piece in symbols.PIECES.values())


@given(known_text)
def test_known_text_comes_back_normalised(line: str) -> None:
    [ids] = tokenizer().encode([line])
    assert symbols.UNK not in ids
    assert tokenizer().decode([ids]) == [tokenizer().normalize(line)]
    assert tokenizer().normalize(line) == " ".join(NON_TEXT.sub(" ", line).split())


@given(st.lists(any_text))
def test_any_text_becomes_ids_line_by_line(lines: list[str]) -> None:
    together = tokenizer().encode(lines)
    assert together == [tokenizer().encode([line])[0] for line in lines]
    for line, ids in zip(lines, together, strict=True):
        assert not {symbols.PAD, symbols.BOS, symbols.EOS} & set(ids)
        assert tokenizer().pieces_to_ids(tokenizer().encode_as_pieces(line)) == ids
        assert not {"\n", "\r"} & set(tokenizer().decode([ids])[0])


@pytest.mark.parametrize("model_type", ["unigram", "bpe", "char"])
@given(line=any_text)
@settings(max_examples=50, deadline=None)
def test_text_that_was_learned_from_comes_back_whole(
    model_type: Literal["unigram", "bpe", "char"], line: str
) -> None:
    assume("\u2585" not in line)  # SentencePiece reserves it: it is never learned
    trained = train_tokenizer([line, "a"], TokenizerSettings(100_000, model_type)).tokenizer
    assert trained.decode(trained.encode([line])) == [trained.normalize(line)]


@given(st.lists(st.integers(1, 10_000_000), min_size=2))
def test_more_sentences_never_get_fewer_pieces(sentences: list[int]) -> None:
    sizes = [automatic_vocabulary_size(count) for count in sorted(sentences)]
    assert sizes == sorted(sizes)
