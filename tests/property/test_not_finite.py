"""A model that computes NaN or infinity ends with the same error in PyTorch and in kernels."""

import copy
import math

import pytest

from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.inference import weights
from seq2seq_cli.inference.architectures import inference_class
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.search import (
    EnginePredictor,
    SearchOptions,
    TorchPredictor,
    torch_predictor,
)
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.symbols import EOS

SOURCES = [[4, 5, 6, EOS], [6, EOS]]
OPTIONS = SearchOptions(beam=2, max_ratio=0, max_extra=4)


def is_refused(predictor: Predictor) -> bool:
    try:
        predictor.search(SOURCES, OPTIONS)
    except NoNumbersError:
        return True
    return False


def in_kernels(model: TranslationModel, *, eight_bits: bool = False) -> EnginePredictor:
    if inference_class(model.config) is None:
        pytest.skip("this architecture has no kernels")
    return EnginePredictor([PlainModel.of(model)], eight_bits=eight_bits)


@pytest.mark.parametrize("engine", ["torch", "float32", "int8"])
def test_weights_that_are_not_finite_are_refused_by_name(
    model: TranslationModel, engine: str
) -> None:
    model = copy.deepcopy(model)

    def make() -> Predictor:
        if engine == "torch":
            return TorchPredictor([model])
        return in_kernels(model, eight_bits=engine == "int8")

    for name, parameter in model.named_parameters():
        last = parameter.data.view(-1)[-1:]
        before = last.clone()
        for number in (math.nan, -math.inf):
            last.fill_(number)
            with pytest.raises(NoNumbersError, match=f"not numbers .{name} holds NaN or infinity"):
                make()
        last.copy_(before)
    assert not is_refused(make())


@pytest.mark.usefixtures("_each_kernel_build")
def test_activations_that_are_not_finite_are_refused_in_both_engines(
    model: TranslationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a weight makes NaN or infinite stands here for what overflows."""
    monkeypatch.setattr(weights, "check_finite", lambda name, array: None)
    monkeypatch.setattr(torch_predictor, "check_parameters", lambda model: None)
    model = copy.deepcopy(model)
    for name, parameter in model.named_parameters():
        before = parameter.data.clone()
        for number in (math.nan, math.inf):
            parameter.data.fill_(number)
            refused = is_refused(TorchPredictor([model]))
            assert is_refused(in_kernels(model)) == refused, (name, number)
            if parameter.dim() == 1:  # not weights of 8 bits
                assert is_refused(in_kernels(model, eight_bits=True)) == refused, (name, number)
        parameter.data.copy_(before)
