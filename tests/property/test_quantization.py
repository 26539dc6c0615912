"""Weights of eight bits predict nearly what the float ones predict."""

import statistics

import pytest
import torch

from seq2seq_cli.inference.architectures import inference_class
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.models.quantization import Int8Linear, select_outputs, with_eight_bits
from seq2seq_cli.padding import pad
from seq2seq_cli.search import EnginePredictor, SearchOptions
from seq2seq_cli.symbols import BOS, EOS

pytestmark = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines,
    reason="this build of torch has no 8-bit products",
)


@torch.inference_mode()
def test_an_int8_layer_is_within_a_fiftieth_of_the_float_one() -> None:
    torch.manual_seed(3)
    layer = torch.nn.Linear(256, 300)
    x = torch.randn(40, 256)
    exact, near = layer(x), Int8Linear(layer.weight, layer.bias)(x)
    assert float((near - exact).norm() / exact.norm()) < 0.02


@torch.inference_mode()
def test_every_architecture_predicts_nearly_the_same_with_int8(model: TranslationModel) -> None:
    source = pad([[4, 5, 6, EOS], [5, EOS], [6, 6, 4, 5, EOS]])
    target = pad([[BOS, 4, 5], [BOS, 6, 6], [BOS, 5, 4]])
    exact = model.output(model(source, target))
    quick = with_eight_bits(model)
    near = quick.output(quick(source, target))
    assert float((near - exact).norm() / exact.norm()) < 0.2  # of another model it would be 1.4


def test_search_with_int8_reports_the_score_of_its_own_forward_pass(
    model: TranslationModel,
) -> None:
    if inference_class(model.config) is None:
        pytest.skip("this architecture has no kernels")
    predictor = EnginePredictor([PlainModel.of(model)], eight_bits=True)
    options = SearchOptions(beam=2, length_penalty="none", max_extra=2)
    differences = []
    for words in ([4, 5, 6], [5, 6, 4, 4], [6, 6], [4, 4, 4, 5, 5], [5]):
        source = [*words, EOS]
        [[found]] = predictor.search([source], options)
        [scores] = predictor.token_scores([source], [[*found.tokens, EOS]])
        forward = sum(scores)
        differences.append(abs(found.score - forward) / abs(forward))
    # Rounding to 8 bits can turn the least difference between the two ways into a step, so one
    # sentence says little.
    assert statistics.median(differences) < 0.02


@torch.inference_mode()
@pytest.mark.parametrize("eight_bits", [False, True])
def test_select_outputs_gives_the_chosen_outputs(eight_bits: bool) -> None:
    torch.manual_seed(4)
    layer: torch.nn.Module = torch.nn.Linear(32, 50, bias=False)
    if eight_bits:
        layer = Int8Linear(layer.weight, None)
    x, chosen = torch.randn(7, 32), torch.tensor([0, 3, 49, 20])
    torch.testing.assert_close(select_outputs(layer, chosen)(x), layer(x)[:, chosen])
