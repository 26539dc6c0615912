"""R-Drop, fused with the projection to the vocabulary, so that logits are never stored.

Two passes of one batch differ by what dropout leaves out; their predictions are drawn together.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd import products
from seq2seq_cli.symbols import PAD
from seq2seq_cli.training.cross_entropy import (
    Gradients,
    chunk_size,
    logits_buffer,
    plain_cross_entropy,
    possible_outputs,
)


class _FusedRDrop(torch.autograd.Function):
    """Computes the gradients in the forward pass, chunk by chunk, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        pieces: Sequence[slice] | None,
        target: Tensor,
        smoothing: float,
        alpha: float,
    ) -> tuple[Tensor, Tensor]:
        """Hidden states (2, tokens, D), output weights (V, D), bias (C,), target ids (tokens,)."""
        rows = target.size(0)
        padded = F.pad(hidden, (0, 0, 0, -rows % products.FEW_ROWS))
        losses = torch.zeros(3, dtype=torch.float32, device=hidden.device)
        projection = autograd.OutputProjection(weight, bias, hidden, pieces)
        size = projection.size
        chunk = chunk_size(2 * size * hidden.element_size())
        gradients = Gradients(padded, weight, bias)
        for start in range(0, rows, chunk):
            tokens = padded[:, start : start + chunk].reshape(-1, hidden.size(2))
            gold = target[start : start + chunk]
            logits = logits_buffer(len(tokens), size, hidden)
            projection.logits(tokens, logits)
            grad_logits, chunk_losses = autograd.r_drop_gradient(
                logits.view(2, -1, size), gold, smoothing, alpha
            )
            losses += chunk_losses
            grad_logits, grad_tokens = grad_logits.flatten(0, 1), torch.empty_like(tokens)
            projection.grad_hidden(grad_logits, grad_tokens)
            gradients.hidden[:, start : start + chunk] = grad_tokens.view(2, -1, tokens.size(1))
            projection.add_weight_gradients(grad_logits, tokens, gradients.weight, gradients.bias)
        plain, uniform, divergence = losses
        loss = (1 - smoothing) * plain + smoothing * uniform + 0.25 * alpha * divergence
        gradients.save(ctx, gradients.hidden[:, :rows])
        ctx.mark_non_differentiable(plain)
        return loss, plain

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return *Gradients.scaled(ctx, grad_outputs[0]), None, None, None, None


def r_drop(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    smoothing: float,
    alpha: float,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The loss of R-Drop (Liang et al. 2021), summed over tokens that are not PAD, in nats.

    Hidden states (2 B, T, D), or (2 tokens, D) of those tokens alone, are those of the first pass
    and then of the second; output weights (V, D) and bias (V,), target ids (B, T). Pieces that the
    bias rules out are treated as `cross_entropy` does.

    The loss is half of the paper's, so that it is as large as the cross-entropy of one pass: the
    mean of both smoothed cross-entropies, and alpha / 2 times the mean of both Kullback-Leibler
    divergences. Also returns the mean negative log-likelihood, which has no gradients.
    """
    real = target != PAD
    both = hidden.view(2, -1, *hidden.shape[1:])
    if hidden.dim() == 3:
        both = both[:, real]
    weight, bias, pieces, gold = possible_outputs(weight, bias, target[real])
    return cast(
        tuple[Tensor, Tensor],
        _FusedRDrop.apply(  # type: ignore[no-untyped-call]
            both, weight, bias, pieces, gold, smoothing, alpha
        ),
    )


def plain_r_drop(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    smoothing: float,
    alpha: float,
    bias: Tensor | None = None,
) -> Tensor:
    """The same loss by PyTorch's own functions: what `r_drop` is tested against."""
    passes = hidden.chunk(2)
    losses = [plain_cross_entropy(each, weight, target, smoothing, bias) for each in passes]
    log_p, log_q = (
        F.linear(each, weight, bias).float().log_softmax(dim=2)[target != PAD] for each in passes
    )
    there = F.kl_div(log_q, log_p, reduction="sum", log_target=True)
    back = F.kl_div(log_p, log_q, reduction="sum", log_target=True)
    return (losses[0] + losses[1] + alpha * (there + back) / 2) / 2
