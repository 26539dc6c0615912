"""Copying from the source: attention as a second distribution (See et al. 2017).

A gate, read from the hidden state, says with which probability a piece is taken from the vocabulary
and not from the source. Where a piece stands at several places of the source, their weights add up.

Dimensions: N rows, S source tokens, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_WEIGHT = 1e-9  # of attention, before the logarithm: what is not in the source has none


def mean_attention(captured: Sequence[Sequence[Tensor]]) -> Tensor:
    """The weights (B, Q, S) that are copied by: the mean of what was captured of layers and heads.

    They are scaled to a sum of 1, which those of local-p attention do not have. `captured` are the
    weights (B, H, Q, S) of each layer that aligns words, call by call, as `capture_attention` gives
    them; at least one layer was called.
    """
    layers = [torch.cat(list(calls), dim=2).float().mean(dim=1) for calls in captured if calls]
    return normalised(torch.stack(layers).mean(dim=0))


def normalised(weights: Tensor) -> Tensor:
    """Weights (…, S) scaled to a sum of 1."""
    return weights / weights.sum(dim=-1, keepdim=True).clamp_min(LEAST_WEIGHT)


def with_copies(logits: Tensor, gate: Tensor, weights: Tensor, source: Tensor) -> Tensor:
    """Log-probabilities (N, V) of the next piece, from the vocabulary or copied.

    Logits (N, V), the gate's output (N, 1), attention (N, S) to the source ids (N, S).
    """
    copied = torch.zeros_like(logits).scatter_add_(1, source, weights)
    from_source = F.logsigmoid(-gate) + copied.clamp_min(LEAST_WEIGHT).log()
    return torch.logaddexp(F.logsigmoid(gate) + logits.log_softmax(dim=1), from_source)


def gold_with_copies(
    scores: Tensor, gate: Tensor, weights: Tensor, source: Tensor, gold: Tensor
) -> Tensor:
    """The same for one piece of each row: log-probabilities (N,) of `gold` (N,).

    Its log-probabilities (N,) in the vocabulary are `scores`.
    """
    copied = (weights * (source == gold[:, None])).sum(dim=1)
    from_source = F.logsigmoid(-gate[:, 0]) + copied.clamp_min(LEAST_WEIGHT).log()
    return torch.logaddexp(F.logsigmoid(gate[:, 0]) + scores, from_source)
