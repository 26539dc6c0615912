"""The Transformer: multi-head self-attention on both sides (Vaswani et al. 2017), and variants.

Dimensions: B sentences, N decoder rows, S source, T target, D width, H heads; see `base`.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, cast

import torch
from torch import Tensor, nn

from seq2seq_cli.config.models import Scaling, TransformerConfig, Vocabulary
from seq2seq_cli.kernels.autograd.packing import Layout, Pairs, layouts
from seq2seq_cli.models.base import LayerStates, State, TranslationModel, name_layers
from seq2seq_cli.models.kv_cache import PackedTarget
from seq2seq_cli.models.layers import (
    Dropout,
    LearnedPositions,
    RelativePositions,
    SourceAttention,
    count_more,
    no_tokens_read,
    rotations,
    sinusoids,
    source_mask,
    to_autocast_dtype,
)
from seq2seq_cli.models.shards import first_row, own_shard, without_effect
from seq2seq_cli.models.transformer_layers import (
    CausalAttention,
    DecoderLayer,
    EncoderLayer,
    Mask,
    Rotations,
    normalisation,
    scale_weights,
)
from seq2seq_cli.symbols import BOS

Side = Literal["source", "target"]


@contextmanager
def _beside(layer: nn.Module, device: torch.device) -> Iterator[None]:
    """Leave no trace of a layer that is computed in a block: random states, captured attention."""
    attentions = [each for each in layer.modules() if isinstance(each, SourceAttention)]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for each in attentions:
            each.is_without_effect = True
        yield
        for each in attentions:
            each.is_without_effect = False


class Transformer(TranslationModel):
    """Vaswani et al. 2017, "Attention is all you need".

    Memory: the mask (B, 1, 1, S), then keys and values (B, H, S, D / H) of each decoder layer.
    State: the count of tokens read, then the state of each decoder layer.
    """

    Config = TransformerConfig
    attends_to_source = TransformerConfig.attends_to_source
    config: TransformerConfig
    source_positions: nn.Module  # if they are learned or relative
    target_positions: nn.Module

    def __init__(self, config: TransformerConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.scale = math.sqrt(config.width) if config.scale_embeddings else 1.0
        self.head_width = config.key_width
        self.positions = config.positions
        for side in ("source", "target"):
            if config.positions == "learned":
                vectors = LearnedPositions(config.max_positions, config.width)
                self.add_module(f"{side}_positions", vectors)
            elif config.positions == "relative":
                sizes = config.position_buckets, config.position_distance, config.heads
                self.add_module(f"{side}_positions", RelativePositions(*sizes))
        normed = config.embedding_norm
        self.source_embedding_norm = normalisation(config) if normed else nn.Identity()
        self.target_embedding_norm = normalisation(config) if normed else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.layer_dropout = config.layer_dropout
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        pre = config.norm == "pre"  # the last layer's sum is normed here
        self.encoder_norm = normalisation(config) if pre else nn.Identity()
        self.decoder_norm = normalisation(config) if pre else nn.Identity()
        self._initialise(Scaling.of(config))
        if config.zero_start:
            self._keep_start_at_zero()

    def _keep_start_at_zero(self) -> None:
        """Let the decoder start from zeros: no gradient reaches the vector of BOS."""
        weight = self.target_embedding.weight
        with torch.no_grad():
            weight[BOS] = 0

        def clear(parameter: Tensor) -> None:
            assert parameter.grad is not None
            own, row = own_shard(parameter.grad), BOS - first_row(parameter)
            if 0 <= row < len(own):
                own[row] = 0

        weight.register_post_accumulate_grad_hook(clear)  # type: ignore[no-untyped-call]

    def _initialise(self, scaling: Scaling) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            if "positions" in name:
                of_embedding = 1.0 if self.positions == "relative" else self.scale
                nn.init.normal_(parameter, std=0.02 * of_embedding)
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
                    scale_weights(module, factor)
        self.initialise_output()

    def _embed(self, side: Side, ids: Tensor, positions: Tensor | None) -> Tensor:
        """Ids (N, T) and vectors of their positions (T, D), if any -> (N, T, D)."""
        embedding = self.source_embedding if side == "source" else self.target_embedding
        x = embedding(ids) * self.scale
        if positions is not None:
            x = x + positions.to(x)
        norm = self.source_embedding_norm if side == "source" else self.target_embedding_norm
        return cast(Tensor, self.dropout(to_autocast_dtype(norm(x))))

    def _skips_layer(self) -> bool:
        """Draw whether training skips the next layer; on the CPU, so as not to wait for a GPU.

        A sharded layer is then computed without effect: other processes may need it.
        """
        return (
            self.training and self.layer_dropout > 0 and float(torch.rand(())) < self.layer_dropout
        )

    def units(self) -> Iterator[nn.Module]:
        """The layers; keys and values of the source are computed outside of them."""
        for layer in cast(list[DecoderLayer], list(self.decoder)):
            yield layer.cross_attention.key_value
        yield from super().units()

    def position_vectors(self, side: Side, start: int, length: int) -> Tensor | None:
        """Vectors (length, D) added to embeddings at positions start, start + 1, …, if any."""
        if self.positions == "learned":
            learned = self.source_positions if side == "source" else self.target_positions
            return cast(Tensor, learned(start, length))
        if self.positions == "sinusoidal":
            weight, first = self.target_embedding.weight, self.config.first_position
            return sinusoids(
                start + first, length, weight.size(1), weight.device, self.config.sinusoids
            )
        return None

    def rotations(self, start: int, length: int, device: torch.device) -> Rotations | None:
        """Rotations of positions start, start + 1, …; None if positions are not rotary."""
        if self.positions != "rotary":
            return None
        return rotations(start, length, self.head_width, device)

    def source_bias(self, length: int) -> Tensor | None:
        """The bias of scores of source tokens by offset (H, 2 S - 1), if positions are relative."""
        if self.positions != "relative":
            return None
        return cast(RelativePositions, self.source_positions).of_source(length)

    def target_bias(self, start: int, length: int) -> Tensor | None:
        """As `source_bias`, of target tokens (H, start + 2 T - 1)."""
        if self.positions != "relative":
            return None
        return cast(RelativePositions, self.target_positions).of_target(start, length)

    def encoded(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S) ids -> the encoder's outputs (B, S, D) and the mask (B, 1, 1, S)."""
        mask = source_mask(source)[:, None, None, :]
        x = self._embed("source", source, self.position_vectors("source", 0, source.size(1)))
        rotation, bias = self._of_source(source)
        return self._encoded(x, mask, rotation, bias), mask

    def _of_source(self, source: Tensor) -> tuple[Rotations | None, Tensor | None]:
        """The rotations and the bias of scores that self-attention takes, for (B, S) ids."""
        length = source.size(1)
        return self.rotations(0, length, source.device), self.source_bias(length)

    def _encoded(
        self, x: Tensor, mask: Mask, rotation: Rotations | None, bias: Tensor | None = None
    ) -> Tensor:
        for layer in self.encoder:
            if not self._skips_layer():
                x = layer(x, mask, rotation, bias)
            elif self.in_step:
                with _beside(layer, x.device):
                    x = without_effect(x, layer(x, mask, rotation, bias))
        return cast(Tensor, self.encoder_norm(x))

    def encode(self, source: Tensor) -> tuple[State, State]:
        x, mask = self.encoded(source)
        layers = cast(list[DecoderLayer], list(self.decoder))
        starts = (cast(CausalAttention, layer.self_attention).start(x) for layer in layers)
        return (mask, *self._memories(x)), (no_tokens_read(x), *starts)

    def _memories(self, encoded: Tensor) -> list[State]:
        layers = cast(list[DecoderLayer], list(self.decoder))
        return [layer.cross_attention.memory(encoded) for layer in layers]

    def decode(self, target: Tensor, state: State, memory: State) -> tuple[Tensor, State]:
        mask, *memories = cast(tuple[Tensor, State], memory)
        read, *states = cast(tuple[Tensor, State], state)
        positions = self.position_vectors("target", read.size(1), target.size(1))
        x = self._embed("target", target, positions)
        bias = self.target_bias(read.size(1), target.size(1))
        x, after = self._decoded(x, states, memories, mask, bias)
        return x, (count_more(read, target.size(1)), *after)

    def _decoded(
        self,
        x: Tensor,
        states: Sequence[State],
        memories: Sequence[State],
        mask: Mask,
        bias: Tensor | None = None,
    ) -> tuple[Tensor, list[State]]:
        after: list[State] = []
        for layer, layer_state, layer_memory in zip(self.decoder, states, memories, strict=True):
            layer_after = layer_state
            if not self._skips_layer():
                x, layer_after = layer(x, layer_state, layer_memory, mask, bias)
            elif self.in_step:
                with _beside(layer, x.device):
                    x = without_effect(x, layer(x, layer_state, layer_memory, mask, bias)[0])
            after.append(layer_after)
        return self.decoder_norm(x), after

    def layer_states(self, source: Tensor, target: Tensor) -> LayerStates:
        """As the base class says; average attention and SSRU have no weights to show."""
        mask = source_mask(source)[:, None, None, :]
        rotation, bias = self._of_source(source)
        x = self._embed("source", source, self.position_vectors("source", 0, source.size(1)))
        encoded, source_attention = [x], []
        for layer in cast(list[EncoderLayer], list(self.encoder)):
            entered = layer.attention_sublayer.enter(encoded[-1])
            source_attention.append(layer.attention.weights(entered, mask, rotation, bias))
            encoded.append(layer(encoded[-1], mask, rotation, bias))
        memory, state = self.encode(source)
        memories, states = cast(tuple[Tensor, ...], memory)[1:], cast(tuple[Tensor, ...], state)[1:]
        y = self._embed("target", target, self.position_vectors("target", 0, target.size(1)))
        decoded, target_attention = [y], []
        bias = self.target_bias(0, target.size(1))
        decoder = cast(list[DecoderLayer], list(self.decoder))
        for of_layer, before, keys in zip(decoder, states, memories, strict=True):
            if self.config.decoder_attention == "self":
                attention = cast(CausalAttention, of_layer.self_attention)
                entered = of_layer.self_sublayer.enter(decoded[-1])
                target_attention.append(attention.weights_from_start(entered, bias))
            decoded.append(of_layer(decoded[-1], before, keys, mask, bias)[0])
        normed = self.config.norm == "pre"  # behind the last layer
        return LayerStates(
            name_layers(x, encoded[1:], self.encoder_norm(encoded[-1]) if normed else None),
            name_layers(y, decoded[1:], self.decoder_norm(decoded[-1]) if normed else None),
            source_attention,
            target_attention,
        )

    def hidden(self, source: Tensor, target: Tensor) -> Tensor:
        """As the base class says, without padding where that is possible: it is 7 % of a batch."""
        packed = None
        if self._may_pack():
            queries = to_autocast_dtype(self.target_embedding.weight[:1])
            packed = layouts(queries, source, target)
        if packed is None:
            return super().hidden(source, target)
        return self._hidden_packed(source, target, *packed)

    def _may_pack(self) -> bool:
        """Whether no setting needs padded sentences."""
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
            self.source_bias(source.size(1)),
        )
        rotation = self._packed_rotations(target_layout, target.device)
        x = self._embed_packed("target", target, target_layout)
        states = [PackedTarget(target_layout, rotation)] * len(self.decoder)
        mask = Pairs(target_layout, source_layout)
        bias = self.target_bias(0, target.size(1))
        x, _ = self._decoded(x, states, self._memories(encoded), mask, bias)
        return x[0]

    def _embed_packed(self, side: Side, ids: Tensor, layout: Layout) -> Tensor:
        positions = self.position_vectors(side, 0, ids.size(1))
        if positions is not None:
            positions = positions[layout.positions]
        return self._embed(side, layout.packed(ids), positions)

    def _packed_rotations(self, layout: Layout, device: torch.device) -> Rotations | None:
        tables = self.rotations(0, layout.shape[1], device)
        return tables and (tables[0][layout.positions], tables[1][layout.positions])
