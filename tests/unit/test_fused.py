"""Fused parts of a training step equal the lines of PyTorch they stand for, gradients too."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.models import fused

THRESHOLD = 77
SCALE = 256 / (256 - THRESHOLD)
EXACT = {"rtol": 1e-5, "atol": 1e-6}
ROUNDED = {"rtol": 0.04, "atol": 0.04}  # of bfloat16, several roundings after each other
TOLERANCE = {torch.float32: EXACT, torch.bfloat16: ROUNDED}


def with_gradients(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The result of a function, and the gradients of a weighted sum of it."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    torch.manual_seed(2)
    result = function(*leaves)
    weights = torch.linspace(-1, 1, result.numel()).view(result.shape).to(result.dtype)
    return result.detach(), *torch.autograd.grad((result * weights).sum(), leaves)


def drawn_mask(shape: tuple[int, ...]) -> Tensor:
    """What a part draws after `with_gradients` set the seed: 1 where an element is kept."""
    torch.manual_seed(2)
    return (fused.dropout(torch.ones(shape), THRESHOLD) > 0).float()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_dropped_parts_equal_plain_ones(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    residual, x = (torch.randn(3, 5, 16).to(dtype) for _ in range(2))
    mask = drawn_mask((3, 5, 16)).to(dtype)
    assert 0 < int(mask.sum()) < mask.numel()
    for found, expected in (
        (
            with_gradients(lambda r, y: fused.dropped_sum(r, y, THRESHOLD), (residual, x)),
            with_gradients(lambda r, y: r + y * mask * SCALE, (residual, x)),
        ),
        (
            with_gradients(lambda y: fused.dropped_relu(y, THRESHOLD), (x,)),
            with_gradients(lambda y: F.relu(y) * mask * SCALE, (x,)),
        ),
    ):
        for ours, plain in zip(found, expected, strict=True):
            assert ours.dtype == dtype
            torch.testing.assert_close(ours, plain, **TOLERANCE[dtype])


def test_a_sum_has_the_type_of_its_residual() -> None:
    result = fused.dropped_sum(torch.ones(2, 3), torch.ones(2, 3).bfloat16(), THRESHOLD)
    assert result.dtype == torch.float32


def attention_inputs() -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Queries, keys and values as a model makes them, no two of them contiguous, and a mask."""
    torch.manual_seed(1)
    query, key, value = (
        torch.randn(2, length, 3, 8).transpose(1, 2) for length in (5, 7, 7)
    )  # (B, H, T, D)
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    mask[1, ..., 4:] = False
    return (query, key, value), mask


@pytest.mark.parametrize("visible", ["all", "source", "causal"])
def test_attention_of_bfloat16_equals_the_exact_one(visible: str) -> None:
    inputs, mask = attention_inputs()
    given = mask if visible == "source" else None
    causal = visible == "causal"
    if causal:
        inputs = (inputs[0], inputs[1][:, :, :5], inputs[2][:, :, :5])

    def attend(*x: Tensor) -> Tensor:
        return fused.attention(*x, given, causal=causal)

    exact = with_gradients(attend, inputs)
    rounded = with_gradients(attend, tuple(x.bfloat16() for x in inputs))
    assert all(each.dtype == torch.bfloat16 for each in rounded)
    for ours, plain in zip(rounded, exact, strict=True):
        torch.testing.assert_close(ours.float(), plain, **ROUNDED)


def test_gradients_of_attention_are_exact_but_for_rounding() -> None:
    """The same formulas in float32 are as exact as PyTorch's."""
    inputs, mask = attention_inputs()
    bias = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
    found = with_gradients(lambda *x: fused._Attention.apply(*x, bias), inputs)
    expected = with_gradients(lambda *x: F.scaled_dot_product_attention(*x, mask), inputs)
    for ours, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, plain, **EXACT)
