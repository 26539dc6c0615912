"""Cross-entropy fused with the projection to the vocabulary, so that logits are never stored."""

from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd import products
from seq2seq_cli.symbols import NEVER, PAD, UNK

CHUNK_BYTES = 64 << 20  # of logits held at a time


def chunk_size(bytes_per_token: int) -> int:
    """How many tokens' logits are computed at a time: a multiple of `products.FEW_ROWS`."""
    step = products.FEW_ROWS
    return max(1, CHUNK_BYTES // (bytes_per_token * step)) * step


class _FusedCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass, chunk by chunk, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        smoothing: float,
        needs_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        size, rows = weight.size(0), target.size(0)
        chunk = chunk_size(hidden.element_size() * size)
        # Filled up by zeros, which add nothing to the gradient of the weights.
        padded = F.pad(hidden, (0, 0, 0, -rows % products.FEW_ROWS))
        losses = torch.zeros(2, dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(padded) if needs_gradient else None
        projection = autograd.OutputProjection(weight, bias, padded)
        grad_weight: Tensor | None = None
        grad_bias = torch.zeros_like(bias) if bias is not None and needs_gradient else None
        for start in range(0, rows, chunk):
            tokens, gold = padded[start : start + chunk], target[start : start + chunk]
            logits = projection.logits(tokens, logits_buffer(len(tokens), size, hidden))
            grad_logits, chunk_losses = autograd.cross_entropy_gradient(logits, gold, smoothing)
            losses += chunk_losses
            if grad_hidden is not None:
                projection.grad_hidden(grad_logits, out=grad_hidden[start : start + chunk])
                chunk_grad, chunk_grad_bias = projection.weight_gradients(grad_logits, tokens)
                if grad_bias is not None and chunk_grad_bias is not None:
                    grad_bias += chunk_grad_bias
                if grad_weight is None:
                    grad_weight = chunk_grad.to(weight.dtype)
                else:  # in float32, so that the sum over chunks stays exact
                    grad_weight += chunk_grad
        if grad_hidden is not None:
            if grad_weight is None:  # there are no tokens
                grad_weight = torch.zeros_like(weight)
            grad_hidden = grad_hidden[:rows]
        total, uniform = losses
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.mark_non_differentiable(total)
        return (1 - smoothing) * total + smoothing * uniform, total

    @staticmethod
    def backward(
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None, None, None, None]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        scale = grad_outputs[0]  # in place: autograd itself refuses a second backward pass
        if grad_bias is not None:
            grad_bias.mul_(scale)
        return grad_hidden.mul_(scale), grad_weight.mul_(scale), grad_bias, None, None, None


def logits_buffer(rows: int, columns: int, like: Tensor) -> Tensor:
    """Memory for logits (rows, columns) with the dtype and device of `like`.

    It is reused: to allocate it takes as long as the product. Only one thread computes a loss at a
    time.
    """
    size = max(CHUNK_BYTES // like.element_size(), rows * columns)
    return _buffer(size, like.dtype, like.device)[: rows * columns].view(rows, columns)


@lru_cache(maxsize=1)
@torch.inference_mode(mode=False)  # training uses it after validation
def _buffer(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(size, dtype=dtype, device=device)


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    smoothing: float = 0.0,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The loss of predicting `target`, summed over all tokens that are not PAD, in nats.

    Hidden states (B, T, D), or (tokens, D) of those tokens alone; output weights (V, D) and bias
    (V,), target ids (B, T). Returns the label-smoothed loss (Szegedy 2016), which has gradients,
    and the plain negative log-likelihood, which has none. For pieces that the bias rules out see
    `possible_outputs`.
    """
    real = target != PAD
    if hidden.dim() == 3:
        hidden = hidden[real]
    weight, bias, gold = possible_outputs(weight, bias, target[real])
    return cast(
        tuple[Tensor, Tensor],
        _FusedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, gold, smoothing, torch.is_grad_enabled()
        ),
    )


def possible_outputs(
    weight: Tensor, bias: Tensor | None, gold: Tensor
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Leave out the pieces that the bias (V,) rules out, which a model has as UNK.

    They would get a share of label smoothing, and an infinite loss where they are the gold piece.
    UNK itself, if it is ruled out, is learned without a bias. Returns the weights and the bias of
    the others, and the gold pieces (any,) numbered among these.
    """
    if bias is None or not (ruled_out := bias.detach() <= NEVER / 2).any():
        return weight, bias, gold
    if ruled_out[UNK]:
        is_unknown = torch.arange(len(bias), device=bias.device) == UNK
        bias, ruled_out = bias.masked_fill(is_unknown, 0.0), ruled_out & ~is_unknown
    (possible,) = torch.where(~ruled_out)
    numbers = (~ruled_out).cumsum(0) - 1
    numbers = torch.where(ruled_out, numbers[UNK], numbers)
    return weight.index_select(0, possible), bias.index_select(0, possible), numbers[gold]


def plain_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    smoothing: float = 0.0,
    bias: Tensor | None = None,
) -> Tensor:
    """The same smoothed loss by PyTorch's own functions: what `cross_entropy` is tested against."""
    return F.cross_entropy(
        F.linear(hidden, weight, bias).flatten(0, 1).float(),
        target.flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
        reduction="sum",
    )
