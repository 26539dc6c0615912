"""Feed-forward layers with ReLU: two linear layers with ReLU and dropout between them."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.dispatch import engine, trains_in_bfloat16
from seq2seq_cli.kernels.autograd.dropout import relu_dropout, scale_of
from seq2seq_cli.kernels.autograd.products import weight_gradients


def _reference(x: Tensor, inner: nn.Module, outer: nn.Module, threshold: int) -> Tensor:
    between = inner(x)
    between = relu_dropout(between, threshold) if threshold else F.relu(between)
    return cast(Tensor, outer(between))


class _FeedForward(torch.autograd.Function):
    """By the kernels, with ReLU and dropout in the first product, or in place after it."""

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
            between = training.linear_relu_dropout(flat, inner, inner_bias, threshold, seed)
            result = training.linear(between, outer, outer_bias)
        else:
            between = training.bias_relu_dropout_(flat @ inner.t(), inner_bias, threshold, seed)
            result = torch.addmm(outer_bias, between, outer.t())
        ctx.save_for_backward(flat, inner, between, outer)
        ctx.shape, ctx.scale = x.shape, scale_of(threshold)
        return result.view(*x.shape[:-1], outer.size(0))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, between, outer = ctx.saved_tensors
        needs = ctx.needs_input_grad  # not all, where parameters are frozen
        grad_output = grad_outputs[0].reshape(len(x), outer.size(0)).contiguous()
        grads_outer = weight_gradients(grad_output, between, *needs[3:5])
        if not any(needs[:3]):
            return None, None, None, *grads_outer, None
        rounds, grad_input = x.dtype == torch.bfloat16, None
        if rounds:
            grad_between = training.linear_grad_input_relu_dropout(
                grad_output, outer, between, ctx.scale
            )
        else:
            grad_between = training.relu_dropout_backward_(grad_output @ outer, between, ctx.scale)
        if needs[0]:
            if rounds:
                grad_input = training.linear_grad_input(grad_between, inner).view(ctx.shape)
            else:
                grad_input = (grad_between @ inner).view(ctx.shape)
        return grad_input, *weight_gradients(grad_between, x, *needs[1:3]), *grads_outer, None


def _has_kernel(x: Tensor, inner: nn.Module, outer: nn.Module) -> bool:
    """Whether both layers are one kernel call: float32 weights, of sizes that the kernels take."""
    if not (isinstance(inner, nn.Linear) and isinstance(outer, nn.Linear)):
        return False  # layers made ready for inference
    if inner.bias is None or outer.bias is None:
        return False
    if x.dtype == torch.bfloat16:
        return engine(x, products=(*inner.weight.shape, len(outer.weight))) == "kernel"
    trains = torch.is_grad_enabled() and not torch.is_autocast_enabled(x.device.type)
    fits = len(inner.weight) % training.SIDE == 0 and x.numel() > 0
    return trains and fits and engine(x, inner.weight, outer.weight) == "kernel"


def feed_forward(x: Tensor, inner: nn.Module, outer: nn.Module, threshold: int) -> Tensor:
    """outer(dropout(relu(inner(x)))) of x (…, D) with two linear layers (Vaswani 2017).

    Dropout has the probability threshold / 256.
    """
    x = x.bfloat16() if trains_in_bfloat16(x) else x
    if not _has_kernel(x, inner, outer):
        return _reference(x, inner, outer, threshold)
    weights = inner.weight, inner.bias, outer.weight, outer.bias
    return cast(Tensor, _FeedForward.apply(x, *weights, threshold))  # type: ignore[no-untyped-call]
