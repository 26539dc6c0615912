"""Cross-entropy fused with the projection to the vocabulary, so that logits are never stored."""

from functools import cached_property, lru_cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.symbols import PAD

CHUNK_BYTES = 64 << 20  # of logits held at a time


class _FusedCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass, chunk by chunk, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        target: Tensor,
        smoothing: float,
        needs_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        size, rows = weight.size(0), target.size(0)
        # Few shapes of products: see `models.fused`. Zeros give no gradient to weights.
        chunk = (
            max(1, CHUNK_BYTES // (hidden.element_size() * size * training.FEW_ROWS))
            * training.FEW_ROWS
        )
        all_features = F.pad(hidden, (0, 0, 0, -rows % training.FEW_ROWS))
        losses = torch.zeros(2, dtype=torch.float32, device=hidden.device)
        feature_gradient = torch.empty_like(all_features) if needs_gradient else None
        projection = Projection(weight, all_features)
        weight_gradient: Tensor | None = None
        for start in range(0, rows, chunk):
            part = all_features[start : start + chunk]
            gold = target[start : start + chunk]
            slope, own_losses = _slopes(projection.logits(part), gold, smoothing)
            losses += own_losses
            if feature_gradient is not None:
                projection.of_features(slope, out=feature_gradient[start : start + chunk])
                of_weight = projection.of_weight(slope, part)
                if weight_gradient is None:
                    weight_gradient = of_weight.to(weight.dtype)
                else:  # in float32, so that the sum over chunks stays exact
                    weight_gradient += of_weight
        if feature_gradient is not None:
            if weight_gradient is None:  # there are no tokens
                weight_gradient = torch.zeros_like(weight)
            feature_gradient = feature_gradient[:rows]
        total, uniform = losses
        ctx.save_for_backward(feature_gradient, weight_gradient)
        ctx.mark_non_differentiable(total)
        return (1 - smoothing) * total + smoothing * uniform, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        feature_gradient, weight_gradient = ctx.saved_tensors
        scale = gradients[0]  # in place: autograd refuses a second time by itself
        return feature_gradient.mul_(scale), weight_gradient.mul_(scale), None, None, None


class Projection:
    """Products of hidden states with the output weights (V, D), and those of their gradients."""

    def __init__(self, weight: Tensor, hidden: Tensor) -> None:
        self.weight = weight
        self.compiled = training.multiplies(hidden, weight.size(1))
        self.kind = hidden.dtype

    @cached_property
    def rounded(self) -> Tensor:
        """The weights in the type of the hidden states, which autocast may have made bfloat16."""
        return self.weight.to(self.kind)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (rows, V) of hidden states (rows, D), in the room that the last ones were in."""
        out = logits_room(len(hidden), len(self.weight), hidden.dtype, hidden.device)
        if self.compiled:
            return training.linear(hidden, self.weight, None, out=out)
        return torch.mm(hidden, self.rounded.t(), out=out)

    def of_features(self, slope: Tensor, out: Tensor | None = None) -> Tensor:
        """The gradient of hidden states, from slopes (rows, V)."""
        return torch.mm(slope, self.rounded, out=out)

    def of_weight(self, slope: Tensor, hidden: Tensor) -> Tensor:
        """The gradient of the weights, perhaps rounded."""
        if self.compiled:
            return training.linear_weight(slope, hidden)[0]
        return slope.t() @ hidden


def logits_room(rows: int, columns: int, kind: torch.dtype, device: torch.device) -> Tensor:
    """Room for logits (rows, columns). It is kept: to get new memory takes as long as the product.

    Only one thread computes a loss at a time.
    """
    size = max(CHUNK_BYTES // kind.itemsize, rows * columns)
    return _memory(size, kind, device)[: rows * columns].view(rows, columns)


@lru_cache(maxsize=1)
@torch.inference_mode(mode=False)  # training uses it after validation
def _memory(size: int, kind: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(size, dtype=kind, device=device)


def _slopes(logits: Tensor, gold: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The slopes of the smoothed loss in logits (any, V), which they may overwrite, and the sums
    of the plain loss and of that against a uniform distribution (2,).

    Logits beyond the tokens `gold` (rows,) fill up the shape, and have no slopes.
    """
    rows = gold.size(0)
    if training.serves(logits):
        losses = training.cross_entropy_slopes(logits[:rows], gold, smoothing).sum(dim=1)
        logits[rows:] = 0
        return logits, losses
    kind, size, gold = logits.dtype, logits.size(1), gold[:, None]
    filled, logits = logits.size(0), logits[:rows].float()
    # One pass of exponentials serves loss and gradient. The greatest probability is at least 1 / V,
    # so its logarithm is exact enough to give log-sum-exp.
    slope = logits.softmax(dim=1)
    normaliser = logits.amax(dim=1) - slope.amax(dim=1).log()
    plain = (normaliser - logits.gather(1, gold)[:, 0]).sum()
    uniform = normaliser.sum() - logits.sum() / size
    if smoothing:
        slope.sub_(smoothing / size)
    slope.scatter_add_(1, gold, slope.new_full(gold.shape, smoothing - 1))
    slope = F.pad(slope.to(kind), (0, 0, 0, filled - rows))
    return slope, torch.stack((plain, uniform))


def cross_entropy(
    hidden: Tensor, weight: Tensor, target: Tensor, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Loss of predicting `target`, summed over all tokens that are not PAD, in nats.

    hidden states (B, T, D) or of those tokens alone (tokens, D), weight (V, D), target (B, T) ids.
    Returns the label-smoothed loss (Szegedy 2016), which has gradients, and the plain negative
    log-likelihood, which has none.
    """
    real = target != PAD
    if hidden.dim() == 3:
        hidden = hidden[real]
    return cast(
        tuple[Tensor, Tensor],
        _FusedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, weight, target[real], smoothing, torch.is_grad_enabled()
        ),
    )


def plain_cross_entropy(
    hidden: Tensor, weight: Tensor, target: Tensor, smoothing: float = 0.0
) -> Tensor:
    """The same smoothed loss, as one would write it; what the fused one is tested against."""
    return F.cross_entropy(
        (hidden @ weight.t()).flatten(0, 1).float(),
        target.flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
        reduction="sum",
    )
