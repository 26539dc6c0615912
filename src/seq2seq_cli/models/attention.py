"""Score functions of recurrent attention: how well a target position fits a source position.

Each has `keys`, done once a sentence, and `attend`, done for every target position. Rows of one
sentence are further queries: B sentences, Q queries of each, S source positions, U units.
"""

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ScoreName = Literal["dot", "scaled-dot", "general", "additive"]


class Attention(nn.Module):
    """Weighs the encoder's outputs by a score and sums them."""

    def keys(self, encoded: Tensor) -> Tensor:
        """(B, S, U) -> what scores compare queries with."""
        return encoded

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Queries (B, Q, U), values (B, S, U), mask (B, S) -> contexts (B, Q, U)."""
        raise NotImplementedError


class DotAttention(Attention):
    """query . key (Luong 2015), or that over the root of the width (Vaswani 2017)."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(
            query[:, None], keys[:, None], values[:, None], mask[:, None, None, :], scale=self.scale
        )[:, 0]


class GeneralAttention(DotAttention):
    """query . W key (Luong 2015); W is applied to the keys, once a sentence."""

    def __init__(self, units: int) -> None:
        super().__init__(scale=1.0)
        self.weight = nn.Linear(units, units, bias=False)

    def keys(self, encoded: Tensor) -> Tensor:
        return cast(Tensor, self.weight(encoded))


class AdditiveAttention(Attention):
    """v . tanh(W query + U key) (Bahdanau 2015)."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.query_weight = nn.Linear(units, units)
        self.key_weight = nn.Linear(units, units, bias=False)
        self.score = nn.Linear(units, 1, bias=False)

    def keys(self, encoded: Tensor) -> Tensor:
        return cast(Tensor, self.key_weight(encoded))

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        joined = self.query_weight(query)[:, :, None] + keys[:, None]  # (B, Q, S, U)
        scores = self.score(torch.tanh(joined))[..., 0]
        weights = scores.masked_fill(~mask[:, None, :], -torch.inf).softmax(dim=2)
        return torch.matmul(weights, values)


def attention(name: ScoreName, units: int) -> Attention:
    """The attention with this score function; `units` is the width of queries and keys."""
    if name == "additive":
        return AdditiveAttention(units)
    if name == "general":
        return GeneralAttention(units)
    return DotAttention(scale=1.0 if name == "dot" else 1 / math.sqrt(units))
