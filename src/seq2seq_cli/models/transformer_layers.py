"""The layers of the Transformer: attention, feed-forward, norms and residual connections.

Dimensions: B sentences, N decoder rows, S source, T target, D width, H heads; see `base`.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq_cli.config.models import Scaling, TransformerConfig
from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd.packing import Pairs
from seq2seq_cli.models.base import State
from seq2seq_cli.models.fast_decoders import AverageAttention, SimplerRecurrentUnit
from seq2seq_cli.models.kv_cache import Cache, PackedTarget
from seq2seq_cli.models.layers import (
    Dropout,
    Linear,
    MultiHeadSourceAttention,
    join_heads,
    rotate,
    rotations,
    scaled_dot_weights,
    split_heads,
)

Rotations = tuple[Tensor, Tensor]  # cosines and sines, each (T, D / H / 2)
Mask = Tensor | Pairs  # the source tokens to attend to; for packed sentences, their layouts
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu-tanh": partial(F.gelu, approximate="tanh"),
    "gelu-sigmoid": lambda x: x * torch.sigmoid(1.702 * x),
    "swish": F.silu,
    "swiglu": F.silu,
    "geglu": partial(F.gelu, approximate="tanh"),
}


class SelfAttention(nn.Module):
    """Attention of a sequence to itself; queries, keys and values come from one product."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        attended, bias = config.attention_width, config.linear_bias
        self.query_key_value = Linear(config.width, 3 * attended, bias)
        self.output = Linear(attended, config.width, bias)
        self.attention_dropout = config.attention_dropout

    def dropout(self) -> float:
        """The probability of dropping an attention weight: 0 outside training."""
        return self.attention_dropout if self.training else 0.0

    def project(self, x: Tensor, rotation: Rotations | None) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, D) -> queries, keys and values, each (N, H, T, D / H)."""
        query, key, value = (
            split_heads(each, self.heads) for each in autograd.split(self.query_key_value(x), 3)
        )
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        return query, key, value

    def join(self, heads: Tensor) -> Tensor:
        """(N, H, T, D / H) -> (N, T, D)."""
        return cast(Tensor, self.output(join_heads(heads)))

    def forward(
        self, x: Tensor, mask: Mask, rotation: Rotations | None, bias: Tensor | None
    ) -> Tensor:
        """Let each token attend to all tokens.

        (B, S, D), mask (B, 1, 1, S), bias of scores (H, 2 S - 1) -> (B, S, D).
        """
        query, key, value = self.project(x, rotation)
        attended = autograd.attention(query, key, value, mask, self.dropout(), bias=bias)
        return self.join(attended)

    def weights(
        self, x: Tensor, mask: Tensor, rotation: Rotations | None, bias: Tensor | None
    ) -> Tensor:
        """The attention weights (B, H, S, S) that `forward` uses."""
        query, key, _ = self.project(x, rotation)
        return scaled_dot_weights(query, key, mask, bias)


class CausalAttention(SelfAttention):
    """Self-attention to the past, for the decoder. State: a cache of keys and values."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.head_width = config.key_width
        self.rotary = config.positions == "rotary"

    def start(self, encoded: Tensor) -> State:
        """The state before the first token, for the encoder's outputs (B, S, D)."""
        return Cache.empty(encoded, self.heads, self.head_width)

    def forward(  # type: ignore[override]
        self, x: Tensor, state: State, bias: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """(N, T, D), bias of scores by offset (H, T + tokens - 1) -> (N, T, D), and the state."""
        cache = cast(Cache | PackedTarget, state)
        rotation = None
        if self.rotary:
            rotation = cache.rotations(x.size(1), self.head_width, x.device)
        heads, after = cache.attend(*self.project(x, rotation), self.dropout(), bias)
        return self.join(heads), after

    def weights_from_start(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The attention weights (N, H, T, T) that `forward` uses in the state before any token."""
        length = x.size(1)
        rotation = rotations(0, length, self.head_width, x.device) if self.rotary else None
        past = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        return self.weights(x, past, rotation, bias)


class CrossAttention(nn.Module):
    """Attention of target positions to the encoder's outputs."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        attended, bias = config.attention_width, config.linear_bias
        self.query = Linear(config.width, attended, bias)
        self.key_value = Linear(config.width, 2 * attended, bias)
        self.output = Linear(attended, config.width, bias)
        self.attention = MultiHeadSourceAttention(config.attention_dropout)

    def memory(self, encoded: Tensor) -> State:
        """(B, S, D) -> keys and values, each (B, H, S, D / H)."""
        key, value = (
            split_heads(x, self.heads) for x in autograd.split(self.key_value(encoded), 2)
        )
        if torch.is_grad_enabled():
            return key, value
        return key.contiguous(), value.contiguous()  # they are read at every step

    def forward(self, x: Tensor, memory: State, mask: Mask) -> Tensor:
        """(N, T, D), mask (B, 1, 1, S) -> (N, T, D). A beam's rows are more queries."""
        key, value = cast(tuple[Tensor, Tensor], memory)
        rows, length, _ = x.shape
        query = self.query(x)
        query = split_heads(query.view(key.size(0), -1, query.size(2)), self.heads)
        attended = join_heads(self.attention(query, key, value, mask))
        return cast(Tensor, self.output(attended.view(rows, length, attended.size(2))))


class FeedForward(nn.Module):
    """The feed-forward layer: two linear layers, applied to every position alike.

    With swiglu and geglu the first one has a gate (Shazeer 2020).
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gated, bias = config.is_gated, config.linear_bias
        self.inner = Linear(config.width, config.feed_forward * (2 if self.gated else 1), bias)
        self.outer = Linear(config.feed_forward, config.width, bias)
        self.activation = ACTIVATIONS[config.activation]
        inner = config.activation_dropout
        self.dropout = Dropout(config.dropout if inner == "auto" else inner)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        if self.activation is F.relu:
            threshold = self.dropout.threshold if self.training else 0
            return autograd.feed_forward(x, self.inner, self.outer, threshold)
        if self.gated:
            gate, inner = self.inner(x).chunk(2, dim=-1)
            between = self.activation(gate) * inner
        else:
            between = self.activation(self.inner(x))
        return cast(Tensor, self.outer(self.dropout(between)))


class LayerNorm(nn.LayerNorm):
    """LayerNorm (Ba 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        return autograd.norm(x, self.weight, self.bias, self.eps)


class RootMeanSquareNorm(nn.RMSNorm):
    """RMSNorm (Zhang 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        return autograd.norm(x, self.weight, None, cast(float, self.eps))


def normalisation(config: TransformerConfig) -> nn.Module:
    """Make the norm that the settings name, over the width."""
    if config.normalisation == "rms":
        return RootMeanSquareNorm(config.width, eps=config.norm_epsilon)
    return LayerNorm(config.width, eps=config.norm_epsilon)


class Sublayer(nn.Module):
    """The residual connection, norm and dropout around an attention or feed-forward layer."""

    def __init__(self, config: TransformerConfig, scale: float) -> None:
        super().__init__()
        self.pre = config.norm == "pre"
        self.scale = scale  # of the residual
        self.norm = normalisation(config)
        self.dropout = Dropout(config.dropout)

    def enter(self, x: Tensor) -> Tensor:
        """The input of the layer, normed if norms come first."""
        return cast(Tensor, self.norm(x)) if self.pre else x

    def leave(self, x: Tensor, result: Tensor) -> Tensor:
        """The residual connection: the input x of the sublayer plus the result of its layer."""
        if self.scale != 1.0:
            x = x * self.scale
        x = self.dropout.add(x, result)
        return x if self.pre else cast(Tensor, self.norm(x))


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward layer."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        scale = Scaling.of(config).encoder_residual
        self.attention = SelfAttention(config)
        self.attention_sublayer = Sublayer(config, scale)
        self.feed_forward = FeedForward(config)
        self.feed_forward_sublayer = Sublayer(config, scale)

    def forward(
        self, x: Tensor, mask: Mask, rotation: Rotations | None, bias: Tensor | None
    ) -> Tensor:
        """(B, S, D), mask (B, 1, 1, S), bias of scores (H, 2 S - 1) -> (B, S, D)."""
        attended = self.attention(self.attention_sublayer.enter(x), mask, rotation, bias)
        x = self.attention_sublayer.leave(x, attended)
        fed = self.feed_forward(self.feed_forward_sublayer.enter(x))
        return self.feed_forward_sublayer.leave(x, fed)


def decoder_attention(config: TransformerConfig) -> nn.Module:
    """Make the attention to the past, or its replacement, that the settings name."""
    if config.decoder_attention == "average":
        return AverageAttention(config.width, config.feed_forward, config.dropout)
    if config.decoder_attention == "ssru":
        return SimplerRecurrentUnit(config.width)
    return CausalAttention(config)


class DecoderLayer(nn.Module):
    """Attention to the past, attention to the source, and a feed-forward layer."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        scale = Scaling.of(config).decoder_residual
        self.self_attention = decoder_attention(config)
        self.self_sublayer = Sublayer(config, scale)
        self.cross_attention = CrossAttention(config)
        self.cross_sublayer = Sublayer(config, scale)
        self.feed_forward = FeedForward(config)
        self.feed_forward_sublayer = Sublayer(config, scale)

    def forward(
        self, x: Tensor, state: State, memory: State, mask: Mask, bias: Tensor | None
    ) -> tuple[Tensor, State]:
        """(N, T, D), bias of self-attention (H, T + tokens - 1) -> (N, T, D) and the state."""
        entered = self.self_sublayer.enter(x)
        if bias is None:  # what replaces self-attention takes none
            attended, state = self.self_attention(entered, state)
        else:
            attended, state = self.self_attention(entered, state, bias)
        x = self.self_sublayer.leave(x, attended)
        crossed = self.cross_attention(self.cross_sublayer.enter(x), memory, mask)
        x = self.cross_sublayer.leave(x, crossed)
        fed = self.feed_forward(self.feed_forward_sublayer.enter(x))
        return self.feed_forward_sublayer.leave(x, fed), state


def scale_weights(module: nn.Module, factor: float) -> None:
    """Scale the weights that DeepNorm scales: feed-forward, value and output projections."""
    if factor == 1.0:
        return
    if isinstance(module, FeedForward):
        module.inner.weight.mul_(factor)
        module.outer.weight.mul_(factor)
    elif isinstance(module, SelfAttention):
        module.query_key_value.weight.chunk(3)[2].mul_(factor)
        module.output.weight.mul_(factor)
    elif isinstance(module, CrossAttention):
        module.key_value.weight.chunk(2)[1].mul_(factor)
        module.output.weight.mul_(factor)
