"""Attention of an RNN's decoder to the source: score functions, and local attention.

Each kind has `keys` and `values`, computed once for each sentence, and `forward`, computed for
every target position. The decoder rows of a sentence are more queries of it.

Dimensions: B sentences, Q queries of each, S source positions, U units, H heads.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq_cli.config.models import AttentionRnnConfig, ScoreName
from seq2seq_cli.kernels import autograd
from seq2seq_cli.models.layers import Linear, SourceAttention, join_heads, split_heads


class Window(nn.Module):
    """Local attention (Luong 2015): only positions around a centre can be attended to.

    local-m takes the target position as the centre; local-p predicts the centre, and multiplies
    weights by a Gaussian around it. The centre is inside the sentence, so a window is never empty.
    """

    def __init__(self, config: AttentionRnnConfig) -> None:
        super().__init__()
        self.reach = config.window
        self.predictive = config.scope == "local-p"
        if self.predictive:
            self.inner = Linear(config.units, config.units, bias=False)
            self.outer = Linear(config.units, 1, bias=False)

    def distance(self, query: Tensor, mask: Tensor, position: Tensor) -> Tensor:
        """The distance of each source position from the centre, (B, Q, S).

        Queries (B, Q, U), mask (B, S), target positions (Q,).
        """
        last = mask.sum(dim=1)[:, None] - 1.0
        if self.predictive:
            share = torch.sigmoid(self.outer(torch.tanh(self.inner(query))))[..., 0]
            centre = last * share.float()
        else:
            centre = torch.minimum(position.float()[None, :], last)
        positions = torch.arange(mask.size(1), device=mask.device)
        return positions - centre[..., None]

    def gaussian(self, distance: Tensor) -> Tensor:
        """The factors of weights; the standard deviation is half the reach (Luong 2015)."""
        return torch.exp(-2.0 * (distance / self.reach) ** 2)


class Attention(SourceAttention):
    """A sum of the encoder's outputs, weighted by the softmax of a score."""

    def __init__(self, config: AttentionRnnConfig) -> None:
        super().__init__()
        self.window = None if config.scope == "global" else Window(config)

    def keys(self, encoded: Tensor) -> Tensor:
        """Encoder outputs (B, S, U) -> the keys that `scores` compares queries with."""
        return encoded

    def values(self, encoded: Tensor) -> Tensor:
        """Encoder outputs (B, S, U) -> the values that are summed."""
        return encoded

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """Queries (B, Q, U) -> (B, H, Q, S); there is one head, except in multi-head attention."""
        raise NotImplementedError

    def weights(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, position: Tensor
    ) -> Tensor:
        """Queries (B, Q, U), mask (B, S), target positions (Q,) -> weights (B, H, Q, S)."""
        scores = self.scores(query, keys)
        visible = mask[:, None, None, :]
        if self.window is None:
            return scores.masked_fill(~visible, -torch.inf).softmax(dim=3)
        distance = self.window.distance(query, mask, position)[:, None]  # (B, 1, Q, S)
        visible = visible & (distance.abs() <= self.window.reach)
        weights = scores.masked_fill(~visible, -torch.inf).softmax(dim=3)
        if self.window.predictive:
            weights = weights * self.window.gaussian(distance).to(weights)
        return weights

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, position: Tensor
    ) -> Tensor:
        """As `weights`, and values (B, S, U) -> contexts (B, Q, U)."""
        weights = self.weights(query, keys, values, mask, position)
        return torch.matmul(weights[:, 0].to(values), values)


class AdditiveAttention(Attention):
    """v . tanh(W query + U key) (Bahdanau 2015)."""

    def __init__(self, config: AttentionRnnConfig) -> None:
        super().__init__(config)
        self.query_weight = Linear(config.units, config.units)
        self.key_weight = Linear(config.units, config.units, bias=False)
        self.score = Linear(config.units, 1, bias=False)

    def keys(self, encoded: Tensor) -> Tensor:
        return cast(Tensor, self.key_weight(encoded))

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        joined = self.query_weight(query)[:, :, None] + keys[:, None]  # (B, Q, S, U)
        return cast(Tensor, self.score(torch.tanh(joined)))[:, None, ..., 0]


