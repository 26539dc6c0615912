"""For any text and any ids: nothing breaks, no text is lost, and a line stays a line."""

from functools import cache
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq_cli import symbols
from seq2seq_cli.config.tokenizer import Normalization, TokenizerSettings
from seq2seq_cli.tokenization.learning import automatic_vocabulary_size, train_tokenizer
from seq2seq_cli.tokenization.text_form import SIDES, Side, TextForm, plain
from seq2seq_cli.tokenization.tokenizer import Tokenizer

KNOWN = "the old woman reads a book über Wörter und Straßen , 42 ! \u2581\u2585½\xa0\u200c,ﬁe\u0301"
CONTROLS = "\n\r\t\x00\x0b\x0c\x1c\x85\u2028\u2029\ufdd0\ufdd1\ud800"
TRAPS = CONTROLS + "\u2581\u2585\u2047\u00a0\u3000\u200c\u200d\u00ad\u0301\u0323½ﬁßİ가\u1100\u1161"
any_text = st.text(st.one_of(st.characters(exclude_categories=[]), st.sampled_from(TRAPS)))
known_text = st.text(st.sampled_from(KNOWN + CONTROLS))
NORMALIZATIONS: list[Normalization] = ["identity", "nfc", "nfkc", "nmt_nfkc"]


@cache
def tokenizer() -> Tokenizer:
    return train_tokenizer([KNOWN] * 3, TokenizerSettings(vocabulary_size=80)).tokenizer


@given(st.lists(st.lists(st.integers(0, len(tokenizer()) - 1))))
def test_decoded_ids_are_one_line_each_without_control_symbols(sentences: list[list[int]]) -> None:
    lines = tokenizer().decode(sentences)
    assert len(lines) == len(sentences)
    for line in lines:
        assert not {"\n", "\r"} & set(line)
        assert line == " ".join(filter(None, line.split(" ")))
        assert not any(piece in line for piece in symbols.PIECES.values())


@given(known_text)
def test_known_text_comes_back_whole(line: str) -> None:
    [ids] = tokenizer().encode([line])
    assert symbols.UNK not in ids
    assert tokenizer().decode([ids]) == [tokenizer().normalize(line)] == [plain(line)]


@given(any_text, st.sampled_from(NORMALIZATIONS), st.sampled_from(["keep", "lower", "inline"]))
def test_a_normalised_line_stays_as_it_is_and_its_characters_have_an_origin(
    line: str, normalization: Normalization, case: str
) -> None:
    form = TextForm(normalization, case == "lower", case == "inline", symbols=("½", "AB", "e<"))
    read, origins = form.read_with_origins(line)
    assert read == form.read(line)
    assert len(origins) == len(read)
    assert origins == sorted(origins)
    assert not origins or 0 <= origins[0] <= origins[-1] < len(line)
    assert form.is_faithful <= (form.written(line) == plain(line))
    if normalization != "nmt_nfkc":  # SentencePiece's rules can be applied twice
        assert form.read(form.restore(read)) == read


@given(any_text, st.sampled_from(SIDES))
def test_every_id_has_its_part_of_the_line(line: str, side: Side) -> None:
    found = tokenizer().for_side(side)
    [ids] = found.encode([line])
    spans = found.spans(line)
    assert len(spans) == len(ids)
    assert all(0 <= start <= end <= len(line) for start, end in spans)
    assert all(one <= two for one, two in pairwise(spans))
    covered = {index for span in spans for index in range(*span)}
    visible = {index for index, each in enumerate(line) if plain(each) and not each.isspace()}
    assert visible <= covered
    assert len(found.word_indices(line)) == len(ids)


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
    trained = train_tokenizer([line, "a"], TokenizerSettings(100_000, model_type)).tokenizer
    assert trained.decode(trained.encode([line])) == [trained.normalize(line)] == [plain(line)]
    source = trained.for_side("source")
    assert source.decode(source.encode([line])) == [source.normalize(line)]


@given(st.lists(st.integers(1, 10_000_000), min_size=2))
def test_more_sentences_never_get_fewer_pieces(sentences: list[int]) -> None:
    sizes = [automatic_vocabulary_size(count) for count in sorted(sentences)]
    assert sizes == sorted(sizes)
