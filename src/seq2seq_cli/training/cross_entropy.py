"""Cross-entropy fused with the projection to the vocabulary, so that logits are never stored."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd import products
from seq2seq_cli.symbols import NEVER, PAD, UNK

CHUNK_BYTES = 64 << 20  # of logits held at a time
MOST_RANGES = 4  # of pieces, whose logits are products of their own; of more, weights are copied


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
        pieces: Sequence[slice] | None,
        target: Tensor,
        smoothing: float,
        needs_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        rows = target.size(0)
        # Filled up by zeros, which add nothing to the gradient of the weights.
        padded = F.pad(hidden, (0, 0, 0, -rows % products.FEW_ROWS))
        losses = torch.zeros(2, dtype=torch.float32, device=hidden.device)
        projection = autograd.OutputProjection(weight, bias, padded, pieces)
        size = projection.size
        chunk = chunk_size(hidden.element_size() * size)
        gradients = Gradients(padded, weight, bias) if needs_gradient else None
        for start in range(0, rows, chunk):
            tokens, gold = padded[start : start + chunk], target[start : start + chunk]
            logits = logits_buffer(len(tokens), size, hidden)
            projection.logits(tokens, logits)
            grad_logits, chunk_losses = autograd.cross_entropy_gradient(logits, gold, smoothing)
            losses += chunk_losses
            if gradients is not None:
                projection.grad_hidden(grad_logits, gradients.hidden[start : start + chunk])
                projection.add_weight_gradients(
                    grad_logits, tokens, gradients.weight, gradients.bias
                )
        if gradients is not None:
            gradients.save(ctx, gradients.hidden[:rows])
        total, uniform = losses
        ctx.mark_non_differentiable(total)
        return (1 - smoothing) * total + smoothing * uniform, total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return *Gradients.scaled(ctx, grad_outputs[0]), None, None, None, None


class Gradients:
    """Gradients that a forward pass computes: of hidden states, output weights and bias."""

    def __init__(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        self.hidden = torch.empty_like(hidden)
        self.weight = torch.zeros_like(weight)
        self.bias = None if bias is None else torch.zeros_like(bias)

    def save(self, ctx: Any, hidden: Tensor) -> None:
        """Save them for the backward pass, with the gradient of the hidden states as it is given.

        That of the weights is passed on, not shared, so that autograd adds others to it in place.
        """
        ctx.save_for_backward(hidden, self.bias)
        ctx.grad_weight = self.weight

    @staticmethod
    def scaled(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The saved gradients times a factor, in place: autograd refuses a second backward pass."""
        hidden, bias = ctx.saved_tensors
        weight, ctx.grad_weight = ctx.grad_weight, None
        return hidden.mul_(scale), weight.mul_(scale), None if bias is None else bias.mul_(scale)


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
    weight, bias, pieces, gold = possible_outputs(weight, bias, target[real])
    return cast(
        tuple[Tensor, Tensor],
        _FusedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, pieces, gold, smoothing, torch.is_grad_enabled()
        ),
    )


def possible_outputs(
    weight: Tensor, bias: Tensor | None, gold: Tensor
) -> tuple[Tensor, Tensor | None, Sequence[slice] | None, Tensor]:
    """Leave out the pieces that the bias (V,) rules out, which a model has as UNK.

    They would get a share of label smoothing, and an infinite loss where they are the gold piece.
    UNK itself, if it is ruled out, is learned without a bias. Returns weights, the bias of the
    others, their ranges in these weights (None: all), and the gold pieces (any,) numbered among
    the others.
    """
    if bias is None or not (ruled_out := bias.detach() <= NEVER / 2).any():
        return weight, bias, None, gold
    if ruled_out[UNK]:
        is_unknown = torch.arange(len(bias), device=bias.device) == UNK
        bias, ruled_out = bias.masked_fill(is_unknown, 0.0), ruled_out & ~is_unknown
    (possible,) = torch.where(~ruled_out)
    numbers = (~ruled_out).cumsum(0) - 1
    numbers = torch.where(ruled_out, numbers[UNK], numbers)
    bias, gold = bias.index_select(0, possible), numbers[gold]
    pieces = _ranges(possible)
    if len(pieces) > MOST_RANGES:
        return weight.index_select(0, possible), bias, None, gold
    return weight, bias, pieces, gold


def _ranges(numbers: Tensor) -> list[slice]:
    """The ranges that ascending numbers (any,) consist of."""
    (ends,) = torch.where(numbers.diff() > 1)
    firsts = [0, *(ends + 1).tolist(), len(numbers)]
    return [
        slice(int(numbers[first]), int(numbers[last - 1]) + 1) for first, last in pairwise(firsts)
    ]


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
