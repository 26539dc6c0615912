"""The Transformer: multi-head self-attention on both sides (Vaswani et al. 2017), and variants.

Dimensions: B sentences, N decoder rows, S source, T target, D width, H heads; see `base`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd.packing import Layout, Pairs, layouts
from seq2seq_cli.models.base import State, TranslationModel, Vocabulary
from seq2seq_cli.models.fast_decoders import AverageAttention, SimplerRecurrentUnit
from seq2seq_cli.models.kv_cache import Cache, Whole
from seq2seq_cli.models.layers import (
    Dropout,
    HeadedSourceAttention,
    LearnedPositions,
    Linear,
    as_computed,
    join_heads,
    nothing_read,
    read_more,
    rotate,
    rotations,
    sinusoids,
    source_mask,
    split_heads,
)

Side = Literal["source", "target"]
Rotations = tuple[Tensor, Tensor]  # cosines and sines, each (T, D / H / 2)
Mask = Tensor | Pairs  # which tokens of the source are seen; of packed sentences, which sentences
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "swish": F.silu,
    "swiglu": F.silu,
}


class SelfAttention(nn.Module):
    """Attention of a sequence to itself; queries, keys and values come from one product."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query_key_value = Linear(config.width, 3 * config.width)
        self.output = Linear(config.width, config.width)
        self.attention_dropout = config.attention_dropout

    def dropout(self) -> float:
        """Share of the weights that are dropped now."""
        return self.attention_dropout if self.training else 0.0

    def project(self, x: Tensor, rotation: Rotations | None) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, D) -> queries, keys and values, each (N, H, T, D / H)."""
        query, key, value = (
            split_heads(part, self.heads) for part in autograd.split(self.query_key_value(x), 3)
        )
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        return query, key, value

    def joined(self, heads: Tensor) -> Tensor:
        """(N, H, T, D / H) -> (N, T, D)."""
        return cast(Tensor, self.output(join_heads(heads)))

    def forward(self, x: Tensor, mask: Mask, rotation: Rotations | None) -> Tensor:
        """Every position sees every token: (B, S, D), mask (B, 1, 1, S) -> (B, S, D)."""
        query, key, value = self.project(x, rotation)
        attended = autograd.attention(query, key, value, mask, self.dropout())
        return self.joined(attended)


class CausalAttention(SelfAttention):
    """Self-attention to the past, for the decoder. State: a cache of keys and values."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.head_width = config.width // config.heads
        self.rotary = config.positions == "rotary"

    def start(self, encoded: Tensor) -> State:
        """The state before the first token, for the encoder's outputs (B, S, D)."""
        return Cache.empty(encoded, self.heads, self.head_width)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:  # type: ignore[override]
        """(N, T, D) -> (N, T, D), and the state after it."""
        cache = cast(Cache | Whole, state)
        rotation = None
        if self.rotary:
            rotation = cache.rotations(x.size(1), self.head_width, x.device)
        heads, after = cache.attend(*self.project(x, rotation), self.dropout())
        return self.joined(heads), after