class DotAttention(Attention):
    """query . key (Luong 2015), or divided by the square root of the width (Vaswani 2017)."""

    def __init__(self, config: AttentionRnnConfig) -> None:
        super().__init__(config)
        self.scale = config.units**-0.5 if config.score == "scaled-dot" else 1.0

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return torch.matmul(query, keys.transpose(1, 2))[:, None] * self.scale

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, position: Tensor
    ) -> Tensor:
        if self.window is not None:
            return super().forward(query, keys, values, mask, position)
        return autograd.attention(
            query[:, None], keys[:, None], values[:, None], mask[:, None, None, :], scale=self.scale
        )[:, 0]


class GeneralAttention(DotAttention):
    """query . W key (Luong 2015); W is applied to the keys, once for each sentence."""

    def __init__(self, config: AttentionRnnConfig) -> None:
        super().__init__(config)
        self.weight = Linear(config.units, config.units, bias=False)

    def keys(self, encoded: Tensor) -> Tensor:
        return cast(Tensor, self.weight(encoded))


class LocationAttention(Attention):
    """W query: a score for each source position, whatever token is there (Luong 2015).

    Positions beyond `location_length` are never attended to.
    """

    def __init__(self, config: AttentionRnnConfig) -> None:
        super().__init__(config)
        self.weight = Linear(config.units, config.location_length, bias=False)

    def keys(self, encoded: Tensor) -> Tensor:
        return encoded[..., :0]  # only the number of positions counts

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        scores = self.weight(query)[:, None]
        beyond = keys.size(1) - scores.size(3)
        return F.pad(scores, (0, beyond), value=-torch.inf)  # a negative number cuts off


class ContentAttention(Attention):
    """The cosine of query and key, times a strength read from the query (Graves 2014)."""

    def __init__(self, config: AttentionRnnConfig) -> None:
        super().__init__(config)
        self.strength = Linear(config.units, 1)

    def keys(self, encoded: Tensor) -> Tensor:
        return F.normalize(encoded, dim=2)

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        cosine = torch.matmul(F.normalize(query, dim=2), keys.transpose(1, 2))
        # A cosine is at most 1: from a strength of 8 on, one position can have most of the weight.
        return (cosine * (8 + F.softplus(self.strength(query))))[:, None]


class MultiHeadAttention(Attention):
    """Scaled dot products in several projections at once (Vaswani 2017)."""

    def __init__(self, config: AttentionRnnConfig) -> None:
        super().__init__(config)
        self.heads = config.heads
        self.query_weight = Linear(config.units, config.units)
        self.key_weight = Linear(config.units, config.units)
        self.value_weight = Linear(config.units, config.units)
        self.output = Linear(config.units, config.units)

    def keys(self, encoded: Tensor) -> Tensor:
        return cast(Tensor, self.key_weight(encoded))

    def values(self, encoded: Tensor) -> Tensor:
        return cast(Tensor, self.value_weight(encoded))

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        queries = split_heads(self.query_weight(query), self.heads)
        key_heads = split_heads(keys, self.heads)
        return torch.matmul(queries, key_heads.transpose(2, 3)) / math.sqrt(queries.size(3))

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, position: Tensor
    ) -> Tensor:
        value_heads = split_heads(values, self.heads)
        if self.window is None:
            context = autograd.attention(
                split_heads(self.query_weight(query), self.heads),
                split_heads(keys, self.heads),
                value_heads,
                mask[:, None, None, :],
            )
        else:
            weights = self.weights(query, keys, values, mask, position)
            context = torch.matmul(weights.to(value_heads), value_heads)
        return cast(Tensor, self.output(join_heads(context)))


SCORES: dict[ScoreName, type[Attention]] = {
    "additive": AdditiveAttention,
    "dot": DotAttention,
    "scaled-dot": DotAttention,
    "general": GeneralAttention,
    "location-base": LocationAttention,
    "content-base": ContentAttention,
    "multi-head": MultiHeadAttention,
}
