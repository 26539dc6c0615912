"""Layers that more than one architecture is built from.

Dimensions: B sentences, N decoder rows, S source, T target, D width, H heads; see `base`.
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from seq2seq_cli.config.relative_positions import source_buckets, target_buckets
from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd.packing import Pairs
from seq2seq_cli.symbols import PAD

Result = TypeVar("Result")


def last_of(results: Iterable[Result]) -> Result:
    """The last of some results; those before it are dropped as they come."""
    [last] = deque(results, maxlen=1)
    return last


class Linear(nn.Linear):
    """A linear layer, through `kernels.autograd`."""

    def forward(self, x: Tensor) -> Tensor:
        return autograd.linear(x, self.weight, self.bias)


class Dropout(nn.Module):
    """Dropout (Srivastava 2014) with a probability that is rounded to a multiple of 1/256.

    The scale follows the rounded probability, so that the expected value stays exact.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.threshold = min(autograd.LEVELS - 1, round(autograd.LEVELS * probability))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.threshold == 0:
            return x
        return autograd.dropout(x, self.threshold)

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + dropout(x), in the dtype of the residual."""
        if not self.training or self.threshold == 0:
            return residual + x.to(residual)
        return autograd.dropout_add(residual, x, self.threshold)

    def extra_repr(self) -> str:
        return f"probability={self.threshold / autograd.LEVELS:.3f}"


class SourceAttention(nn.Module, ABC):
    """Attention to the encoder's outputs. `attention_capture` finds it by this type.

    `weights` takes the inputs of `forward` and returns the attention weights (B, H, Q, S) that
    `forward` uses but need not compute, as a fused kernel does not. The decoder rows of one
    sentence are more queries Q of it.
    """

    is_without_effect = False  # whether it is only computed since other processes compute theirs

    @abstractmethod
    def weights(self, *inputs: Any) -> Tensor:
        """The weights (B, H, Q, S) for the inputs of `forward`."""


def scaled_dot_weights(
    query: Tensor, key: Tensor, mask: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Attention weights (B, H, Q, S) by scaled dot products (Vaswani 2017).

    Queries (B, H, Q, D / H), keys (B, H, S, D / H); the mask is True where one may look. `bias`
    (H, Q + S - 1) is added to the scaled scores, by offset.
    """
    scores = torch.matmul(query * query.size(3) ** -0.5, key.transpose(2, 3))
    if bias is not None:
        scores = scores + autograd.scores_of_offsets(bias, *scores.shape[2:])
    return scores.masked_fill_(~mask, -torch.inf).softmax(dim=3)


class MultiHeadSourceAttention(SourceAttention):
    """Multi-head attention by scaled dot products (Vaswani 2017)."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout  # of attention weights, in training

    def weights(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | Pairs) -> Tensor:
        """Queries (B, H, Q, D / H), keys and values (B, H, S, D / H), mask (B, 1, 1, S)."""
        if isinstance(mask, Pairs):
            query = mask.queries.padded(query.transpose(1, 2)).transpose(1, 2)
            key = mask.keys.padded(key.transpose(1, 2)).transpose(1, 2)
            mask = mask.keys.real()[:, None, None, :]
        return scaled_dot_weights(query, key, mask)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | Pairs) -> Tensor:
        """As `weights` -> (B, H, Q, D / H)."""
        dropout = self.dropout if self.training else 0.0
        return autograd.attention(query, key, value, mask, dropout)


def no_tokens_read(encoded: Tensor) -> Tensor:
    """The count of target tokens read so far, zero, as part of a state: an empty tensor (B, 0, 0).

    The count is the second dimension, so that it is known without waiting for the device.
    """
    return encoded.new_empty(encoded.size(0), 0, 0)


def count_more(read: Tensor, length: int) -> Tensor:
    """The count after `length` more tokens."""
    return read.new_empty(read.size(0), read.size(1) + length, 0)


class LearnedPositions(nn.Module):
    """A learned vector for each position (Gehring 2017); all beyond the last share its vector."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(count, width)

    def forward(self, start: int, length: int) -> Tensor:
        """(length, D) of positions start, start + 1, …"""
        weight = self.embedding.weight
        positions = torch.arange(start, start + length, device=weight.device)
        return cast(Tensor, self.embedding(positions.clamp(max=weight.size(0) - 1)))


class RelativePositions(nn.Module):
    """The bias that each head adds to the score of a token, by its distance (Raffel 2020)."""

    def __init__(self, buckets: int, distance: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(buckets, heads)
        self.buckets, self.distance = buckets, distance

    def of_source(self, length: int) -> Tensor:
        """(H, 2 length - 1): of the offsets 1 - length to length - 1 from a token to another."""
        return self._biases(source_buckets(length, self.buckets, self.distance))

    def of_target(self, start: int, length: int) -> Tensor:
        """As `of_source`, of the tokens from `start` on to all up to the last one.

        (H, start + 2 length - 1); what is added for tokens after a token is of no use.
        """
        groups = target_buckets(start + length, self.buckets, self.distance)
        return self._biases((*groups, *[0] * (length - 1)))

    def _biases(self, groups: Sequence[int]) -> Tensor:
        group = torch.tensor(groups, device=self.embedding.weight.device)
        return cast(Tensor, self.embedding(group)).t()


def to_autocast_dtype(x: Tensor) -> Tensor:
    """x in the dtype of products under autocast: rounded once, not by every layer that reads it."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def source_mask(source: Tensor) -> Tensor:
    """True where a source position (B, S) holds a token, False where it holds PAD."""
    return source != PAD


def sinusoids(
    start: int, length: int, width: int, device: torch.device, form: str = "halves"
) -> Tensor:
    """Sinusoidal position encodings (length, D) of positions start, start + 1, … (Vaswani 2017).

    `form` is as model.sinusoids describes.
    """
    rows = 1 << max(6, start + length - 1).bit_length()  # a few tables serve all lengths
    return _sinusoid_table(rows, width, device, form)[start : start + length]


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)  # training uses it too
def _sinusoid_table(length: int, width: int, device: torch.device, form: str) -> Tensor:
    position = torch.arange(length, device=device, dtype=torch.float32)
    half = (width + 1) // 2
    steps = max(1, half - 1) if form == "tensor2tensor" else half
    rate = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / steps))
    angle = position[:, None] * rate
    if form == "interleaved":
        return torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1)[:, :width]
    return torch.cat((angle.sin(), angle.cos()), dim=1)[:, :width]


def rotations(start: int, length: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, width / 2) of the angles of positions start, … (Su 2021)."""
    return cast(
        tuple[Tensor, Tensor], sinusoids(start, length, width, device).chunk(2, dim=1)[::-1]
    )


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate the dimensions i and i + width / 2 of (N, H, T, width) as pairs by their angles."""
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
