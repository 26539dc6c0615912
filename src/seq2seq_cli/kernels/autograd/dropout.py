"""Dropout on a CPU: alone, before a sum, and after ReLU."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training

LEVELS = 256  # of a random byte: dropout's probabilities are multiples of 1 / 256


def _drawn(x: Tensor) -> Tensor:
    """What says which elements are dropped: a seed for the compiled functions, else random bytes.

    It is what the backward pass keeps.
    """
    if training.serves(x):
        return torch.empty((), dtype=torch.int64).random_()
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[: x.numel()]


def _is_seed(random: Tensor) -> bool:
    return random.dim() == 0


def _kept(random: Tensor, like: Tensor, threshold: int) -> Tensor:
    """1 where the random byte lets an element through, 0 where not.

    In the type of what it is multiplied with: of two types, PyTorch would convert one, element by
    element, in five to ten times the time.
    """
    return torch.ge(random.view(like.shape), threshold, out=torch.empty_like(like))


def scale_of(threshold: int) -> float:
    """What is let through is scaled by, so that the expected value stays exact."""
    return LEVELS / (LEVELS - threshold)


def _dropped(x: Tensor, random: Tensor, threshold: int) -> Tensor:
    if _is_seed(random):
        return training.dropped(x, threshold, int(random))
    return _kept(random, x, threshold).mul_(x).mul_(scale_of(threshold))


class _Dropout(torch.autograd.Function):
    """Drops an element where its random byte is below the threshold."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        random = _drawn(x)
        ctx.save_for_backward(random)
        ctx.threshold = threshold
        return _dropped(x, random, threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (random,) = ctx.saved_tensors
        return _dropped(gradients[0], random, ctx.threshold), None


class _DroppedSum(torch.autograd.Function):
    """residual + dropout(x); the sum costs nothing on top."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, x: Tensor, threshold: int) -> Tensor:
        random = _drawn(x)
        ctx.save_for_backward(random)
        ctx.threshold = threshold
        if _is_seed(random):
            return training.dropped_sum(residual, x, threshold, int(random))
        return torch.addcmul(residual, x, _kept(random, x, threshold), value=scale_of(threshold))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (random,) = ctx.saved_tensors
        return gradients[0], _dropped(gradients[0], random, ctx.threshold), None


class _DroppedRelu(torch.autograd.Function):
    """dropout(relu(x)); its gradients need nothing but its own result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        random = _drawn(x)
        if _is_seed(random):
            result = training.dropped_relu(x, threshold, int(random))
        else:
            result = _kept(random, x, threshold).mul_(x).relu_().mul_(scale_of(threshold))
        ctx.save_for_backward(result)
        ctx.scale = scale_of(threshold)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        if training.serves(result):
            return training.passed(gradients[0], result, ctx.scale), None
        passed = torch.ops.aten.threshold_backward(gradients[0], result, 0)
        return passed.mul_(ctx.scale), None


def dropout(x: Tensor, threshold: int) -> Tensor:
    """Drop threshold / 256 of the elements, scale up the others."""
    if training.computes(x):
        return cast(Tensor, _Dropout.apply(x, threshold))  # type: ignore[no-untyped-call]
    return F.dropout(x, threshold / LEVELS)


def dropped_sum(residual: Tensor, x: Tensor, threshold: int) -> Tensor:
    """residual + dropout(x), in the type of the residual."""
    x = x.to(residual)
    if training.computes(x):
        return cast(Tensor, _DroppedSum.apply(residual, x, threshold))  # type: ignore[no-untyped-call]
    return residual + F.dropout(x, threshold / LEVELS)


def dropped_relu(x: Tensor, threshold: int) -> Tensor:
    """dropout(relu(x))."""
    if training.computes(x):
        return cast(Tensor, _DroppedRelu.apply(x, threshold))  # type: ignore[no-untyped-call]
    return F.dropout(F.relu(x), threshold / LEVELS)
