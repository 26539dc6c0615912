"""R-Drop, fused with the projection to the vocabulary, so that logits are never stored.

Two passes of one batch differ by what dropout leaves out; their predictions are drawn together.
"""

from typing import Any, cast

import torch
from torch import Tensor

from seq2seq_cli.symbols import PAD

CHUNK_BYTES = 16 << 20  # logits of both passes held at a time; four more tensors are as large


class _FusedRDrop(torch.autograd.Function):
    """Computes the gradients in the forward pass, chunk by chunk, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, target: Tensor, smoothing: float, alpha: float
    ) -> tuple[Tensor, Tensor]:
        """features (2, tokens, D), weight (V, D), target (tokens,)."""
        size = weight.size(0)
        chunk = max(1, CHUNK_BYTES // (2 * size * 4))
        plain = features.new_zeros((), dtype=torch.float32)
        loss = torch.zeros_like(plain)
        feature_gradient = torch.empty_like(features)
        weight_gradient = torch.zeros_like(weight)
        rounded = weight.to(features.dtype)  # autocast may have made the features bfloat16
        for start in range(0, target.size(0), chunk):
            part = features[:, start : start + chunk]
            gold = target[start : start + chunk, None].expand(2, -1, 1)
            log_p = (part @ rounded.t()).float().log_softmax(dim=2)
            p = log_p.exp()
            gold_loss = -0.5 * log_p.gather(2, gold).sum()
            plain += gold_loss
            loss += (1 - smoothing) * gold_loss - smoothing * 0.5 * log_p.sum() / size
            # Of p log p/q + q log q/p, whose slopes in the logits of p are
            # p (log p/q - KL(p, q)) + p - q, and the same of q.
            gap = log_p[0] - log_p[1]
            divergence = torch.stack((p[0] * gap, -p[1] * gap)).sum(dim=2, keepdim=True)
            loss += 0.25 * alpha * divergence.sum()
            slope = p * (torch.stack((gap, -gap)) - divergence)
            difference = p[0] - p[1]
            slope[0] += difference
            slope[1] -= difference
            slope *= 0.25 * alpha
            slope += 0.5 * (p - smoothing / size)
            slope.scatter_add_(2, gold, slope.new_full(gold.shape, 0.5 * (smoothing - 1)))
            slope = slope.to(features.dtype)
            feature_gradient[:, start : start + chunk] = slope @ rounded
            weight_gradient += slope.flatten(0, 1).t() @ part.flatten(0, 1)
        ctx.save_for_backward(feature_gradient, weight_gradient)
        ctx.mark_non_differentiable(plain)
        return loss, plain

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        feature_gradient, weight_gradient = ctx.saved_tensors
        return feature_gradient * gradients[0], weight_gradient * gradients[0], None, None, None


def r_drop(
    features: Tensor, weight: Tensor, target: Tensor, smoothing: float, alpha: float
) -> tuple[Tensor, Tensor]:
    """The loss of R-Drop (Liang et al. 2021), summed over tokens that are not PAD, in nats.

    features (2B, T, D): both passes, one after the other; weight (V, D), target (B, T) ids. Half of
    the paper's, so that it is as large as the cross-entropy of one pass: the mean of both smoothed
    cross-entropies and alpha / 2 times the mean of both Kullback-Leibler divergences. Also returns
    the mean negative log-likelihood, which has no gradients.
    """
    real = target != PAD
    both = features.view(2, -1, *features.shape[1:])[:, real]
    return cast(
        tuple[Tensor, Tensor],
        _FusedRDrop.apply(both, weight, target[real], smoothing, alpha),  # type: ignore[no-untyped-call]
    )
