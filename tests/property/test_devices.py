"""Training makes and loads every tensor on the device of the model, shown with the meta device.

Operations on that device refuse tensors of another one, as they do on a GPU.
"""

from typing import Any

import pytest
import torch
from torch import nn
from torch.fx.experimental import _config

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.models import ModelConfig, Vocabulary, build
from seq2seq_cli.symbols import BOS, EOS
from seq2seq_cli.training.averaging import MovingAverage
from seq2seq_cli.training.objective import Objective

META = torch.device("meta")
SOURCE = torch.tensor([[4, 5, 6, EOS], [6, 4, 4, EOS]])  # without PAD, which meta cannot find
TARGET = torch.tensor([[BOS, 5, 4, EOS], [BOS, 6, 5, EOS]])


@pytest.mark.parametrize(
    "settings", [{}, {"r_drop": 1.0}, {"guided_alignment": 0.5}, {"word_dropout": 0.3}], ids=str
)
def test_the_loss_is_computed_on_the_device_of_the_model(
    variant: tuple[ModelConfig, Vocabulary],
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with META:
        model = build(*variant).train()
    if model.copy_gate is not None and "r_drop" in settings:
        pytest.skip("R-Drop compares one distribution, and copying mixes in another")
    if any(isinstance(module, nn.LSTM | nn.GRU) for module in model.modules()):
        pytest.skip("recurrent layers read the lengths of sentences, which meta does not have")
    if model.output.bias is not None:
        pytest.skip("pieces are ruled out by the numbers of the output bias, which meta lacks")
    if "guided_alignment" in settings and not model.attends_to_source:
        pytest.skip("guided alignment needs attention to the source")
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # unknown on meta
    alignment = torch.zeros(2, 3, 4) if "guided_alignment" in settings else None
    objective = Objective(TrainingConfig(**settings), torch.float32, tags=(4,))
    with _config.patch(meta_nonzero_assume_all_nonzero=True):
        loss, plain = objective(model, Batch(SOURCE, TARGET, alignment).to(META))
        loss.backward()
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    assert gradients
    assert all(each.is_meta for each in (loss, plain, *gradients))


def test_a_moving_average_is_loaded_where_the_model_is() -> None:
    model = nn.Linear(2, 3)
    saved = MovingAverage(model, 0.9).tensors()
    average = MovingAverage(model.to(META), 0.9)
    average.load(saved)
    average.follow(1)
    assert all(weights.is_meta for weights in average.weights.values())
