"""Cross-entropy fused with the projection to the vocabulary, so that logits are never stored."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.symbols import PAD

CHUNK_BYTES = 16 << 20  # float32 logits held at a time; larger chunks were hardly faster


class _FusedCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass, chunk by chunk, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        target: Tensor,
        smoothing: float,
        needs_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        rows = target.size(0)
        size = weight.size(0)
        chunk = max(1, CHUNK_BYTES // (4 * size))
        total = features.new_zeros((), dtype=torch.float32)
        smoothed_total = torch.zeros_like(total)
        feature_gradient = torch.empty_like(features) if needs_gradient else None
        rounded = weight.to(features.dtype)  # autocast may have made the features bfloat16
        weight_gradient = torch.zeros_like(weight) if needs_gradient else None
        for start in range(0, rows, chunk):
            part = features[start : start + chunk]
            gold = target[start : start + chunk, None]
            logits = (part @ rounded.t()).float()
            # One pass of exponentials serves loss and gradient. The greatest probability is at
            # least 1 / V, so its logarithm is exact enough to give log-sum-exp.
            slope = logits.softmax(dim=1)
            normaliser = logits.amax(dim=1) - slope.amax(dim=1).log()
            gold_loss = (normaliser - logits.gather(1, gold)[:, 0]).sum()
            total += gold_loss
            smoothed_total += (1 - smoothing) * gold_loss
            if smoothing:
                uniform = normaliser.sum() - logits.sum() / size
                smoothed_total += smoothing * uniform
            if feature_gradient is not None and weight_gradient is not None:
                if smoothing:
                    slope.sub_(smoothing / size)
                slope.scatter_add_(1, gold, slope.new_full(gold.shape, smoothing - 1))
                slope = slope.to(features.dtype)
                torch.mm(slope, rounded, out=feature_gradient[start : start + chunk])
                if slope.dtype == weight_gradient.dtype:
                    weight_gradient.addmm_(slope.t(), part)
                else:  # the sum over chunks stays exact
                    weight_gradient += slope.t() @ part
        ctx.save_for_backward(feature_gradient, weight_gradient)
        ctx.mark_non_differentiable(total)
        return smoothed_total, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        feature_gradient, weight_gradient = ctx.saved_tensors
        scale = gradients[0]
        return feature_gradient * scale, weight_gradient * scale, None, None, None


def cross_entropy(
    features: Tensor, weight: Tensor, target: Tensor, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Loss of predicting `target` from features, summed over all tokens that are not PAD, in nats.

    features (B, T, D), weight (V, D), target (B, T) ids. Returns the label-smoothed loss (Szegedy
    2016), which has gradients, and the plain negative log-likelihood, which has none.
    """
    real = target != PAD
    return cast(
        tuple[Tensor, Tensor],
        _FusedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            features[real], weight, target[real], smoothing, torch.is_grad_enabled()
        ),
    )


def plain_cross_entropy(
    features: Tensor, weight: Tensor, target: Tensor, smoothing: float = 0.0
) -> Tensor:
    """The same smoothed loss, as one would write it; what the fused one is tested against."""
    return F.cross_entropy(
        (features @ weight.t()).flatten(0, 1).float(),
        target.flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
        reduction="sum",
    )
