"""Learning rates follow their formulas; the optimizer continues as if it had never stopped."""

import copy

import pytest
import torch
from torch import Tensor, nn

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.training.optimization import (
    learning_rate,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
)


@pytest.mark.parametrize(
    ("schedule", "warmup", "rates"),
    [
        ("inverse-sqrt", 100, {1: 0.01, 50: 0.5, 100: 1.0, 400: 0.5, 10_000: 0.1}),
        ("inverse-sqrt", 0, {1: 1.0, 4: 0.5, 100: 0.1}),
        ("constant", 100, {1: 0.01, 99: 0.99, 100: 1.0, 5_000: 1.0}),
        ("constant", 0, {1: 1.0, 2: 1.0}),
        ("cosine", 100, {50: 0.5, 100: 1.0, 400: 0.75, 550: 0.5, 1_000: 0.0, 2_000: 0.0}),
        ("linear", 101, {50: 50 / 101, 101: 1.0, 551: 0.5, 1_000: 1 / 900, 2_000: 0.0}),
        ("linear", 0, {1: 1_000 / 1_001, 1_000: 1 / 1_001}),
        ("cosine", 0, {500: 0.5, 1_000: 0.0}),
        ("cosine", 2_000, {1_000: 0.5, 1_999: 0.9995}),  # all of training is warm-up
    ],
)
def test_learning_rates_at_points_known_by_hand(
    schedule: str, warmup: int, rates: dict[int, float]
) -> None:
    config = TrainingConfig(
        learning_rate=2.0, schedule=schedule, warmup_updates=warmup, max_updates=1_000
    )
    found = {update: learning_rate(config, update) / 2.0 for update in rates}
    assert found == pytest.approx(rates, abs=1e-9)


def test_a_linear_schedule_can_end_sooner() -> None:
    config = TrainingConfig(
        learning_rate=2.0, schedule="linear", warmup_updates=101, max_updates=1_000
    )
    rates = [learning_rate(config, update, end=301) for update in (50, 101, 202, 302)]
    assert rates == pytest.approx([100 / 101, 2.0, 2.0 * 100 / 201, 0.0])


def test_only_matrices_are_decayed() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer(model, TrainingConfig(weight_decay=0.5))
    set_learning_rate(optimizer, 0.1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, value in model.state_dict().items():
        kept = 0.95 if value.dim() == 2 else 1.0
        torch.testing.assert_close(value, before[name] * kept)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, updates: range) -> None:
    for update in updates:
        set_learning_rate(optimizer, 0.1 / update)
        x = torch.full((2, 3), float(update))
        model(x).pow(2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def fresh(weights: dict[str, Tensor] | None = None) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    if weights is not None:
        model.load_state_dict(weights)
    return model, make_optimizer(model, TrainingConfig())


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def test_stopping_and_continuing_equals_never_stopping() -> None:
    straight, straight_optimizer = fresh()
    train(straight, straight_optimizer, range(1, 7))

    stopped, stopped_optimizer = fresh()
    train(stopped, stopped_optimizer, range(1, 4))
    weights = copies(stopped.state_dict())
    state = copies(optimizer_tensors(stopped, stopped_optimizer))

    resumed, resumed_optimizer = fresh(weights)
    load_optimizer_tensors(resumed, resumed_optimizer, state)
    train(resumed, resumed_optimizer, range(4, 7))

    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    expected = optimizer_tensors(straight, straight_optimizer)
    found = optimizer_tensors(resumed, resumed_optimizer)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_state_is_restored_on_the_device_of_its_parameters() -> None:
    """A fused optimizer on a GPU refuses a number of steps that is on the CPU."""
    model, optimizer = fresh()
    train(model, optimizer, range(1, 2))
    elsewhere = copy.deepcopy(model).to("meta")
    elsewhere_optimizer = torch.optim.AdamW(elsewhere.parameters())
    load_optimizer_tensors(elsewhere, elsewhere_optimizer, optimizer_tensors(model, optimizer))
    restored = optimizer_tensors(elsewhere, elsewhere_optimizer)
    assert restored.keys() == optimizer_tensors(model, optimizer).keys()
    assert {name for name, value in restored.items() if not value.is_meta} == set()


def test_state_is_named_after_weights() -> None:
    model, optimizer = fresh()
    train(model, optimizer, range(1, 2))
    weights = [name for name, _ in model.named_parameters()]
    kinds = ("step", "exp_avg", "exp_avg_sq")
    assert set(optimizer_tensors(model, optimizer)) == {f"{k}/{w}" for k in kinds for w in weights}
