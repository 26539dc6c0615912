"""R-Drop, fused with the projection to the vocabulary, so that logits are never stored.

Two passes of one batch differ by what dropout leaves out; their predictions are drawn together.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd import products
from seq2seq_cli.symbols import PAD
from seq2seq_cli.training.cross_entropy import (
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
        target: Tensor,
        smoothing: float,
        alpha: float,
    ) -> tuple[Tensor, Tensor]:
        """Hidden states (2, tokens, D), output weights (V, D), bias (V,), target ids (tokens,)."""
        size, rows = weight.size(0), target.size(0)
        chunk = chunk_size(2 * size * hidden.element_size())
        padded = F.pad(hidden, (0, 0, 0, -rows % products.FEW_ROWS))
        losses = torch.zeros(3, dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(padded)
        grad_weight = torch.zeros_like(weight)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        projection = autograd.OutputProjection(weight, bias, hidden)
        for start in range(0, rows, chunk):
            tokens = padded[:, start : start + chunk].reshape(-1, hidden.size(2))
            gold = target[start : start + chunk]
            logits = projection.logits(tokens, logits_buffer(len(tokens), size, hidden))
            grad_logits, chunk_losses = autograd.r_drop_gradient(
                logits.view(2, -1, size), gold, smoothing, alpha
            )
            losses += chunk_losses
            grad_logits = grad_logits.flatten(0, 1)
            grad_tokens = projection.grad_hidden(grad_logits).view(2, -1, tokens.size(1))
            grad_hidden[:, start : start + chunk] = grad_tokens
            chunk_grad, chunk_grad_bias = projection.weight_gradients(grad_logits, tokens)
            grad_weight += chunk_grad
            if grad_bias is not None and chunk_grad_bias is not None:
                grad_bias += chunk_grad_bias
        plain, uniform, divergence = losses
        loss = (1 - smoothing) * plain + smoothing * uniform + 0.25 * alpha * divergence
        grad_hidden = grad_hidden[:, :rows]
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.mark_non_differentiable(plain)
        return loss, plain

    @staticmethod
    def backward(
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None, None, None, None]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        scale = grad_outputs[0]  # in place: autograd itself refuses a second backward pass
        if grad_bias is not None:
            grad_bias.mul_(scale)
        return grad_hidden.mul_(scale), grad_weight.mul_(scale), grad_bias, None, None, None


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
    weight, bias, gold = possible_outputs(weight, bias, target[real])
    return cast(
        tuple[Tensor, Tensor],
        _FusedRDrop.apply(both, weight, bias, gold, smoothing, alpha),  # type: ignore[no-untyped-call]
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
