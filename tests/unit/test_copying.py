"""Models with copy attention: their loss, search and likelihood are of one distribution."""

import itertools
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq_cli.config.models import Vocabulary, model_config
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.architectures import inference_class
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.models import TranslationModel, build, capture_attention
from seq2seq_cli.models.copying import mean_attention, with_copies
from seq2seq_cli.padding import pad
from seq2seq_cli.search.engine import EnginePredictor
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.search.shortlist import Shortlist
from seq2seq_cli.search.torch_predictor import TorchPredictor
from seq2seq_cli.symbols import BOS, EOS
from seq2seq_cli.training.objective import Objective, plain_loss

SMALL = {"width": 16, "dropout": 0.0, "copy_attention": True}
TABLES: dict[str, dict[str, Any]] = {
    "attention-rnn": {"architecture": "attention-rnn", "units": 16},
    "attention-rnn feeding, local": {"architecture": "attention-rnn", "units": 16, "heads": 2}
    | {"score": "multi-head", "scope": "local-p", "window": 2, "input_feeding": True},
    "conv": {"architecture": "conv", "channels": 16, "encoder_layers": 1, "decoder_layers": 2},
    "transformer": {"architecture": "transformer", "heads": 2, "feed_forward": 16},
    "transformer, one head": {"architecture": "transformer", "heads": 2, "feed_forward": 16}
    | {"alignment_layer": 1, "alignment_head": 0, "decoder_attention": "ssru"},
}
SOURCES = [[5, 9, 9, 12, EOS], [7, EOS], [30, 31, 8, EOS]]
TARGETS = [[9, 12, 20, EOS], [7, 7, EOS], [21, 30, 31, 8, 5, EOS]]


@pytest.fixture(params=TABLES.values(), ids=TABLES)
def model(request: pytest.FixtureRequest) -> TranslationModel:
    torch.manual_seed(3)
    return build(model_config(request.param | SMALL), Vocabulary(40, 40, joint=True)).eval()


def batch() -> Batch:
    return Batch(pad(SOURCES), pad([[BOS, *target] for target in TARGETS]))


def defined_loss(model: TranslationModel) -> torch.Tensor:
    """The negative log-likelihood by the definition, sentence by sentence."""
    total = torch.zeros(())
    for source, target in zip(SOURCES, TARGETS, strict=True):
        ids = torch.tensor([source])
        with capture_attention(model, aligning=True) as captured:
            hidden = model(ids, torch.tensor([[BOS, *target[:-1]]]))[0]
        [weights] = mean_attention(captured)
        assert model.copy_gate is not None
        generated = torch.sigmoid(model.copy_gate(hidden))
        vocabulary = model.output(hidden).softmax(dim=1)
        for row, piece in enumerate(target):
            copied = sum(w for w, each in zip(weights[row], source, strict=True) if each == piece)
            mixed = generated[row, 0] * vocabulary[row, piece] + (1 - generated[row, 0]) * copied
            total = total - mixed.log()
    return total


def test_loss_and_gradients_are_those_of_the_mixture(model: TranslationModel) -> None:
    expected = defined_loss(model)
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    loss, plain = Objective(TrainingConfig(label_smoothing=0.0), torch.float32)(model, batch())
    loss.backward()
    assert float(plain.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for name, parameter in model.named_parameters():
        if name in gradients:
            torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-3, atol=1e-5)
    assert float(gradients["copy_gate.weight"].abs().sum()) > 0
    with torch.inference_mode():
        assert float(plain_loss(model, batch())) == pytest.approx(float(expected), rel=1e-5)


def test_probabilities_sum_to_one_and_repeated_pieces_add_up() -> None:
    logits, gate = torch.randn(2, 6), torch.tensor([[0.3], [-9.0]])
    source = torch.tensor([[4, 5, 4], [3, 3, 3]])
    weights = torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.4, 0.5]])
    found = with_copies(logits, gate, weights, source).exp()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2), rtol=0, atol=1e-5)
    generated = torch.sigmoid(torch.tensor(0.3))
    expected = generated * logits[0].softmax(dim=0)[4] + (1 - generated) * 0.5
    torch.testing.assert_close(found[0, 4], expected)
    assert float(found[1, 3]) > 0.99


