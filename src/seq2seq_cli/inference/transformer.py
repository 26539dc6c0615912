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
from seq2seq_cli.models.base import State, TranslationModel
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
        """Exclude what stands in for self-attention in the decoder: average attention, SSRU."""
        return isinstance(model, Transformer) and model.config.decoder_attention == "self"

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
        pack(layer.attention.query_key_value),
        pack(layer.attention.output),
        pack(layer.feed_forward.inner),
        pack(layer.feed_forward.outer),
        _norm(layer.attention_sublayer.norm),
        _norm(layer.feed_forward_sublayer.norm),
    )


def _decoder_layer(layer: DecoderLayer) -> kernels.TransformerLayer:
    past = cast(CausalAttention, layer.self_attention)
    return kernels.TransformerLayer(
        pack(past.query_key_value),
        pack(past.output),
        pack(layer.feed_forward.inner),
        pack(layer.feed_forward.outer),
        _norm(layer.self_sublayer.norm),
        _norm(layer.feed_forward_sublayer.norm),
        pack(layer.cross_attention.query),
        pack(layer.cross_attention.output),
        _norm(layer.cross_sublayer.norm),
    )


def _last_norm(norm: nn.Module) -> kernels.NormWeights | None:
    return None if isinstance(norm, nn.Identity) else _norm(norm)


def _norm(norm: nn.Module) -> kernels.NormWeights:
    bias = getattr(norm, "bias", None)
    return kernels.NormWeights(
        cast(Tensor, norm.weight).detach(), None if bias is None else bias.detach()
    )
