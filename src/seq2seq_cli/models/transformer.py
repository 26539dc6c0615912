"""The Transformer: multi-head self-attention on both sides (Vaswani et al. 2017).

Dimensions: B sentences, N decoder rows, S source, T target, D width, H heads; see `base`.
"""

import math
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq_cli.config import require
from seq2seq_cli.models.base import ModelConfig, TranslationModel, Tree, Vocabulary
from seq2seq_cli.models.layers import Dropout, join_heads, sinusoids, source_mask, split_heads


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """Settings of the Transformer; depths are in layers."""

    architecture: Literal["transformer"] = "transformer"
    encoder_layers: int = 3
    decoder_layers: int = 3
    heads: int = 4
    feed_forward: int = 1024  # inner width of the position-wise layers
    norm: Literal["pre", "post"] = "pre"  # pre-norm trains without care (Xiong 2020)
    activation: Literal["relu", "gelu"] = "relu"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("encoder_layers", "decoder_layers", "heads", "feed_forward"):
            value = getattr(self, name)
            require(value >= 1, f"model.{name} = {value}: 1 or more is allowed")
        require(
            self.width % self.heads == 0,
            f"model.width = {self.width} cannot be split over model.heads = {self.heads}; "
            "choose a width that is a multiple of the heads",
        )


class SelfAttention(nn.Module):
    """Attention of a sequence to itself; queries, keys and values come from one product."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.output = nn.Linear(config.width, config.width)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, D) -> queries, keys and values, each (N, H, T, D / H)."""
        query, key, value = self.query_key_value(x).chunk(3, dim=-1)
        return (
            split_heads(query, self.heads),
            split_heads(key, self.heads),
            split_heads(value, self.heads),
        )

    def encoder(self, x: Tensor, mask: Tensor) -> Tensor:
        """Every position sees every token: (B, S, D), mask (B, 1, 1, S) -> (B, S, D)."""
        query, key, value = self.project(x)
        return cast(
            Tensor,
            self.output(
                join_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=mask))
            ),
        )

    def decoder(self, x: Tensor, state: Tree) -> tuple[Tensor, Tree]:
        """Every position sees the past: (N, T, D), keys and values -> (N, T, D), both grown."""
        past_key, past_value = cast(tuple[Tensor, Tensor], state)
        query, key, value = self.project(x)
        past, length = past_key.size(2), x.size(1)
        if past:
            key = torch.cat((past_key, key), dim=2)
            value = torch.cat((past_value, value), dim=2)
        mask = None
        if past and length > 1:
            mask = x.new_ones(length, past + length, dtype=torch.bool).tril(past)
        attended = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=past == 0 and length > 1
        )
        return self.output(join_heads(attended)), (key, value)


class CrossAttention(nn.Module):
    """Attention of target positions to the encoder's outputs."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key_value = nn.Linear(config.width, 2 * config.width)
        self.output = nn.Linear(config.width, config.width)

    def memory(self, encoded: Tensor) -> Tree:
        """(B, S, D) -> keys and values, each (B, H, S, D / H)."""
        key, value = self.key_value(encoded).chunk(2, dim=-1)
        return split_heads(key, self.heads).contiguous(), split_heads(
            value, self.heads
        ).contiguous()

    def forward(self, x: Tensor, memory: Tree, mask: Tensor) -> Tensor:
        """(N, T, D), mask (B, 1, 1, S) -> (N, T, D). Beams are more queries of their sentence."""
        key, value = cast(tuple[Tensor, Tensor], memory)
        rows, length, width = x.shape
        query = split_heads(self.query(x).view(key.size(0), -1, width), self.heads)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return cast(Tensor, self.output(join_heads(attended).view(rows, length, width)))


class FeedForward(nn.Module):
    """Two linear layers, applied to every position alike."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.width, config.feed_forward)
        self.outer = nn.Linear(config.feed_forward, config.width)
        self.activation = F.relu if config.activation == "relu" else F.gelu
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.outer(self.dropout(self.activation(self.inner(x)))))


