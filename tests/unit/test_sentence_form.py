"""What stands around the tokens of a sentence is there for the model, and nowhere else."""

from typing import Any

import numpy as np
import pytest

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.symbols import EOS
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.sentence_form import SentenceForm
from seq2seq_cli.tokenization.tokenizer import Tokenizer

FORMS = [
    (SentenceForm(), [7, 8, 9, EOS]),
    (SentenceForm(source_eos=False), [7, 8, 9]),
    (SentenceForm(last_tags=frozenset({7})), [8, 9, EOS, 7]),
    (SentenceForm(prefix=(5, 6)), [5, 6, 7, 8, 9, EOS]),
    (SentenceForm(prefix=(5,), source_eos=False), [5, 7, 8, 9]),
    (SentenceForm(prefix=(5,), last_tags=frozenset({7})), [5, 8, 9, EOS, 7]),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    settings = TokenizerSettings(model_type="word", vocabulary_size=7, languages=("de",))
    return train_tokenizer(["ab a"] * 3, settings).tokenizer


@pytest.mark.parametrize(("form", "row"), FORMS)
def test_columns_of_a_row_are_those_of_its_sentence(form: SentenceForm, row: list[int]) -> None:
    sentence = [7, 8, 9]
    assert form.row(sentence) == row
    assert form.array(np.array(sentence)).tolist() == row
    columns = form.of_row(sentence, np.array([sentence]))
    assert columns.shape == (1, len(row))
    assert [a for a, b in zip(columns[0], row, strict=True) if a] == [
        each for each in row if each in sentence
    ]
    assert form.in_order(sentence, np.array([row]))[0, :3].tolist() == sentence
    assert form.in_order(sentence, np.array([row]))[0, 3:].tolist() == [EOS * (EOS in row)]


@pytest.mark.parametrize(
    ("data", "row"),
    [
        ({}, ["<2de>", "▁ab", "▁a", "</s>"]),
        ({"language_tags": "both"}, ["<2de>", "▁ab", "▁a", "</s>"]),
        ({"language_tags": "both-source-last"}, ["▁ab", "▁a", "</s>", "<2de>"]),
        ({"source_eos": False}, ["<2de>", "▁ab", "▁a"]),
        ({"source_prefix": "▁a ▁ab"}, ["▁a", "▁ab", "<2de>", "▁ab", "▁a", "</s>"]),
    ],
)
def test_the_settings_of_a_run_say_what_its_encoder_reads(
    data: dict[str, Any], row: list[str], tokenizer: Tokenizer
) -> None:
    form = SentenceForm.of(DataConfig(**data), tokenizer)
    [sentence] = tokenizer.encode(["<2de> ab a"])
    assert tokenizer.ids_to_pieces(form.row(sentence)) == row
    plain = sentence[1:]  # a word in front is no tag
    assert form.row(plain)[len(form.prefix) :][:2] == plain


def test_a_prefix_of_other_pieces_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"data\.source_prefix = '▁z'"):
        SentenceForm.of(DataConfig(source_prefix="▁z"), tokenizer)


def test_a_blank_sentence_is_read_as_something() -> None:
    for form, _ in FORMS:
        assert form.array(np.array([], dtype=np.int64)).tolist() == form.row([])
        assert form.row([])[-1] == EOS
        assert form.of_row([], np.zeros((1, 0))).shape == (1, len(form.row([])))
        assert form.in_order([], np.array([form.row([])])).tolist() == [[EOS]]
