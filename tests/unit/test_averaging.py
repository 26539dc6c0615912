"""Averages of weights are what they should be."""

import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from seq2seq_cli.training.averaging import MovingAverage, average


def test_the_average_of_weights_is_their_mean_and_leaves_them_as_they_are() -> None:
    torch.manual_seed(1)
    parts = [{"a": torch.randn(3, 2), "b": torch.randn(4)} for _ in range(3)]
    before = [{name: tensor.clone() for name, tensor in part.items()} for part in parts]
    mean = average(iter(parts))
    for name in ("a", "b"):
        expected = torch.stack([part[name] for part in parts]).mean(dim=0)
        torch.testing.assert_close(mean[name], expected)
    torch.testing.assert_close(parts, before, rtol=0, atol=0)


def test_each_set_of_weights_is_let_go_before_the_next_is_read() -> None:
    def sets() -> Iterator[dict[str, torch.Tensor]]:
        for value in range(3):
            weights = {"a": torch.full((2,), float(value)), "b": torch.ones(3)}
            last = weakref.ref(weights["b"])
            yield weights
            del weights
            assert last() is None

    assert average(sets())["a"].tolist() == [1, 1]


def test_a_mean_is_rounded_once() -> None:
    parts = [{"a": torch.tensor([value])} for value in (1.0, 2.0**-24, 2.0**-24)]
    mean = average(iter(parts))["a"].double() * 3
    torch.testing.assert_close(mean, torch.tensor([1 + 2.0**-23]).double(), rtol=4e-8, atol=0)


def moved(model: nn.Linear, moving: MovingAverage, steps: int) -> torch.Tensor:
    """Shake the model `steps` times; returns the average by its formula."""
    expected = model.weight.detach().clone()
    for update in range(1, steps + 1):
        with torch.no_grad():
            model.weight.add_(torch.randn_like(model.weight))
        moving.follow(update)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    return expected


def test_the_moving_average_follows_the_weights_by_its_decay() -> None:
    torch.manual_seed(1)
    model = nn.Linear(3, 3, bias=False)
    moving = MovingAverage(model, 0.5)
    expected = moved(model, moving, 10)  # the decay is reached after 8
    torch.testing.assert_close(moving.tensors()["weight"], expected)
    other = MovingAverage(nn.Linear(3, 3, bias=False), 0.5)
    other.load(moving.tensors())
    torch.testing.assert_close(other.weights, moving.weights, rtol=0, atol=0)


def test_the_model_has_its_own_weights_again_after_the_average_even_if_stopped() -> None:
    torch.manual_seed(1)
    model = nn.Linear(3, 3, bias=False)
    moving = MovingAverage(model, 0.5)
    moved(model, moving, 3)
    own = model.weight.detach().clone()

    def stopped_in_between() -> None:
        with moving.in_model():
            torch.testing.assert_close(model.weight.detach(), moving.weights["weight"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_in_between()
    torch.testing.assert_close(model.weight.detach(), own, rtol=0, atol=0)
    assert not torch.equal(own, moving.weights["weight"])
