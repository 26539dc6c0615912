"""Keys and values of the target tokens read so far, for self-attention in a decoder.

Dimensions: N decoder rows, H heads, T tokens read, D width of a head.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd.packing import Layout, Pairs
from seq2seq_cli.models.layers import rotations


class Buffer:
    """Keys or values (T, N, H, D), time first: appending moves nothing, and selecting copies once.

    Memory beyond `filled` belongs to the first buffer that appends there. Appending a second time
    to the same buffer copies it, so that a cache is a value although it shares memory.
    """

    def __init__(self, tensor: Tensor, filled: int) -> None:
        self.tensor = tensor
        self.filled = filled

    def append(self, length: int, new: Tensor) -> "Buffer":
        """A buffer with the tokens `new` (any, N, H, D) after the first `length`."""
        end = length + new.size(0)
        if length == 0:
            return Buffer(new, end)
        if torch.is_grad_enabled():
            return Buffer(torch.cat((self.tensor[:length], new)), end)
        if self.filled != length or end > self.tensor.size(0):
            larger = Buffer(self._empty(2 * end, new.size(1)), end)
            larger.tensor[:length] = self.tensor[:length]
        else:
            larger = self
            self.filled = end
        larger.tensor[length:end] = new
        return larger

    def first(self, length: int) -> Tensor:
        """The first `length` tokens; if these are all, without a copy of their gradients."""
        return self.tensor if self.tensor.size(0) == length else self.tensor[:length]

    def select(self, length: int, rows: Tensor) -> "Buffer":
        """A buffer with the first `length` tokens of these rows."""
        if torch.is_grad_enabled():
            return Buffer(self.tensor[:length].index_select(1, rows), length)
        selected = self._empty(max(length + 1, self.tensor.size(0)), rows.size(0))
        torch.index_select(self.tensor[:length], 1, rows, out=selected[:length])
        return Buffer(selected, length)

    def _empty(self, length: int, rows: int) -> Tensor:
        return self.tensor.new_empty(length, rows, *self.tensor.shape[2:])


@dataclass(frozen=True)
class Cache:
    """Keys and values of self-attention. Appending and selecting rows make a new cache."""

    keys: Buffer
    values: Buffer
    length: int = 0  # T

    @classmethod
    def empty(cls, like: Tensor, heads: int, width: int) -> "Cache":
        """The cache before the first token, with the rows, dtype and device of a tensor (N, …)."""
        nothing = like.new_empty(0, like.size(0), heads, width)
        return cls(Buffer(nothing, 0), Buffer(nothing, 0))

    def select(self, rows: Tensor) -> "Cache":
        """Gather rows."""
        keys = self.keys.select(self.length, rows)
        return Cache(keys, self.values.select(self.length, rows), self.length)

    def rotations(self, count: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """The rotations of so many new tokens, see `layers.rotations`."""
        return rotations(self.length, count, width, device)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        dropout: float = 0.0,
        bias: Tensor | None = None,
    ) -> tuple[Tensor, "Cache"]:
        """Let new tokens (N, H, any, D) attend to all before them and to themselves.

        `dropout` is the probability for weights, and `bias` (H, any + T - 1) is added to scores by
        offset. Returns (N, H, any, D), and the cache with the new tokens.
        """
        count = query.size(2)
        length = self.length + count
        after = Cache(
            self.keys.append(self.length, key.permute(2, 0, 1, 3)),
            self.values.append(self.length, value.permute(2, 0, 1, 3)),
            length,
        )
        keys, values = after.keys.first(length), after.values.first(length)
        if count == 1 and not torch.is_grad_enabled():
            return _attend_once(query, keys, values, bias), after
        mask = None
        if self.length and count > 1:
            mask = query.new_ones(count, length, dtype=torch.bool).tril(self.length)
        attended = autograd.attention(
            query,
            keys.permute(1, 2, 0, 3),
            values.permute(1, 2, 0, 3),
            mask,
            dropout,
            causal=not self.length,
            bias=bias,
        )
        return attended, after


@dataclass(frozen=True)
class PackedTarget:
    """Stands for a cache when whole packed targets are read at once, in training."""

    layout: Layout
    rotation: tuple[Tensor, Tensor] | None

    def rotations(
        self, count: int, width: int, device: torch.device
    ) -> tuple[Tensor, Tensor] | None:
        """The rotations of all tokens."""
        return self.rotation

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, dropout: float, bias: Tensor | None = None
    ) -> tuple[Tensor, "PackedTarget"]:
        """Let each token (1, H, N, D) attend to the tokens up to it in its sentence."""
        pairs = Pairs(self.layout, self.layout)
        attended = autograd.attention(query, key, value, pairs, dropout, causal=True, bias=bias)
        return attended, self

    def select(self, rows: Tensor) -> "PackedTarget":
        raise NotImplementedError("a whole target is read at once; search uses Cache")


def _attend_once(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """Attention of one token (N, H, 1, D) to keys and values (T, N, H, D), with a bias (H, T).

    By products of vectors and matrices, which take half the time of the fused kernel on a CPU: that
    is made for many queries.
    """
    rows, heads, _, width = query.shape
    each = rows * heads
    length = keys.size(0)
    flat_keys = keys.reshape(length, each, width).permute(1, 2, 0)
    flat_values = values.reshape(length, each, width).transpose(0, 1)
    scores = torch.bmm(query.reshape(each, 1, width), flat_keys).mul_(1 / math.sqrt(width))
    if bias is not None:
        scores.view(rows, heads, 1, length).add_(bias[:, None])
    return torch.bmm(scores.softmax(dim=2), flat_values).view(rows, heads, 1, width)
