"""LayerNorm and RMSNorm on a CPU."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training


class _Norm(torch.autograd.Function):
    """LayerNorm, or RMSNorm without a bias, with weights of float32 whatever the type of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
        x = x.contiguous()
        result, statistics = training.norm(x, weight, bias, epsilon)
        ctx.save_for_backward(x, weight, statistics)
        ctx.centred = bias is not None
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        x, weight, statistics = ctx.saved_tensors
        of_x, of_weights = training.norm_backward(
            gradients[0], x, weight, statistics, centred=ctx.centred
        )
        return of_x, of_weights[0], of_weights[1] if ctx.centred else None, None


def norm(x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
    """LayerNorm over the last dimension, or RMSNorm without a bias."""
    exact = all(each is None or each.dtype == torch.float32 for each in (weight, bias))
    if torch.is_grad_enabled() and exact and training.serves(x):
        return cast(Tensor, _Norm.apply(x, weight, bias, epsilon))  # type: ignore[no-untyped-call]
    if bias is None:  # its fused kernel asks for weights rounded as x is
        return F.rms_norm(x, weight.shape, weight.to(x.dtype), epsilon)
    return F.layer_norm(x, weight.shape, weight, bias, epsilon)
