"""Two linear layers with ReLU and dropout between them, as one function."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.dropout import dropped_relu, scale_of
from seq2seq_cli.kernels.autograd.products import rounds, weight_gradients


class _FeedForward(torch.autograd.Function):
    """linear(dropped_relu(linear(x))); what stands between is part of the products, or in place."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        inner: Tensor,
        inner_bias: Tensor,
        outer: Tensor,
        outer_bias: Tensor,
        threshold: int,
    ) -> Tensor:
        flat = x.reshape(-1, x.size(-1))
        seed = int(torch.empty((), dtype=torch.int64).random_()) if threshold else 0
        if x.dtype == torch.bfloat16:
            between = training.linear_dropped_relu(flat, inner, inner_bias, threshold, seed)
            result = training.linear(between, outer, outer_bias)
        else:
            between = training.dropped_relu_(flat @ inner.t(), inner_bias, threshold, seed)
            result = torch.addmm(outer_bias, between, outer.t())
        ctx.save_for_backward(flat, inner, between, outer)
        ctx.shape, ctx.scale = x.shape, scale_of(threshold)
        return result.view(*x.shape[:-1], outer.size(0))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, between, outer = ctx.saved_tensors
        wants = ctx.needs_input_grad
        slope = gradients[0].reshape(len(x), outer.size(0)).contiguous()
        of_outer = weight_gradients(slope, between, *wants[3:5])
        if not any(wants[:3]):
            return None, None, None, *of_outer, None
        if x.dtype == torch.bfloat16:
            slope = training.linear_input_passed(slope, outer, between, ctx.scale)
        else:
            slope = training.passed_(slope @ outer, between, ctx.scale)
        of_x = None
        if wants[0]:
            rounds = x.dtype == torch.bfloat16
            of_x = training.linear_input(slope, inner) if rounds else slope @ inner
            of_x = of_x.view(ctx.shape)
        return of_x, *weight_gradients(slope, x, *wants[1:3]), *of_outer, None


def _feeds_forward(x: Tensor, inner: nn.Module, outer: nn.Module) -> bool:
    """Whether both layers are one function: no layers of 8 bits, and weights of float32."""
    if not (isinstance(inner, nn.Linear) and isinstance(outer, nn.Linear)):
        return False
    if x.dtype == torch.bfloat16:
        return training.multiplies(x, *inner.weight.shape, len(outer.weight))
    learns = torch.is_grad_enabled() and not torch.is_autocast_enabled(x.device.type)
    fits = len(inner.weight) % training.SIDE == 0 and x.numel() > 0
    return learns and fits and training.serves(x, inner.weight, outer.weight)


def feed_forward(x: Tensor, inner: nn.Linear, outer: nn.Linear, threshold: int) -> Tensor:
    """The outer layer of what ReLU and dropout leave of the inner one's results (…, D)."""
    x = x.bfloat16() if rounds(x) else x
    if _feeds_forward(x, inner, outer):
        weights = inner.weight, inner.bias, outer.weight, outer.bias
        return cast(Tensor, _FeedForward.apply(x, *weights, threshold))  # type: ignore[no-untyped-call]
    between = inner(x)
    between = dropped_relu(between, threshold) if threshold else F.relu(between)
    return cast(Tensor, outer(between))