def test_search_scores_what_it_finds_as_likelihood_does(model: TranslationModel) -> None:
    predictor: Predictor = TorchPredictor([model, model], [0.5, 0.5])
    options = SearchOptions(beam=4, length_penalty="none", n_best=3, max_ratio=2.0)
    for source, found in zip(SOURCES, predictor.search(SOURCES, options), strict=True):
        for hypothesis in found:
            [scores] = predictor.token_scores([source], [[*hypothesis.tokens, EOS]])
            assert sum(scores) == pytest.approx(hypothesis.log_probability, abs=1e-4)


def test_an_open_gate_copies_the_source(model: TranslationModel) -> None:
    assert model.copy_gate is not None
    with torch.no_grad():
        model.copy_gate.weight.zero_()
        model.copy_gate.bias.fill_(-30.0)
    predictors: list[Predictor] = [TorchPredictor([model])]
    if inference_class(model.config) is not None:
        predictors.append(EnginePredictor([PlainModel.of(model)]))
    for predictor in predictors:
        found = predictor.search(SOURCES, SearchOptions(beam=2))
        for source, hypotheses in zip(SOURCES, found, strict=True):
            assert set(hypotheses[0].tokens) <= set(source)


PIECES = 2000  # so many that kernels read their logits in several parts
REQUESTS: dict[str, dict[str, Any]] = {
    "greedy": {"beam": 1},
    "beam": {"beam": 4, "n_best": 3, "min_ratio": 0.5},
    "changed scores": {"beam": 4, "n_best": 2, "repetition_penalty": 1.5, "coverage_penalty": 0.5},
    "draws": {"sample": True, "n_best": 2},
}


def noisy_model(table: dict[str, Any], *, copies: bool) -> TranslationModel:
    """A model whose predictions differ, with a gate that is neither open nor shut."""
    config = model_config(table | SMALL | {"copy_attention": copies})
    model = build(config, Vocabulary(PIECES, PIECES, joint=True)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.25)
        if model.copy_gate is not None:
            model.copy_gate.bias.fill_(2.0)
    return model


def some_sources() -> list[list[int]]:
    """Sentences in which pieces repeat."""
    random = Random(2)
    return [[*random.choices([5, 99, 700, 1999], k=k % 9), EOS] for k in range(12)]


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_kernels_find_and_score_what_pytorch_does(table: dict[str, Any]) -> None:
    """One model, and one that copies beside one that does not."""
    torch.manual_seed(5)
    models = [noisy_model(table, copies=True), noisy_model(table, copies=False)]
    sources = some_sources()
    for count, request in itertools.product((1, 2), REQUESTS.values()):
        chosen, options = models[:count], SearchOptions(max_ratio=1.0, max_extra=2, **request)
        engine = EnginePredictor([PlainModel.of(each) for each in chosen])
        captures = options.coverage_penalty > 0
        reference = TorchPredictor(chosen, captures_attention=captures)
        found, expected = engine.search(sources, options), reference.search(sources, options)
        for row, other in zip(found, expected, strict=True):
            assert [each.tokens for each in row] == [each.tokens for each in other]
            for one, same in zip(row, other, strict=True):
                assert one.score == pytest.approx(same.score, abs=1e-4)
                assert one.token_scores == pytest.approx(same.token_scores, abs=1e-4)
        targets = [[*row[0].tokens, EOS] for row in expected]
        scores = engine.token_scores(sources, targets)
        for one, same in zip(scores, reference.token_scores(sources, targets), strict=True):
            assert one == pytest.approx(same, abs=1e-4)
    copied = [
        token in source for source, target in zip(sources, targets, strict=True) for token in target
    ]
    assert any(copied)
    assert not all(copied)


def test_a_shortlist_is_refused_by_both_engines() -> None:
    plain = noisy_model(TABLES["transformer"], copies=True)
    shortlist = Shortlist(np.zeros((PIECES, 1), dtype=np.int32), np.arange(4), PIECES)
    makers: list[Callable[[], Predictor]] = [
        lambda: TorchPredictor([plain], (), shortlist),
        lambda: EnginePredictor([PlainModel.of(plain)], (), shortlist),
    ]
    for make in makers:
        with pytest.raises(InputError, match="translate without --shortlist"):
            make()


def test_what_copying_does_not_go_with_is_an_error() -> None:
    with pytest.raises(InputError, match="joint_vocabulary"):
        build(model_config(TABLES["conv"] | SMALL), Vocabulary(40, 40, joint=False))
    with pytest.raises(InputError, match="has none"):
        model_config({"architecture": "rnn", "copy_attention": True})
