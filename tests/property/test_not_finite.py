"""A model that computes NaN or infinity ends with the same error in PyTorch and in kernels."""

import copy
import math

import pytest

from seq2seq_cli import search
from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.inference import linear, with_packed_layers
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.padding import pad
from seq2seq_cli.search import Predictor, SearchOptions, beam, predictor
from seq2seq_cli.symbols import EOS

SOURCES = pad([[4, 5, 6, EOS], [6, EOS]])
OPTIONS = SearchOptions(beam=2, max_ratio=0, max_extra=4)


def is_refused(model: TranslationModel) -> bool:
    try:
        search.search(Predictor([model]), SOURCES, OPTIONS)
    except NoNumbersError:
        return True
    return False


def is_refused_in_torch(model: TranslationModel) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beam, "kernels_serve", lambda *given: False)
        patch.setattr(predictor, "prepare_for_search", lambda model: model)
        return is_refused(model)


@pytest.mark.parametrize("eight_bits", [False, True])
def test_weights_that_are_not_finite_are_refused_by_name(
    model: TranslationModel, eight_bits: bool
) -> None:
    model = copy.deepcopy(model)
    for name, parameter in model.named_parameters():
        last = parameter.data.view(-1)[-1:]
        before = last.clone()
        for number in (math.nan, -math.inf):
            last.fill_(number)
            with pytest.raises(NoNumbersError, match=f"not numbers .{name} holds NaN or infinity"):
                Predictor([with_packed_layers(model, eight_bits=True) if eight_bits else model])
        last.copy_(before)
    assert not is_refused(model)


@pytest.mark.usefixtures("_each_kernel_build")
def test_activations_that_are_not_finite_are_refused_in_both_engines(
    model: TranslationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a weight makes NaN or infinite stands here for what overflows."""
    for module in (predictor, linear):
        monkeypatch.setattr(module, "check_weights", lambda model: None)
    model = copy.deepcopy(model)
    for name, parameter in model.named_parameters():
        before = parameter.data.clone()
        for number in (math.nan, math.inf):
            parameter.data.fill_(number)
            refused = is_refused_in_torch(model)
            assert is_refused(model) == refused, (name, number)
            if parameter.dim() == 1 or "embedding" in name:  # not weights of 8 bits
                eight_bits = with_packed_layers(model, eight_bits=True)
                assert is_refused(eight_bits) == refused, (name, number)
        parameter.data.copy_(before)
