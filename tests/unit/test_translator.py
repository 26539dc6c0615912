"""The translator: order kept, nothing lost, long lines in segments that fit."""

import itertools
import json
import random
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.attention_maps import attention_maps
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import SearchOptions, TorchPredictor
from seq2seq_cli.symbols import EOS, PAD
from seq2seq_cli.tokenization import sentences
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation import (
    Candidate,
    Translation,
    TranslationSettings,
    Translator,
    likelihoods,
)
from seq2seq_cli.translation import translator as translator_module
from seq2seq_cli.translation.results import join_segments
from seq2seq_cli.translation.splitting import split_line
from seq2seq_cli.translation.word_alignment import word_indices

MAX_LENGTH = 12  # tokens


class Echo(nn.Module):
    """A model whose translation is the source; it remembers which sources it was asked."""

    attends_to_source = False

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.copy_gate = None
        self.output = nn.Linear(vocabulary, vocabulary, bias=False)
        nn.init.eye_(self.output.weight)
        self.asked: list[list[int]] = []

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        self.asked += [[token for token in row if token != PAD] for row in source.tolist()]
        return source, torch.zeros(len(source), 1, dtype=torch.long)

    def decode(self, target: Tensor, state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        rows = memory.repeat_interleave(len(target) // len(memory), dim=0)
        tokens = rows.gather(1, state.clamp(max=rows.size(1) - 1))
        tokens = tokens.masked_fill(tokens == PAD, EOS)
        return 100 * nn.functional.one_hot(tokens, self.output.in_features).float(), state + 1


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    lines = ["ab abc bca.", "cab! dabc? ddd", "。a。 b", "a b c d", "e f g é"] * 5
    return train_tokenizer(lines, TokenizerSettings(vocabulary_size=40)).tokenizer


@pytest.fixture(scope="module")
def make(tokenizer: Tokenizer) -> Callable[..., Translator]:
    def make(beam: int = 1, batch_tokens: int = 4096) -> Translator:
        return Translator(
            TorchPredictor([Echo(len(tokenizer))]),  # type: ignore[list-item]
            Tokenizers(tokenizer, tokenizer),
            MAX_LENGTH,
            TranslationSettings(search=SearchOptions(beam=beam), batch_tokens=batch_tokens),
        )

    return make


def unexpected(message: str) -> None:
    raise AssertionError(message)


def texts(translations: list[Translation]) -> list[str]:
    return [translation.text for translation in translations]


KNOWN = "abcd .!?。"
SHORT = st.text(KNOWN, max_size=6)
LONG = st.text(KNOWN, max_size=120)
ANY = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=60)


@given(lines=st.lists(SHORT, max_size=20), batch_tokens=st.integers(1, 60), beam=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_translations_come_in_the_order_of_the_lines(lines, batch_tokens, beam, make, tokenizer):
    found = texts(make(beam, batch_tokens).translate(lines, warn=unexpected))
    assert found == [tokenizer.normalize(line) for line in lines]


@given(lines=st.lists(LONG, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_long_line_loses_nothing_and_no_segment_is_too_long(lines, make, tokenizer):
    translator = make()
    found = texts(translator.translate(lines))
    assert [line.replace(" ", "") for line in found] == [
        tokenizer.normalize(line).replace(" ", "") for line in lines
    ]
    assert all(len(ids) <= MAX_LENGTH + 1 for ids in translator.predictor.models[0].asked)


def test_only_lines_that_are_too_long_are_warned_of_with_their_number(make):
    warnings = []
    lines = ["a", "a b c d " * 4, "", "b"]
    make().translate(lines, warn=warnings.append, first_number=101)
    assert warnings == ["line 102 has 16 tokens, the model reads 12: split into 2 segments"]


def test_of_many_long_lines_the_first_is_told_at_once_and_each_has_its_warning(make):
    warnings = []
    translator = make()
    long = "a b c d " * 4
    found = translator.translate([long, "a", long], warn=warnings.append)
    found += translator.translate([long], warn=warnings.append, first_number=4)
    assert warnings == ["line 1 has 16 tokens, the model reads 12: split into 2 segments"]
    assert [each.is_too_long for each in found] == [True, False, True, True]
    assert [len(each.warnings) for each in found] == [1, 0, 1, 1]
    assert found[-1].warnings[0].startswith("line 4 has 16 tokens")


def test_segments_are_joined_in_their_order_with_all_that_is_known_of_them():
    long = [
        Candidate("a b", -1.0, ("a", "b", "</s>"), (-0.5, -0.25, -0.25), ((0, 1), (1, 0)), 2, 2),
        Candidate("b", -2.0, ("b", "</s>"), (-1.5, -0.5), ((1, 0),), 2, 1),
    ]
    short = [Candidate("c", -4.0, ("c", "</s>"), (-3.0, -1.0), ((0, 0),), 1, 1)]
    pieces, scores = ("a", "b", "</s>", "c", "</s>"), (-0.5, -0.25, -0.25, -3.0, -1.0)
    best, second = join_segments([long, short])
    links = ((0, 1), (1, 0), (2, 2))
    assert best == Candidate("a b c", -5.0, pieces, scores, links, 3, 3)
    assert (second.text, second.score, second.alignment) == ("b c", -6.0, ((1, 0), (2, 1)))


def test_candidates_of_a_line_are_the_best_combinations_of_its_segments():
    draw = random.Random(1)
    segments = [
        [Candidate(f"{letter}{rank}", score) for rank, score in enumerate(sorted(scores)[::-1])]
        for letter, scores in (
            (letter, [draw.uniform(-3, 0) for _ in range(count)])
            for letter, count in zip("abc", (5, 9, 2), strict=True)
        )
    ]
    combined = [
        (sum(each.score for each in chosen), " ".join(each.text for each in chosen))
        for chosen in itertools.product(*segments)
    ]
    scores, texts_ = zip(*sorted(combined)[::-1][:9], strict=True)
    found = join_segments(segments)
    assert tuple(each.text for each in found) == texts_
    assert [each.score for each in found] == pytest.approx(scores)


def test_candidates_that_were_drawn_are_joined_in_the_order_of_the_draws():
    segments = [[Candidate("a", -9.0), Candidate("b", -1.0)], [Candidate("c", -2.0)]]
    assert [each.text for each in join_segments(segments, drawn=True)] == ["a c", "b c"]


def test_json_lines_hold_the_warnings_of_their_line(make):
    first, second = make().translate(["a", "a b c d " * 4], first_number=7)
    warning = "line 8 has 16 tokens, the model reads 12: split into 2 segments"
    assert json.loads(first.as_jsonl(7))["warnings"] == []
    assert json.loads(second.as_jsonl(8))["warnings"] == [warning]


def test_segments_are_drawn_alike_in_any_window_and_the_first_has_the_prefix(
    make, tokenizer, monkeypatch
):
    asked: list[tuple[int, tuple[int, ...]]] = []

    search = TorchPredictor.search

    def note(predictor, source, options, prefixes, numbers):
        asked.extend((n, each.tokens) for n, each in zip(numbers, prefixes, strict=True))
        return search(predictor, source, options, prefixes, numbers)

    monkeypatch.setattr(TorchPredictor, "search", note)
    lines, prefixes = ["a b", "a b c d " * 4, "c"], ["a", "d", "c"]
    make().translate(lines, prefixes)
    whole = sorted(asked)
    asked.clear()
    for number in (1, 2, 3):
        window = slice(number - 1, number)
        make().translate(lines[window], prefixes[window], first_number=number)
    assert sorted(asked) == whole
    assert len({number for number, _ in whole}) == 4
    expected = [(), *map(tuple, tokenizer.encode(prefixes))]
    assert sorted(ids for _, ids in whole) == sorted(expected)


@pytest.mark.parametrize("blank", ["", "  ", "\t", "\0", "\u2028", "\x85\x0c"])
def test_the_model_is_not_asked_about_blank_lines(blank, make):
    translator = make()
    assert texts(translator.translate([blank, blank], warn=unexpected)) == ["", ""]
    assert translator.predictor.models[0].asked == []


@given(line=st.one_of(ANY, LONG), max_length=st.integers(1, 20))
@settings(max_examples=200, deadline=None)
def test_segments_fit_and_hold_all_characters_in_order(line, max_length, tokenizer):
    segments = split_line(line, tokenizer, max_length)
    assert "".join("".join(segments).split()) == "".join(line.split())
    for text in segments:
        assert len(tokenizer.encode([text])[0]) <= max_length or len(text) == 1


@pytest.mark.parametrize(
    ("line", "segments"),
    [
        ("a b. c d! a b? c d.", ["a b. c d!", "a b? c d."]),  # as many sentences as fit
        ('a b c." d a b c.', ['a b c."', "d a b c."]),  # the quotation mark stays with its sentence
        ("a b c。a b c d。", ["a b c。", "a b c d。"]),  # no space after the sentence
        ("a b c d a b c d a", ["a b c d a b", "c d a"]),  # no sentence end: at spaces
        ("a. b c d a b c d a", ["a.", "b c d a b c", "d a"]),  # only where it must be
    ],
)
def test_lines_are_split_at_sentence_ends_else_at_spaces(line, segments, tokenizer):
    assert split_line(line, tokenizer, 6) == segments


@pytest.mark.parametrize(
    ("pieces", "indices"),
    [
        (["▁a", "b", "▁c"], [0, 0, 1]),
        (["▁a", "▁", "▁c"], [0, 1, 1]),  # two spaces
        (["▁", "a", "▁", "▁", "c", "▁"], [0, 0, 1, 1, 1, 1]),
        (["a", "▁c"], [0, 1]),
        (["▁"], [0]),
        ([], []),
    ],
    ids=str,
)
def test_a_space_alone_is_no_word(pieces, indices):
    assert word_indices(pieces) == indices


def test_a_string_instead_of_a_list_of_lines_is_refused(make, tokenizer):
    translator, message = make(), "lines: one string was given; give a list of lines"
    for call in (
        lambda: translator.translate("abc"),
        lambda: translator.tokenizers.source.encode("abc"),
        lambda: train_tokenizer("abc", TokenizerSettings()),
        lambda: [*attention_maps(translator, "abc")],
    ):
        with pytest.raises(InputError, match=message):
            call()
    with pytest.raises(InputError, match="prefixes: one string was given"):
        translator.translate(["a"], "b")
    with pytest.raises(InputError, match="sources: one string was given"):
        [*likelihoods(translator, "a", ["b"])]
    with pytest.raises(InputError, match="targets: one string was given"):
        [*likelihoods(translator, ["a"], "b")]
    with pytest.raises(InputError, match="targets: one string was given"):
        [*attention_maps(translator, ["a"], "b")]


def test_many_draws_of_a_line_are_as_many_rows_as_a_wide_beam(make):
    translator = make()
    options = {"beam": 40}, {"sample": True, "n_best": 40, "beam": 1}
    wide, drawn = (
        replace(translator, settings=TranslationSettings(search=SearchOptions(**each)))
        for each in options
    )
    assert wide.batch_budget() == drawn.batch_budget()


def test_workers_search_side_by_side(
    make: Callable[..., Translator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two batches waits until the other has begun."""
    both, encode = threading.Barrier(2), Echo.encode

    def wait(model: Echo, source: Tensor) -> tuple[Tensor, Tensor]:
        both.wait(timeout=30)
        return encode(model, source)

    monkeypatch.setattr(Echo, "encode", wait)
    translator = make(batch_tokens=1)
    translator = replace(translator, settings=replace(translator.settings, workers=2))
    assert texts(translator.translate(["ab", "abc"], warn=unexpected)) == ["ab", "abc"]


def test_a_failed_batch_stops_no_later_call(
    make: Callable[..., Translator], monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = make(batch_tokens=4)
    translator = replace(translator, settings=replace(translator.settings, workers=2))

    def fail(model: Echo, source: Tensor) -> tuple[Tensor, Tensor]:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(Echo, "encode", fail)
        with pytest.raises(MemoryError):
            translator.translate(["ab", "abc", "a b c"], warn=unexpected)
    found = translator.translate(["ab", "abc", "a b c"], warn=unexpected)
    assert [each.text for each in found] == ["ab", "abc", "a b c"]


def test_without_a_segmenter_lines_are_whole_and_the_user_is_told_once(
    make: Callable[..., Translator], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sentences, translator_module):
        monkeypatch.setattr(module, "can_split_sentences", lambda: False)
    translator, warnings = replace(make(), splits_sentences=True), []
    for _ in range(2):
        found = texts(translator.translate(["a b. a b."], warn=warnings.append))
        assert found == ["a b. a b."]
    assert len(warnings) == 1
    assert "the package sentencex is not installed" in warnings[0]
