"""LayerNorm (Ba 2016) and RMSNorm (Zhang 2019)."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.dispatch import engine


def _reference(x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
    if bias is None:  # PyTorch's fused RMSNorm needs weights of the dtype of x
        return F.rms_norm(x, weight.shape, weight.to(x.dtype), epsilon)
    if x.dtype == torch.bfloat16 and torch.is_grad_enabled() and engine(x) != "torch":
        # PyTorch sums the gradients of weights and biases over all rows in bfloat16 on a CPU: of
        # 10,000 rows, 1 each, it makes 256.
        return F.layer_norm(x.float(), weight.shape, weight, bias, epsilon).to(x.dtype)
    return F.layer_norm(x, weight.shape, weight, bias, epsilon)


class _Norm(torch.autograd.Function):
    """By the kernel, with weights in float32 whatever the dtype of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
        x = x.contiguous()
        result, statistics = training.norm(x, weight, bias, epsilon)
        ctx.save_for_backward(x, weight, statistics)
        ctx.centred = bias is not None
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        x, weight, statistics = ctx.saved_tensors
        grad_input, (grad_weight, grad_bias) = training.norm_backward(
            grad_outputs[0], x, weight, statistics, centred=ctx.centred
        )
        return grad_input, grad_weight, grad_bias if ctx.centred else None, None


def norm(x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
    """LayerNorm over the last dimension of x (…, D), or RMSNorm without a bias."""
    in_float32 = all(each is None or each.dtype == torch.float32 for each in (weight, bias))
    if torch.is_grad_enabled() and in_float32 and engine(x) == "kernel":
        return cast(Tensor, _Norm.apply(x, weight, bias, epsilon))  # type: ignore[no-untyped-call]
    return _reference(x, weight, bias, epsilon)
