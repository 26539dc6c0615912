"""Models in kernels find, draw and score what PyTorch does, with all options together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.inference.architectures import inference_class
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.models import TranslationModel, Vocabulary, build, model_config
from seq2seq_cli.search import (
    EnginePredictor,
    ForcedPrefix,
    Hypothesis,
    Predictor,
    SearchOptions,
    Shortlist,
    TorchPredictor,
)
from seq2seq_cli.search.predictor import SearchStoppedError
from seq2seq_cli.search.prefix import complete_moves
from seq2seq_cli.symbols import BOS, EOS, UNK

pytestmark = pytest.mark.skipif(
    not kernels.usable_builds(), reason="no compiled functions were built for this processor"
)

WORDS = st.lists(st.integers(4, 6), max_size=6)
# May be 6 6 4, 6 4 or 5 4
WORD = ForcedPrefix(complete_moves([[(5, 2), (6, 1)], [(4, 3), (6, 2)], [(4, 3)]]), tokens=(6, 4))
PREFIXES = st.sampled_from([[], [], [5, 4], [4], [6, 6, 6, 5], [UNK], WORD])

BEAM_OPTIONS = st.fixed_dictionaries(
    {
        "beam": st.just(5),
        "n_best": st.integers(1, 5),
        "coverage_penalty": st.sampled_from([0.0, 5.0]),
    }
) | st.fixed_dictionaries({"beam": st.integers(1, 3)})
DRAW_OPTIONS = st.fixed_dictionaries(
    {
        "sample": st.just(True),
        "n_best": st.integers(1, 4),
        "temperature": st.sampled_from([0.5, 1.0, 2.0]),
        "top_k": st.integers(0, 5),
        "top_p": st.sampled_from([0.3, 0.8, 1.0]),
        "seed": st.integers(0, 5),
    }
)
OPTIONS = st.fixed_dictionaries(
    {
        "alpha": st.sampled_from([0.0, 1.0]),
        "repetition_penalty": st.sampled_from([1.0, 1.0, 3.0]),
        "no_repeat_ngram": st.sampled_from([0, 0, 1, 2]),
        "min_ratio": st.sampled_from([0.0, 1.0]),
        "max_ratio": st.just(1.0),
        "max_extra": st.sampled_from([0, 3]),
    }
)


def in_kernels(models: Sequence[TranslationModel], *arguments: Any) -> EnginePredictor:
    return EnginePredictor([PlainModel.of(model) for model in models], *arguments)


def drawn_models(
    models: Sequence[TranslationModel], data: st.DataObject
) -> tuple[list[TranslationModel], list[float]]:
    """One to three models that kernels serve, and their weights."""
    usable = [model for model in models if inference_class(model.config)]
    indices = data.draw(st.lists(st.integers(0, len(usable) - 1), min_size=1, max_size=3))
    weights = data.draw(st.lists(st.floats(0.1, 3), min_size=len(indices), max_size=len(indices)))
    return [usable[index] for index in indices], weights


def found_by(predictor: Predictor, *arguments: Any) -> list[list[Hypothesis]] | None:
    try:
        return predictor.search(*arguments)
    except NoNumbersError:
        return None


@pytest.mark.parametrize("method", [BEAM_OPTIONS, DRAW_OPTIONS], ids=["beam", "draw"])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_request_finds_the_same_in_both_engines(
    models: list[TranslationModel], method: st.SearchStrategy[dict[str, Any]], data: st.DataObject
) -> None:
    chosen, weights = drawn_models(models, data)
    sources = [[*words, EOS] for words in data.draw(st.lists(WORDS, min_size=1, max_size=5))]
    count = len(sources)
    table = data.draw(OPTIONS) | data.draw(method)
    if not all(model.attends_to_source for model in chosen):
        table.pop("coverage_penalty", None)
    options = SearchOptions(**table)
    prefixes = data.draw(st.just([]) | st.lists(PREFIXES, min_size=count, max_size=count))
    numbers = data.draw(st.none() | st.lists(st.integers(0, 9), min_size=count, max_size=count))
    listed = data.draw(st.lists(st.integers(4, 6), min_size=9, max_size=9))
    shortlist = Shortlist(np.array(listed)[:, None], np.arange(5), 7)
    copies = any(model.copy_gate for model in chosen)  # what a shortlist does not have
    shortlist = data.draw(st.sampled_from([None, None if copies else shortlist]))
    arguments = sources, options, prefixes, numbers
    captures = options.coverage_penalty > 0
    reference = TorchPredictor(chosen, weights, shortlist, captures_attention=captures)
    expected = found_by(reference, *arguments)
    found = found_by(in_kernels(chosen, weights, shortlist), *arguments)
    assert (found is None) == (expected is None)
    for row, other in zip(found or [], expected or [], strict=True):
        assert [each.tokens for each in row] == [each.tokens for each in other]
        for each, same in zip(row, other, strict=True):
            assert each.score == pytest.approx(same.score, abs=1e-4, rel=1e-4)
            assert each.token_scores == pytest.approx(same.token_scores, abs=1e-4, rel=1e-4)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_targets_have_the_same_scores_and_attention_in_both_engines(
    models: list[TranslationModel], data: st.DataObject
) -> None:
    chosen, weights = drawn_models(models, data)
    pairs = data.draw(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
    sources = [[*source, EOS] for source, _ in pairs]
    targets = [[*target, EOS] for _, target in pairs]
    shortlist = Shortlist(np.full((9, 1), 4), np.arange(5), 7)  # scores are of all words
    listed = None if any(model.copy_gate for model in chosen) else shortlist
    engine, reference = in_kernels(chosen, weights, listed), TorchPredictor(chosen, weights)
    scores = zip(
        engine.token_scores(sources, targets),
        reference.token_scores(sources, targets),
        strict=True,
    )
    for found, expected in scores:
        assert found == pytest.approx(expected, abs=1e-4, rel=1e-4)  # noisy models magnify rounding
    if not all(model.attends_to_source for model in chosen):
        return
    read = [[BOS, *target] for _, target in pairs]
    for found, expected in zip(
        engine.attention(sources, read), reference.attention(sources, read), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=5e-5, rtol=1e-4)
    by_head = engine.attention_by_head(sources[0], read[0])
    np.testing.assert_allclose(by_head, reference.attention_by_head(sources[0], read[0]), atol=5e-5)


def test_the_layer_and_head_that_align_words_are_those_of_the_settings() -> None:
    torch.manual_seed(3)
    table = {"architecture": "transformer", "width": 8, "heads": 2, "feed_forward": 12}
    source, target = [4, 5, 6, 5, EOS], [BOS, 6, 5]
    vocabulary = Vocabulary(7, 7, joint=True)
    weights = build(model_config(table), vocabulary).state_dict()
    for layer, head in (("all", 1), (1, "all"), (2, 0)):
        chosen = {"alignment_layer": layer, "alignment_head": head}
        model = build(model_config(table | chosen), vocabulary).eval()
        model.load_state_dict(weights)
        engine = EnginePredictor([PlainModel.of(model)])
        layers = engine.attention_by_head(source, target)
        layers = layers if layer == "all" else layers[layer : layer + 1]
        heads = layers if head == "all" else layers[:, head : head + 1]
        for predictor in (engine, TorchPredictor([model])):
            (found,) = predictor.attention([source], [target])
            np.testing.assert_allclose(found, heads.mean(axis=(0, 1)), atol=1e-6)


def test_draws_and_targets_may_take_more_steps_than_one_call(
    models: list[TranslationModel],
) -> None:
    chosen = [model for model in models if inference_class(model.config)][:3]
    options = SearchOptions(sample=True, n_best=2, min_ratio=20, max_ratio=20, max_extra=0)
    sources = [[4, 5, 6, 5, EOS], [6, EOS]]
    engine, reference = in_kernels(chosen), TorchPredictor(chosen)
    found = engine.search(sources, options)
    expected = reference.search(sources, options)
    assert [[each.tokens for each in row] for row in found] == [
        [each.tokens for each in row] for row in expected
    ]
    targets = [[*row[0].tokens, EOS] for row in found]
    for row, scores in zip(found, engine.token_scores(sources, targets), strict=True):
        assert scores == pytest.approx(row[0].token_scores, abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"sample": True}])
def test_a_search_that_is_stopped_ends_between_calls(
    models: list[TranslationModel], options: dict[str, Any]
) -> None:
    engine = in_kernels([model for model in models if inference_class(model.config)][:1])
    stopped = engine.stoppable()
    stopped.stop()
    with pytest.raises(SearchStoppedError):
        stopped.search([[4, EOS]], SearchOptions(**options))
    with pytest.raises(SearchStoppedError):
        stopped.token_scores([[4, EOS]], [[4, EOS]])
    assert engine.search([[4, EOS]], SearchOptions(**options))


def test_an_engine_without_pairs_has_nothing_to_score(model: TranslationModel) -> None:
    engine = EnginePredictor([PlainModel.of(model)])
    assert engine.search([], SearchOptions()) == engine.token_scores([], []) == []
    if engine.attends_to_source:
        assert engine.attention([], []) == []


def test_tokens_beyond_the_embedding_are_refused(model: TranslationModel) -> None:
    engine = EnginePredictor([PlainModel.of(model)])
    for token in (-1, model.source_embedding.num_embeddings):
        with pytest.raises(ValueError, match="not in the vocabulary"):
            engine.search([[4, token, EOS]], SearchOptions())