class CrossAttention(nn.Module):
    """Attention of target positions to the encoder's outputs."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = Linear(config.width, config.width)
        self.key_value = Linear(config.width, 2 * config.width)
        self.output = Linear(config.width, config.width)
        self.attention = HeadedSourceAttention(config.attention_dropout)

    def memory(self, encoded: Tensor) -> State:
        """(B, S, D) -> keys and values, each (B, H, S, D / H)."""
        key, value = (
            split_heads(x, self.heads) for x in autograd.split(self.key_value(encoded), 2)
        )
        if torch.is_grad_enabled():
            return key, value
        return key.contiguous(), value.contiguous()  # they are read once a token

    def forward(self, x: Tensor, memory: State, mask: Mask) -> Tensor:
        """(N, T, D), mask (B, 1, 1, S) -> (N, T, D). Beams are more queries of their sentence."""
        key, value = cast(tuple[Tensor, Tensor], memory)
        rows, length, width = x.shape
        query = split_heads(self.query(x).view(key.size(0), -1, width), self.heads)
        attended = self.attention(query, key, value, mask)
        return cast(Tensor, self.output(join_heads(attended).view(rows, length, width)))


class FeedForward(nn.Module):
    """Two linear layers, applied to every position alike."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gated = config.activation == "swiglu"
        self.inner = Linear(config.width, config.feed_forward * (2 if self.gated else 1))
        self.outer = Linear(config.feed_forward, config.width)
        self.activation = ACTIVATIONS[config.activation]
        inner = config.activation_dropout
        self.dropout = Dropout(config.dropout if inner == "auto" else inner)

    def forward(self, x: Tensor) -> Tensor:
        if self.activation is F.relu:
            threshold = self.dropout.threshold if self.training else 0
            return autograd.feed_forward(x, self.inner, self.outer, threshold)
        inner = self.inner(x)
        if self.gated:
            gate, inner = inner.chunk(2, dim=-1)
            inner = self.dropout(self.activation(gate) * inner)
        else:
            inner = self.dropout(self.activation(inner))
        return cast(Tensor, self.outer(inner))


