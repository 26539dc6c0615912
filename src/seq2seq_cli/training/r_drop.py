"""R-Drop, fused with the projection to the vocabulary, so that logits are never stored.

Two passes of one batch differ by what dropout leaves out; their predictions are drawn together.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.symbols import PAD
from seq2seq_cli.training.cross_entropy import CHUNK_BYTES, Projection, plain_cross_entropy


class _FusedRDrop(torch.autograd.Function):
    """Computes the gradients in the forward pass, chunk by chunk, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor, smoothing: float, alpha: float
    ) -> tuple[Tensor, Tensor]:
        """features (2, tokens, D), weight (V, D), target (tokens,)."""
        size, rows = weight.size(0), target.size(0)
        step = training.FEW_ROWS  # products have few shapes
        chunk = max(1, CHUNK_BYTES // (2 * size * hidden.element_size() * step)) * step
        all_features = F.pad(hidden, (0, 0, 0, -rows % step))
        losses = torch.zeros(3, dtype=torch.float32, device=hidden.device)
        feature_gradient = torch.empty_like(all_features)
        weight_gradient = torch.zeros_like(weight)
        projection = Projection(weight, hidden)
        for start in range(0, rows, chunk):
            part = all_features[:, start : start + chunk].reshape(-1, hidden.size(2))
            gold = target[start : start + chunk]
            logits = projection.logits(part).view(2, -1, size)
            slope, own_losses = _slopes(logits, gold, smoothing, alpha)
            losses += own_losses
            slope = slope.flatten(0, 1)
            of_part = projection.of_features(slope).view(2, -1, part.size(1))
            feature_gradient[:, start : start + chunk] = of_part
            weight_gradient += projection.of_weight(slope, part)
        plain, uniform, divergence = losses
        loss = (1 - smoothing) * plain + smoothing * uniform + 0.25 * alpha * divergence
        feature_gradient = feature_gradient[:, :rows]
        ctx.save_for_backward(feature_gradient, weight_gradient)
        ctx.mark_non_differentiable(plain)
        return loss, plain

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        feature_gradient, weight_gradient = ctx.saved_tensors
        scale = gradients[0]  # in place: autograd refuses a second time by itself
        return feature_gradient.mul_(scale), weight_gradient.mul_(scale), None, None, None


def _slopes(logits: Tensor, gold: Tensor, smoothing: float, alpha: float) -> tuple[Tensor, Tensor]:
    """The slopes of the loss in logits (2, any, V), which they may overwrite, and the sums (3,) of
    the plain loss, of that against a uniform distribution, and of both divergences.

    Logits beyond the tokens `gold` (rows,) fill up the shape, and have no slopes.
    """
    kind, size, rows, filled = logits.dtype, logits.size(2), gold.size(0), logits.size(1)
    if training.serves(logits):
        gold = F.pad(gold, (0, filled - rows))
        losses = training.r_drop_slopes(logits, gold, smoothing, alpha)[:, :rows].sum(dim=1)
        logits[:, rows:] = 0
        return logits, losses
    logits = logits[:, :rows].float()
    gold = gold[:, None].expand(2, -1, 1)
    p = logits.softmax(dim=2)
    # The greatest probability is at least 1 / V, so its logarithm is exact enough.
    greatest, place = logits.max(dim=2, keepdim=True)
    normaliser = greatest - p.gather(2, place).log()
    plain = 0.5 * (normaliser - logits.gather(2, gold)).sum()
    uniform = 0.5 * (normaliser.sum() - logits.sum() / size)
    # Of p log p/q + q log q/p, whose slopes in the logits of p are
    # p (log p/q - KL(p, q)) + p - q, and the same of q.
    share = 0.25 * alpha  # of each divergence
    gap = (logits[0] - logits[1]).sub_(normaliser[0] - normaliser[1])
    slope = logits  # no longer needed: its room is
    divergences = []
    for own, other, sign in ((0, 1, 1.0), (1, 0, -1.0)):
        divergence = sign * _dot(p[own], gap)
        divergences.append(divergence.sum())
        torch.add(0.5 + share * (1 - divergence), gap, alpha=sign * share, out=slope[own])
        slope[own].mul_(p[own]).sub_(p[other], alpha=share)
    if smoothing:
        slope.sub_(0.5 * smoothing / size)
    slope.scatter_add_(2, gold, slope.new_full(gold.shape, 0.5 * (smoothing - 1)))
    slope = F.pad(slope.to(kind), (0, 0, 0, filled - rows))
    return slope, torch.stack((plain, uniform, divergences[0] + divergences[1]))


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """The product (rows, 1) of each row of x and of y, both (rows, V), and no matrix between."""
    return torch.bmm(x[:, None], y[:, :, None])[:, :, 0]


def r_drop(
    hidden: Tensor, weight: Tensor, target: Tensor, smoothing: float, alpha: float
) -> tuple[Tensor, Tensor]:
    """The loss of R-Drop (Liang et al. 2021), summed over tokens that are not PAD, in nats.

    hidden (2B, T, D), or of those tokens alone (2 tokens, D): both passes, one after the other;
    weight (V, D), target (B, T) ids. Half of the paper's, so that it is as large as the
    cross-entropy of one pass: the mean of both smoothed cross-entropies and alpha / 2 times the
    mean of both Kullback-Leibler divergences. Also returns the mean negative log-likelihood, which
    has no gradients.
    """
    real = target != PAD
    both = hidden.view(2, -1, *hidden.shape[1:])
    if hidden.dim() == 3:
        both = both[:, real]
    return cast(
        tuple[Tensor, Tensor],
        _FusedRDrop.apply(both, weight, target[real], smoothing, alpha),  # type: ignore[no-untyped-call]
    )


def plain_r_drop(
    hidden: Tensor, weight: Tensor, target: Tensor, smoothing: float, alpha: float
) -> Tensor:
    """The same loss, as one would write it; what the fused one is tested against."""
    losses = [plain_cross_entropy(part, weight, target, smoothing) for part in hidden.chunk(2)]
    log_p, log_q = (
        (part @ weight.t()).float().log_softmax(dim=2)[target != PAD] for part in hidden.chunk(2)
    )
    there = F.kl_div(log_q, log_p, reduction="sum", log_target=True)
    back = F.kl_div(log_p, log_q, reduction="sum", log_target=True)
    return (losses[0] + losses[1] + alpha * (there + back) / 2) / 2
