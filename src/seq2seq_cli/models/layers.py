"""Layers that more than one architecture is built from.

Dimensions: B sentences, N decoder rows, S source, T target, D width, H heads; see `base`.
"""

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd.packing import Pairs
from seq2seq_cli.symbols import PAD


class Linear(nn.Linear):
    """A linear layer whose products in bfloat16 on a CPU have few shapes, see `products`."""

    def forward(self, x: Tensor) -> Tensor:
        return autograd.linear(x, self.weight, self.bias)


class Dropout(nn.Module):
    """Dropout (Srivastava 2014) that on a CPU draws one random byte an element.

    Random numbers are most of dropout's cost there. The probability is rounded to 1/256 and the
    scale follows the rounded one, so that the expected value stays exact.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.threshold = min(autograd.LEVELS - 1, round(autograd.LEVELS * probability))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.threshold == 0:
            return x
        return autograd.dropout(x, self.threshold)

    def added(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + dropout(x), in the type of the residual."""
        if not self.training or self.threshold == 0:
            return residual + x.to(residual)
        return autograd.dropout_add(residual, x, self.threshold)

    def extra_repr(self) -> str:
        return f"probability={self.threshold / autograd.LEVELS:.3f}"


class SourceAttention(nn.Module, ABC):
    """What looks at the encoder's outputs. Inspection finds it by this type.

    `weights` takes what `forward` takes and returns the weights (B, H, Q, S) that `forward` sums
    with, without needing to compute them: forward may use a fused kernel, which never has them.
    Rows of one sentence are further queries Q.
    """

    @abstractmethod
    def weights(self, *inputs: Any) -> Tensor:
        """The weights (B, H, Q, S) for the inputs of `forward`."""


class HeadedSourceAttention(SourceAttention):
    """Scaled dot-product attention with heads (Vaswani 2017), through the fused kernel."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout  # of weights, in training

    def weights(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | Pairs) -> Tensor:
        """Queries (B, H, Q, D / H), keys and values (B, H, S, D / H), mask (B, 1, 1, S)."""
        if isinstance(mask, Pairs):
            query = mask.queries.padded(query.transpose(1, 2)).transpose(1, 2)
            key = mask.keys.padded(key.transpose(1, 2)).transpose(1, 2)
            mask = mask.keys.real()[:, None, None, :]
        scores = torch.matmul(query * query.size(3) ** -0.5, key.transpose(2, 3))
        return scores.masked_fill_(~mask, -torch.inf).softmax(dim=3)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | Pairs) -> Tensor:
        """As `weights` -> (B, H, Q, D / H)."""
        dropout = self.dropout if self.training else 0.0
        return autograd.attention(query, key, value, mask, dropout)


def nothing_read(encoded: Tensor) -> Tensor:
    """The count of target tokens read so far, as part of a state: rows (B, 0, 0) of no size.

    The count is the second dimension. So it is known without asking the device, and takes no room.
    """
    return encoded.new_empty(encoded.size(0), 0, 0)


def read_more(read: Tensor, length: int) -> Tensor:
    """The count after `length` more tokens."""
    return read.new_empty(read.size(0), read.size(1) + length, 0)


class LearnedPositions(nn.Module):
    """A learned vector for each position (Gehring 2017); those beyond the last share its vector."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(count, width)

    def forward(self, start: int, length: int) -> Tensor:
        """(length, D) of positions start, start + 1, …"""
        weight = self.embedding.weight
        places = torch.arange(start, start + length, device=weight.device)
        return cast(Tensor, self.embedding(places.clamp(max=weight.size(0) - 1)))


def as_computed(x: Tensor) -> Tensor:
    """Vectors in the type of products under autocast: rounded once, not by each that reads them."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def source_mask(source: Tensor) -> Tensor:
    """True where a source position (B, S) holds a token, False where it holds PAD."""
    return source != PAD


def sinusoids(start: int, length: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal position encodings (length, D) of positions start, start + 1, … (Vaswani 2017)."""
    most = 1 << max(6, start + length - 1).bit_length()  # few tables serve all lengths
    return _sinusoid_table(most, width, device)[start : start + length]


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)  # training uses it too
def _sinusoid_table(length: int, width: int, device: torch.device) -> Tensor:
    position = torch.arange(length, device=device, dtype=torch.float32)
    half = (width + 1) // 2
    rate = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / half))
    angle = position[:, None] * rate
    return torch.cat((angle.sin(), angle.cos()), dim=1)[:, :width]


def rotations(start: int, length: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, width / 2) of the angles of positions start, … (Su 2021)."""
    return cast(
        tuple[Tensor, Tensor], sinusoids(start, length, width, device).chunk(2, dim=1)[::-1]
    )


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the pairs of dimensions i and i + width / 2 of (N, H, T, width) by their angles."""
    first, second = x.chunk(2, dim=3)
    cosine, sine = cosine.to(x), sine.to(x)
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=3)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, T, D) -> (N, H, T, D / H)."""
    rows, length, width = x.shape
    return x.view(rows, length, heads, width // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(N, H, T, D / H) -> (N, T, D)."""
    rows, heads, length, width = x.shape
    return x.transpose(1, 2).reshape(rows, length, heads * width)
