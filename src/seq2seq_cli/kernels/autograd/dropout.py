"""Dropout (Srivastava 2014) alone, before a sum, and after ReLU.

On a CPU drawing random numbers is most of its cost, so one random byte decides about an element:
probabilities are multiples of 1 / 256, `threshold` / 256.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.dispatch import engine

LEVELS = 256  # values of a random byte


def scale_of(threshold: int) -> float:
    """The factor for the elements that remain, so that the expected value stays exact."""
    return LEVELS / (LEVELS - threshold)


def _draw(x: Tensor) -> Tensor:
    """What decides which elements of x are dropped: a seed for the kernel, else random bytes.

    The backward pass needs nothing else, so this is what is saved for it.
    """
    if engine(x) == "kernel":
        return torch.empty((), dtype=torch.int64).random_()
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[: x.numel()]


def _is_seed(random: Tensor) -> bool:
    return random.dim() == 0


def _mask(random: Tensor, like: Tensor, threshold: int) -> Tensor:
    """1 where a random byte lets an element through, 0 where it does not.

    The mask has the dtype of what it is multiplied with: PyTorch takes five to ten times as long to
    multiply two dtypes, since it converts one of them element by element.
    """
    return torch.ge(random.view(like.shape), threshold, out=torch.empty_like(like))


def _drop(x: Tensor, random: Tensor, threshold: int) -> Tensor:
    if not _is_seed(random):
        return _mask(random, x, threshold).mul_(x).mul_(scale_of(threshold))
    return training.dropout(x, threshold, int(random))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        random = _draw(x)
        ctx.save_for_backward(random)
        ctx.threshold = threshold
        return _drop(x, random, threshold)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (random,) = ctx.saved_tensors
        return _drop(grad_outputs[0], random, ctx.threshold), None


def dropout(x: Tensor, threshold: int) -> Tensor:
    """Drop threshold / 256 of the elements and scale up the rest."""
    if engine(x) == "torch":
        return F.dropout(x, threshold / LEVELS)
    return cast(Tensor, _Dropout.apply(x, threshold))  # type: ignore[no-untyped-call]


class _DropoutAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, residual: Tensor, x: Tensor, threshold: int) -> Tensor:
        random = _draw(x)
        ctx.save_for_backward(random)
        ctx.threshold = threshold
        if not _is_seed(random):
            mask = _mask(random, x, threshold)
            return torch.addcmul(residual, x, mask, value=scale_of(threshold))
        return training.dropout_add(residual, x, threshold, int(random))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        (random,) = ctx.saved_tensors
        return grad_outputs[0], _drop(grad_outputs[0], random, ctx.threshold), None


def dropout_add(residual: Tensor, x: Tensor, threshold: int) -> Tensor:
    """residual + dropout(x), in the dtype of the residual."""
    x = x.to(residual)
    if engine(x) == "torch":
        return residual + F.dropout(x, threshold / LEVELS)
    return cast(Tensor, _DropoutAdd.apply(residual, x, threshold))  # type: ignore[no-untyped-call]


class _ReluDropout(torch.autograd.Function):
    """The backward pass needs only the result: it is zero where nothing was let through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        random = _draw(x)
        if not _is_seed(random):
            result = _mask(random, x, threshold).mul_(x).relu_().mul_(scale_of(threshold))
        else:
            result = training.relu_dropout(x, threshold, int(random))
        ctx.save_for_backward(result)
        ctx.scale, ctx.in_kernel = scale_of(threshold), _is_seed(random)
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        if not ctx.in_kernel:
            grad_input = torch.ops.aten.threshold_backward(grad_outputs[0], result, 0)
            return grad_input.mul_(ctx.scale), None
        return training.relu_dropout_backward(grad_outputs[0], result, ctx.scale), None


def relu_dropout(x: Tensor, threshold: int) -> Tensor:
    """dropout(relu(x))."""
    if engine(x) == "torch":
        return F.dropout(F.relu(x), threshold / LEVELS)
    return cast(Tensor, _ReluDropout.apply(x, threshold))  # type: ignore[no-untyped-call]
