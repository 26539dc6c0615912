"""Every constraint of search does the same in kernels and in PyTorch, and none is left out."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.inference.architectures import inference_class
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.models import TranslationModel, source_attentions
from seq2seq_cli.padding import pad
from seq2seq_cli.search import (
    EnginePredictor,
    Hypothesis,
    SearchOptions,
    TorchPredictor,
    constraints,
    sample,
    search,
)
from seq2seq_cli.search.constraints import (
    CONSTRAINTS,
    Constraint,
    ControlSymbols,
    CoveragePenalty,
    MaxLength,
    MinLength,
    NoRepeatNgram,
    Prefix,
    RepetitionPenalty,
    Step,
)
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.search.prefix import ForcedPrefix, complete_moves
from seq2seq_cli.search.request import Request
from seq2seq_cli.symbols import EOS, UNK

SOURCES = ([4, 5, 6, EOS], [6, EOS], [5, 5, 4, 6, 4, EOS], [EOS], [4, 4, EOS])
# The third may be 6 6 4, 6 4 or 5 4: a word that can be cut into pieces in several ways.
WORD = ForcedPrefix(complete_moves([[(5, 2), (6, 1)], [(4, 3), (6, 2)], [(4, 3)]]), tokens=(6, 4))
PREFIXES = ([5, 4], [], WORD, [UNK], [4])

# Options under which each constraint changes what is found.
OPTIONS: dict[type[Constraint], dict[str, Any]] = {
    ControlSymbols: {},
    RepetitionPenalty: {"repetition_penalty": 3.0},
    NoRepeatNgram: {"no_repeat_ngram": 1},
    MinLength: {"min_ratio": 1.0},
    MaxLength: {"max_ratio": 1.0, "max_extra": 0},
    Prefix: {},
    CoveragePenalty: {"coverage_penalty": 5.0},
}

Found = list[list[Hypothesis]] | None


def test_every_constraint_is_in_the_list() -> None:
    """One that is not would be ignored whenever it is asked for."""
    written = {
        value
        for value in vars(constraints).values()
        if isinstance(value, type) and issubclass(value, Constraint) and value is not Constraint
    }
    assert sorted(kind.__name__ for kind in CONSTRAINTS) == sorted(
        kind.__name__ for kind in written
    )
    assert OPTIONS.keys() == written


def find(model: TranslationModel, kinds: Iterable[type[Constraint]], **options: Any) -> Found:
    """What beam search finds in PyTorch under constraints."""
    chosen, prefixes = request(kinds, **options)
    predictor = TorchPredictor([model], captures_attention=chosen.coverage_penalty > 0)
    return found_by(predictor, chosen, prefixes)


def find_in_kernels(
    model: TranslationModel, kinds: Iterable[type[Constraint]], **options: Any
) -> Found:
    if inference_class(model.config) is None:
        pytest.skip("there are no kernels for this model")
    return found_by(EnginePredictor([PlainModel.of(model)]), *request(kinds, **options))


def request(kinds: Iterable[type[Constraint]], **options: Any) -> tuple[SearchOptions, Any]:
    """Options and prefixes under which the constraints apply."""
    for kind in kinds:
        options |= OPTIONS[kind]
    chosen = SearchOptions(**({"max_ratio": 1.0, "max_extra": 3} | options))
    return chosen, PREFIXES if Prefix in kinds else ()


def found_by(predictor: Predictor, options: SearchOptions, prefixes: Any) -> Found:
    try:
        return predictor.search(SOURCES, options, prefixes)
    except NoNumbersError:
        return None


def assert_same(found: Found, expected: Found) -> None:
    assert (found is None) == (expected is None)
    for row, other in zip(found or [], expected or [], strict=True):
        assert [each.tokens for each in row] == [each.tokens for each in other]
        scores = [each.score for each in other]
        assert [each.score for each in row] == pytest.approx(scores, abs=1e-4, rel=1e-4)


def skip_without_attention(model: TranslationModel, kinds: Sequence[type[Constraint]]) -> None:
    if CoveragePenalty in kinds and not source_attentions(model):
        pytest.skip("coverage goes by attention to the source")


@pytest.mark.parametrize("kind", CONSTRAINTS, ids=lambda kind: kind.__name__)
def test_each_constraint_changes_what_is_found(
    model: TranslationModel, kind: type[Constraint], monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_without_attention(model, [kind])
    options = {"beam": 4, "n_best": 4, "alpha": 0.0}
    found = find(model, [kind], **options)
    others = tuple(other for other in CONSTRAINTS if other is not kind)
    monkeypatch.setattr(constraints, "CONSTRAINTS", others)
    assert find(model, [kind], **options) != found


@pytest.mark.parametrize("kind", CONSTRAINTS, ids=lambda kind: kind.__name__)
def test_each_constraint_does_the_same_in_kernels(
    model: TranslationModel, kind: type[Constraint]
) -> None:
    skip_without_attention(model, [kind])
    options = {"beam": 4, "n_best": 4, "alpha": 0.0}
    assert_same(find_in_kernels(model, [kind], **options), find(model, [kind], **options))


@pytest.mark.parametrize("kind", CONSTRAINTS, ids=lambda kind: kind.__name__)
def test_a_constraint_does_the_same_to_a_sentence_alone(
    model: TranslationModel, kind: type[Constraint]
) -> None:
    """Whatever the padding of the batch and the limits of its other sentences."""
    skip_without_attention(model, [kind])
    options = SearchOptions(**({"max_ratio": 1.0, "max_extra": 3, "beam": 3} | OPTIONS[kind]))
    predictor = TorchPredictor([model], captures_attention=options.coverage_penalty > 0)
    prefixes = PREFIXES if kind is Prefix else [[]] * len(SOURCES)
    together = search(predictor, pad(SOURCES), options, prefixes)
    for found, source, prefix in zip(together, SOURCES, prefixes, strict=True):
        [alone] = search(predictor, pad([source]), options, [prefix])
        assert found[0].tokens == alone[0].tokens
        assert found[0].score == pytest.approx(alone[0].score, abs=1e-3)


@given(
    kinds=st.sets(st.sampled_from(CONSTRAINTS)),
    size=st.integers(1, 5),
    n_best=st.integers(1, 5),
)
@settings(max_examples=20, deadline=None)
def test_any_constraints_together_do_the_same_in_both_engines(
    model: TranslationModel, kinds: set[type[Constraint]], size: int, n_best: int
) -> None:
    if not source_attentions(model):
        kinds -= {CoveragePenalty}
    options = {"beam": size, "n_best": min(size, n_best)}
    assert_same(find_in_kernels(model, kinds, **options), find(model, kinds, **options))


def test_a_prefix_comes_whatever_else_is_forbidden(model: TranslationModel) -> None:
    """With the model's own scores, also at the end of the longest prefix."""
    prefixes = ((6, 6, 6), (), (4, 5, UNK), (UNK,), (4,))
    options = SearchOptions(beam=2, no_repeat_ngram=1, max_ratio=0.0, max_extra=4)
    found = search(TorchPredictor([model]), pad(SOURCES), options, prefixes)
    for prefix, (best, *_) in zip(prefixes, found, strict=True):
        assert best.tokens[: len(prefix)] == prefix
        assert all(map(math.isfinite, best.token_scores))