class LayerNorm(nn.LayerNorm):
    """LayerNorm (Ba 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        return autograd.norm(x, self.weight, self.bias, self.eps)


class RootMeanSquareNorm(nn.RMSNorm):
    """RMSNorm (Zhang 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        return autograd.norm(x, self.weight, None, cast(float, self.eps))


def normalisation(config: TransformerConfig) -> nn.Module:
    """The norm that the settings name, over the width."""
    if config.normalisation == "rms":
        return RootMeanSquareNorm(config.width, eps=1e-5)
    return LayerNorm(config.width)


class Sublayer(nn.Module):
    """The residual connection, norm and dropout around an attention or feed-forward layer."""

    def __init__(self, config: TransformerConfig, scale: float) -> None:
        super().__init__()
        self.pre = config.norm == "pre"
        self.scale = scale  # of the residual
        self.norm = normalisation(config)
        self.dropout = Dropout(config.dropout)

    def enter(self, x: Tensor) -> Tensor:
        """What the layer reads."""
        return cast(Tensor, self.norm(x)) if self.pre else x

    def leave(self, x: Tensor, result: Tensor) -> Tensor:
        """What the next layer gets."""
        if self.scale != 1.0:
            x = x * self.scale
        x = self.dropout.added(x, result)
        return x if self.pre else cast(Tensor, self.norm(x))


@dataclass(frozen=True)
class Scaling:
    """Of residuals and of initial weights, for each side."""

    encoder_residual: float = 1.0
    encoder_weight: float = 1.0
    decoder_residual: float = 1.0
    decoder_weight: float = 1.0

    @classmethod
    def of(cls, config: TransformerConfig) -> "Scaling":
        """DeepNorm's (Wang 2022, table 1) for norm = "deep", all 1 otherwise."""
        if config.norm != "deep":
            return cls()
        encoder, decoder = config.encoder_layers, config.decoder_layers
        both = (encoder**4 * decoder) ** (1 / 16)
        return cls(0.81 * both, 0.87 / both, (3 * decoder) ** 0.25, (12 * decoder) ** -0.25)


class EncoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        scale = Scaling.of(config).encoder_residual
        self.attention = SelfAttention(config)
        self.attention_sublayer = Sublayer(config, scale)
        self.feed_forward = FeedForward(config)
        self.feed_forward_sublayer = Sublayer(config, scale)

    def forward(self, x: Tensor, mask: Mask, rotation: Rotations | None) -> Tensor:
        """(B, S, D), mask (B, 1, 1, S) -> (B, S, D)."""
        attended = self.attention(self.attention_sublayer.enter(x), mask, rotation)
        x = self.attention_sublayer.leave(x, attended)
        fed = self.feed_forward(self.feed_forward_sublayer.enter(x))
        return self.feed_forward_sublayer.leave(x, fed)


def past_attention(config: TransformerConfig) -> nn.Module:
    """What a decoder layer looks at its past with."""
    if config.decoder_attention == "average":
        return AverageAttention(config.width, config.feed_forward, config.dropout)
    if config.decoder_attention == "ssru":
        return SimplerRecurrentUnit(config.width)
    return CausalAttention(config)


class DecoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        scale = Scaling.of(config).decoder_residual
        self.self_attention = past_attention(config)
        self.self_sublayer = Sublayer(config, scale)
        self.cross_attention = CrossAttention(config)
        self.cross_sublayer = Sublayer(config, scale)
        self.feed_forward = FeedForward(config)
        self.feed_forward_sublayer = Sublayer(config, scale)

    def forward(self, x: Tensor, state: State, memory: State, mask: Mask) -> tuple[Tensor, State]:
        """(N, T, D) -> (N, T, D) and the state after it."""
        attended, state = self.self_attention(self.self_sublayer.enter(x), state)
        x = self.self_sublayer.leave(x, attended)
        crossed = self.cross_attention(self.cross_sublayer.enter(x), memory, mask)
        x = self.cross_sublayer.leave(x, crossed)
        fed = self.feed_forward(self.feed_forward_sublayer.enter(x))
        return self.feed_forward_sublayer.leave(x, fed), state


class Transformer(TranslationModel):
    """Vaswani et al. 2017, "Attention is all you need".

    Memory: the mask (B, 1, 1, S), then keys and values (B, H, S, D / H) of each decoder layer.
    State: the count of tokens read, then the state of each decoder layer.
    """

    Config = TransformerConfig
    attends_to_source = True
    config: TransformerConfig

    def __init__(self, config: TransformerConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.scale = math.sqrt(config.width)
        self.head_width = config.width // config.heads
        self.positions = config.positions
        if config.positions == "learned":
            self.source_positions = LearnedPositions(config.max_positions, config.width)
            self.target_positions = LearnedPositions(config.max_positions, config.width)
        self.dropout = Dropout(config.dropout)
        self.layer_dropout = config.layer_dropout
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        pre = config.norm == "pre"  # pre-norm leaves the last layer's sum to be normed here
        self.encoder_norm = normalisation(config) if pre else nn.Identity()
        self.decoder_norm = normalisation(config) if pre else nn.Identity()
        self._initialise(Scaling.of(config))

    def _initialise(self, scaling: Scaling) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            if "positions" in name:
                nn.init.normal_(parameter, std=0.02 * self.scale)
            elif "embedding" in name:
                nn.init.normal_(parameter, std=parameter.size(1) ** -0.5)
            else:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            for side, factor in (
                (self.encoder, scaling.encoder_weight),
                (self.decoder, scaling.decoder_weight),
            ):
                for module in side.modules():
                    _scale_weights(module, factor)

    def _embed(self, side: Side, ids: Tensor, positions: Tensor | None) -> Tensor:
        """(N, T) ids, and what is added for their positions (T, D) -> (N, T, D)."""
        embedding = self.source_embedding if side == "source" else self.target_embedding
        x = embedding(ids) * self.scale
        if positions is not None:
            x = x + positions.to(x)
        return cast(Tensor, self.dropout(as_computed(x)))

    def _skips_layer(self) -> bool:
        """Whether training leaves the next layer out; drawn on the CPU, so without waiting."""
        return (
            self.training and self.layer_dropout > 0 and float(torch.rand(())) < self.layer_dropout
        )

    def position_vectors(self, side: Side, start: int, length: int) -> Tensor | None:
        """What is added to embeddings at start, start + 1, …: (length, D), if anything."""
        if self.positions == "learned":
            learned = self.source_positions if side == "source" else self.target_positions
            return cast(Tensor, learned(start, length))
        if self.positions == "sinusoidal":
            weight = self.target_embedding.weight
            return sinusoids(start, length, weight.size(1), weight.device)
        return None

    def rotations(self, start: int, length: int, device: torch.device) -> Rotations | None:
        """Of the places start, start + 1, …, where positions are rotary."""
        if self.positions != "rotary":
            return None
        return rotations(start, length, self.head_width, device)

    def encoded(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S) ids -> the encoder's outputs (B, S, D) and the mask (B, 1, 1, S)."""
        mask = source_mask(source)[:, None, None, :]
        x = self._embed("source", source, self.position_vectors("source", 0, source.size(1)))
        return self._encoded(x, mask, self.rotations(0, source.size(1), source.device)), mask

    def _encoded(self, x: Tensor, mask: Mask, rotation: Rotations | None) -> Tensor:
        for layer in self.encoder:
            if not self._skips_layer():
                x = layer(x, mask, rotation)
        return cast(Tensor, self.encoder_norm(x))

    def encode(self, source: Tensor) -> tuple[State, State]:
        x, mask = self.encoded(source)
        layers = cast(list[DecoderLayer], list(self.decoder))
        starts = (cast(CausalAttention, layer.self_attention).start(x) for layer in layers)
        return (mask, *self._memories(x)), (nothing_read(x), *starts)

    def _memories(self, encoded: Tensor) -> list[State]:
        layers = cast(list[DecoderLayer], list(self.decoder))
        return [layer.cross_attention.memory(encoded) for layer in layers]

    def decode(self, target: Tensor, state: State, memory: State) -> tuple[Tensor, State]:
        mask, *memories = cast(tuple[Tensor, State], memory)
        read, *states = cast(tuple[Tensor, State], state)
        positions = self.position_vectors("target", read.size(1), target.size(1))
        x = self._embed("target", target, positions)
        x, after = self._decoded(x, states, memories, mask)
        return x, (read_more(read, target.size(1)), *after)

    def _decoded(
        self, x: Tensor, states: Sequence[State], memories: Sequence[State], mask: Mask
    ) -> tuple[Tensor, list[State]]:
        after: list[State] = []
        for layer, layer_state, layer_memory in zip(self.decoder, states, memories, strict=True):
            grown = layer_state
            if not self._skips_layer():
                x, grown = layer(x, layer_state, layer_memory, mask)
            after.append(grown)
        return self.decoder_norm(x), after

    def hidden(self, source: Tensor, target: Tensor) -> Tensor:
        """Packs sentences where there is attention for them: about 7 % of a batch are padding."""
        packed = None
        if self._may_pack():
            queries = as_computed(self.target_embedding.weight[:1])
            packed = layouts(queries, source, target)
        if packed is None:
            return super().hidden(source, target)
        return self._hidden_packed(source, target, *packed)

    def _may_pack(self) -> bool:
        """Whether nothing in the settings needs padded sentences."""
        drops_weights = self.training and self.config.attention_dropout > 0
        attends_to_past = self.config.decoder_attention == "self"
        return attends_to_past and not drops_weights and not self.torch_compile

    def _hidden_packed(
        self, source: Tensor, target: Tensor, source_layout: Layout, target_layout: Layout
    ) -> Tensor:
        encoded = self._encoded(
            self._embed_packed("source", source, source_layout),
            Pairs(source_layout, source_layout),
            self._packed_rotations(source_layout, source.device),
        )
        rotation = self._packed_rotations(target_layout, target.device)
        x = self._embed_packed("target", target, target_layout)
        states = [Whole(target_layout, rotation)] * len(self.decoder)
        mask = Pairs(target_layout, source_layout)
        x, _ = self._decoded(x, states, self._memories(encoded), mask)
        return x[0]

    def _embed_packed(self, side: Side, ids: Tensor, layout: Layout) -> Tensor:
        positions = self.position_vectors(side, 0, ids.size(1))
        if positions is not None:
            positions = positions[layout.positions]
        return self._embed(side, layout.packed(ids), positions)

    def _packed_rotations(self, layout: Layout, device: torch.device) -> Rotations | None:
        tables = self.rotations(0, layout.shape[1], device)
        return tables and (tables[0][layout.positions], tables[1][layout.positions])


def _scale_weights(module: nn.Module, factor: float) -> None:
    """Scale what DeepNorm scales: feed-forward, value and output projections."""
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