class Sublayer(nn.Module):
    """The residual connection, norm and dropout around an attention or feed-forward layer."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.pre = config.norm == "pre"
        self.norm = nn.LayerNorm(config.width)
        self.dropout = Dropout(config.dropout)

    def enter(self, x: Tensor) -> Tensor:
        """What the layer reads."""
        return self.norm(x) if self.pre else x

    def leave(self, x: Tensor, result: Tensor) -> Tensor:
        """What the next layer gets."""
        x = x + self.dropout(result)
        return x if self.pre else self.norm(x)


class EncoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_sublayer = Sublayer(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_sublayer = Sublayer(config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, S, D), mask (B, 1, 1, S) -> (B, S, D)."""
        attended = self.attention.encoder(self.attention_sublayer.enter(x), mask)
        x = self.attention_sublayer.leave(x, attended)
        fed = self.feed_forward(self.feed_forward_sublayer.enter(x))
        return self.feed_forward_sublayer.leave(x, fed)


class DecoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = SelfAttention(config)
        self.self_sublayer = Sublayer(config)
        self.cross_attention = CrossAttention(config)
        self.cross_sublayer = Sublayer(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_sublayer = Sublayer(config)

    def forward(self, x: Tensor, state: Tree, memory: Tree, mask: Tensor) -> tuple[Tensor, Tree]:
        """(N, T, D) -> (N, T, D) and the state after it."""
        attended, state = self.self_attention.decoder(self.self_sublayer.enter(x), state)
        x = self.self_sublayer.leave(x, attended)
        crossed = self.cross_attention(self.cross_sublayer.enter(x), memory, mask)
        x = self.cross_sublayer.leave(x, crossed)
        fed = self.feed_forward(self.feed_forward_sublayer.enter(x))
        return self.feed_forward_sublayer.leave(x, fed), state


class Transformer(TranslationModel):
    """Vaswani et al. 2017, "Attention is all you need".

    Memory: the mask (B, 1, 1, S), then keys and values (B, H, S, D / H) of each decoder layer.
    State: keys and values (N, H, T so far, D / H) of each decoder layer.
    """

    Config = TransformerConfig

    def __init__(self, config: TransformerConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.scale = math.sqrt(config.width)
        self.dropout = Dropout(config.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        pre = config.norm == "pre"  # pre-norm leaves the last layer's sum to be normed here
        self.encoder_norm = nn.LayerNorm(config.width) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(config.width) if pre else nn.Identity()
        self.head_width = config.width // config.heads
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            if "embedding" in name:
                nn.init.normal_(parameter, std=parameter.size(1) ** -0.5)
            else:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def _embed(self, embedding: nn.Module, ids: Tensor, start: int) -> Tensor:
        """(N, T) ids at positions start, start + 1, … -> (N, T, D)."""
        x = embedding(ids) * self.scale
        return cast(
            Tensor, self.dropout(x + sinusoids(start, ids.size(1), x.size(2), ids.device).to(x))
        )

    def encode(self, source: Tensor) -> tuple[Tree, Tree]:
        mask = source_mask(source)[:, None, None, :]
        x = self._embed(self.source_embedding, source, 0)
        for layer in self.encoder:
            x = layer(x, mask)
        x = self.encoder_norm(x)
        layers = cast(list[DecoderLayer], list(self.decoder))
        empty = x.new_empty(x.size(0), layers[0].self_attention.heads, 0, self.head_width)
        memory = (mask, *(layer.cross_attention.memory(x) for layer in layers))
        return memory, tuple((empty, empty) for _ in layers)

    def decode(self, target: Tensor, state: Tree, memory: Tree) -> tuple[Tensor, Tree]:
        mask, *memories = cast(tuple[Tensor, Tree], memory)
        states = cast(tuple[tuple[Tensor, Tensor], ...], state)
        x = self._embed(self.target_embedding, target, states[0][0].size(2))
        after = []
        for layer, layer_state, layer_memory in zip(self.decoder, states, memories, strict=True):
            x, grown = layer(x, layer_state, layer_memory, mask)
            after.append(grown)
        return self.decoder_norm(x), tuple(after)