def test_a_short_hypothesis_may_end_where_nothing_else_is_allowed(model: TranslationModel) -> None:
    """Each of the three words comes once at most, and there are not enough for `min_ratio`."""
    options = SearchOptions(beam=2, no_repeat_ngram=1, min_ratio=2.0, max_ratio=2.0)
    source = [4, 5, 6, EOS]
    [[best, *_]] = search(TorchPredictor([model]), pad([source]), options)
    assert sorted(best.tokens) == [4, 5, 6]


class OnlyFours(Constraint):
    """Made up here: a translation holds no word but 4."""

    @classmethod
    def of(cls, request: Request) -> "OnlyFours":
        return cls()

    def apply(self, step: Step) -> None:
        step.logits[:, 5:] = -torch.inf


def test_a_constraint_that_is_added_to_the_list_is_applied(
    model: TranslationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraints, "CONSTRAINTS", (*CONSTRAINTS, OnlyFours))
    found = find(model, [MinLength], beam=3)
    assert found is not None
    assert {token for [best] in found for token in best.tokens} == {4}
    options = SearchOptions(sample=True, min_ratio=1.0, max_extra=0)
    drawn = sample(TorchPredictor([model]), pad(SOURCES), options)
    assert {token for [one] in drawn for token in one.tokens} == {4}


class LowNumbers(Constraint):
    """Made up here: takes a tenth of the number of each token from the score."""

    def __init__(self, sentences: int) -> None:
        self.sums = torch.zeros(sentences)  # (N,)

    @classmethod
    def of(cls, request: Request) -> "LowNumbers":
        return cls(len(request.sentences))

    def extend(self, origins: Tensor, tokens: Tensor, attention: Tensor) -> None:
        self.sums = self.sums[origins] + tokens / 10

    def keep(self, rows: Tensor) -> None:
        self.sums = self.sums[rows]

    def final_score(self, row: int) -> float:
        return -float(self.sums[row])


@pytest.mark.parametrize("options", [{"beam": 4, "n_best": 3}, {"sample": True, "n_best": 3}])
def test_what_a_constraint_keeps_for_a_row_follows_its_hypothesis(
    model: TranslationModel, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraints, "CONSTRAINTS", (*CONSTRAINTS, LowNumbers))
    chosen = SearchOptions(max_ratio=1.0, max_extra=2, length_penalty="none", **options)
    found = search(TorchPredictor([model]), pad(SOURCES * 3), chosen)
    for hypothesis in (hypothesis for row in found for hypothesis in row):
        expected = hypothesis.log_probability - sum((*hypothesis.tokens, EOS)) / 10
        assert hypothesis.score == pytest.approx(expected, abs=1e-4)
