"""The Transformer, for search in kernels.

Dimensions: B sentences, S source tokens, D width, H heads; see `models.base`.
"""

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.linear import pack
from seq2seq_cli.kernels.inference import transformer as kernels
from seq2seq_cli.kernels.inference.decoding import KVCache, PositionTables, TargetEmbedding
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.models.base import State, TranslationModel
from seq2seq_cli.models.fast_decoders import AverageAttention, SimplerRecurrentUnit
from seq2seq_cli.models.layers import source_mask
from seq2seq_cli.models.transformer import Side, Transformer
from seq2seq_cli.models.transformer_layers import (
    CausalAttention,
    DecoderLayer,
    EncoderLayer,
    Scaling,
)


class TransformerInference(InferenceModel):
    """A Transformer whose encoder reads a batch in one call."""

    model_class = Transformer

    @classmethod
    def supports(cls, model: TranslationModel) -> bool:
        """Exclude SSRU with weights that are packed already: its layers are packed as one."""
        if not isinstance(model, Transformer):
            return False
        return not any(
            isinstance(layer, SimplerRecurrentUnit) and isinstance(layer.forget, Linear)
            for layer in model.modules()
        )

    def __init__(self, model: TranslationModel) -> None:
        model = cast(Transformer, model)
        config = model.config
        encoder = cast(list[EncoderLayer], list(model.encoder))
        decoder = cast(list[DecoderLayer], list(model.decoder))
        self.model = model
        self.output = pack(model.output)
        scaling = Scaling.of(config)
        settings = kernels.TransformerSettings(
            width=config.width,
            heads=config.heads,
            feed_forward=config.feed_forward,
            activation=config.activation,
            decoder_attention=config.decoder_attention,
            pre_norm=config.norm == "pre",
            dtype=torch.float16 if self.output.eight_bits else torch.float32,
            residual=scaling.encoder_residual,
            embedding_scale=model.scale,
        )
        self.encoder = kernels.Encoder(
            settings,
            [_encoder_layer(layer) for layer in encoder],
            _last_norm(model.encoder_norm),
            [pack(layer.cross_attention.key_value) for layer in decoder],
        )
        self.decoder = kernels.decoder(
            replace(settings, residual=scaling.decoder_residual),
            TargetEmbedding(model.target_embedding.weight, self._tables),
            [_decoder_layer(layer) for layer in decoder],
            _last_norm(model.decoder_norm),
        )

    def encode(self, source: Tensor) -> tuple[State, State]:
        real, length = source_mask(source), source.size(1)
        memory = self.encoder.read(
            source[real],
            real.sum(dim=1, dtype=torch.int32),
            self.model.source_embedding.weight,
            self._positions("source", 0, length),
            self._rotations(0, length),
        )
        return memory, KVCache.empty(source.size(0))

    def _tables(self, count: int) -> PositionTables:
        return PositionTables(self._positions("target", 0, count), self._rotations(0, count))

    def _positions(self, side: Side, start: int, length: int) -> Tensor | None:
        vectors = self.model.position_vectors(side, start, length)
        return None if vectors is None else vectors.contiguous()

    def _rotations(self, start: int, length: int) -> Tensor | None:
        """Cosines and sines of positions: (length, 2, D / H / 2)."""
        rotations = self.model.rotations(start, length, torch.device("cpu"))
        return None if rotations is None else torch.stack(rotations, dim=1)


def _encoder_layer(layer: EncoderLayer) -> kernels.TransformerLayer:
    return kernels.TransformerLayer(
        self_input=pack(layer.attention.query_key_value),
        self_output=pack(layer.attention.output),
        inner=pack(layer.feed_forward.inner),
        outer=pack(layer.feed_forward.outer),
        self_norm=_norm(layer.attention_sublayer.norm),
        feed_forward_norm=_norm(layer.feed_forward_sublayer.norm),
    )


def _decoder_layer(layer: DecoderLayer) -> kernels.TransformerLayer:
    self_input, self_output, self_gates = _self_attention(layer.self_attention)
    return kernels.TransformerLayer(
        self_input=self_input,
        self_output=self_output,
        self_gates=self_gates,
        inner=pack(layer.feed_forward.inner),
        outer=pack(layer.feed_forward.outer),
        self_norm=_norm(layer.self_sublayer.norm),
        feed_forward_norm=_norm(layer.feed_forward_sublayer.norm),
        cross_query=pack(layer.cross_attention.query),
        cross_output=pack(layer.cross_attention.output),
        cross_norm=_norm(layer.cross_sublayer.norm),
    )


def _self_attention(layer: nn.Module) -> tuple[Linear, Linear | None, Linear | None]:
    """Pack the linear layers of self-attention, or of what replaces it; see `TransformerLayer`."""
    if isinstance(layer, SimplerRecurrentUnit):
        weight = torch.cat((layer.forget.weight, layer.input.weight))
        bias = torch.cat((layer.forget.bias, torch.zeros_like(layer.forget.bias)))
        return Linear.pack(weight, bias, eight_bits=False), None, None
    if isinstance(layer, AverageAttention):
        return pack(layer.inner), pack(layer.outer), pack(layer.gates)
    past = cast(CausalAttention, layer)
    return pack(past.query_key_value), pack(past.output), None


def _last_norm(norm: nn.Module) -> kernels.NormWeights | None:
    return None if isinstance(norm, nn.Identity) else _norm(norm)


def _norm(norm: nn.Module) -> kernels.NormWeights:
    bias = getattr(norm, "bias", None)
    return kernels.NormWeights(
        cast(Tensor, norm.weight).detach(), None if bias is None else bias.detach()
    )
