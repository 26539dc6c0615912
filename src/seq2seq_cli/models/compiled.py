"""Models made ready for search on a CPU: compiled products, and single calls
for a Transformer's encoder and for a step of its decoder.

Dimensions: B sentences, N decoder rows, S source tokens, D width; see `base`.
"""

import copy
from dataclasses import replace
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from seq2seq_cli import native
from seq2seq_cli.models.base import TranslationModel, Tree
from seq2seq_cli.models.layers import source_mask
from seq2seq_cli.models.quantization import Int8Linear
from seq2seq_cli.models.recurrent import CompiledLayer
from seq2seq_cli.models.recurrent import Decoder as RecurrentDecoder
from seq2seq_cli.models.recurrent import Encoder as RecurrentEncoder
from seq2seq_cli.models.transformer import (
    CausalAttention,
    DecoderLayer,
    EncoderLayer,
    Scaling,
    Side,
    Transformer,
)
from seq2seq_cli.native import transformer as parts
from seq2seq_cli.native.recurrent import Cell


class Steps(Protocol):
    """What search asks of a model; see `TranslationModel`."""

    @property
    def output(self) -> nn.Module: ...
    def encode(self, source: Tensor) -> tuple[Tree, Tree]: ...
    def decode(self, target: Tensor, state: Tree, memory: Tree) -> tuple[Tensor, Tree]: ...


def with_linear_layers(model: TranslationModel, *, eight_bits: bool) -> TranslationModel:
    """A copy for inference whose linear layers are compiled, or FBGEMM's where nothing is.

    So are recurrent layers. Embeddings and norms stay as they are.
    """
    result = copy.deepcopy(model)
    for module in list(result.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                setattr(module, name, _linear(child, eight_bits))
        if isinstance(module, RecurrentDecoder) and native.serves():
            module.layers = nn.ModuleList(_cell(each, eight_bits) for each in module.layers)
        if isinstance(module, RecurrentEncoder) and native.serves():
            module.layers = nn.ModuleList(_layer(each, eight_bits) for each in module.layers)
    return result


def _layer(layer: nn.Module, eight_bits: bool) -> CompiledLayer:
    if isinstance(layer, CompiledLayer):
        return layer
    own = cast(nn.RNNBase, layer)
    endings = ("l0", "l0_reverse") if own.bidirectional else ("l0",)
    cells = [_cell(own, eight_bits, ending) for ending in endings]
    return CompiledLayer(cells, own.hidden_size, 2 if isinstance(own, nn.LSTM) else 1)


def _cell(layer: nn.Module, eight_bits: bool, ending: str = "l0") -> Cell:
    if isinstance(layer, Cell):
        return layer
    named = dict(layer.named_parameters())
    weights = [
        (named[f"weight_{part}_{ending}"], named[f"bias_{part}_{ending}"]) for part in ("ih", "hh")
    ]
    return Cell(*(native.Linear.packing(*each, eight_bits=eight_bits) for each in weights))


def _linear(layer: nn.Linear, eight_bits: bool) -> nn.Module:
    if native.serves():
        return native.Linear.packing(layer.weight, layer.bias, eight_bits=eight_bits)
    return Int8Linear(layer.weight, layer.bias) if eight_bits else layer


def narrowed(layer: nn.Module, outputs: Tensor) -> nn.Module:
    """A linear layer of the same kind with only some of its outputs, in their order; no bias."""
    if isinstance(layer, native.Linear):
        return layer.narrowed(outputs)
    assert getattr(layer, "bias", None) is None, "an output layer has no bias"
    weight = cast(Tensor, layer.weight).index_select(0, outputs)
    if isinstance(layer, Int8Linear):
        return Int8Linear(weight, None)
    narrow = nn.Linear(weight.size(1), weight.size(0), bias=False, device="meta")
    narrow.weight = nn.Parameter(weight, requires_grad=False)
    return narrow


def stepping(model: TranslationModel) -> Steps:
    """The model as search should ask it, with the same weights: compiled where that is possible."""
    weight = next(model.parameters())
    if not native.serves(weight.detach()):
        return model  # on another device, or nothing is compiled
    if isinstance(model, Transformer) and model.config.decoder_attention == "self":
        return CompiledTransformer(model)
    return with_linear_layers(model, eight_bits=False)


class CompiledTransformer:
    """A Transformer whose encoder reads a batch in one call, and its decoder a token of each row.

    Memory: `native.transformer.Sources`. State: `native.transformer.Past`. With 8-bit weights both
    are float16, as exact as the weights and half to read.
    """

    def __init__(self, model: Transformer) -> None:
        config = model.config
        encoder = cast(list[EncoderLayer], list(model.encoder))
        decoder = cast(list[DecoderLayer], list(model.decoder))
        self.model = model
        self.output = _compiled(model.output)
        scaling = Scaling.of(config)
        settings = parts.TransformerSettings(
            config.width,
            config.heads,
            config.feed_forward,
            config.activation,
            config.norm == "pre",
            torch.float16 if self.output.eight_bits else torch.float32,
            scaling.encoder_residual,
            model.scale,
        )
        self.encoder = parts.Encoder(
            settings,
            [_encoder_layer(layer) for layer in encoder],
            _last_norm(model.encoder_norm),
            [_compiled(layer.cross_attention.key_value) for layer in decoder],
        )
        self.decoder = parts.Decoder(
            replace(settings, residual=scaling.decoder_residual),
            [_decoder_layer(layer) for layer in decoder],
            _last_norm(model.decoder_norm),
        )

    def encode(self, source: Tensor) -> tuple[Tree, Tree]:
        """Read (B, S) ids; return memory, and the state before the first token, B rows each."""
        real, length = source_mask(source), source.size(1)
        sources = self.encoder.read(
            source[real],
            real.sum(dim=1, dtype=torch.int32),
            self.model.source_embedding.weight,
            self._positions("source", 0, length),
            self._rotations(0, length),
        )
        return sources, parts.Past.empty(source.size(0))

    def decode(self, target: Tensor, state: Tree, memory: Tree) -> tuple[Tensor, Tree]:
        """Read (N, 1) ids; return features (N, 1, D) and the state after them."""
        past, sources = (
            cast(parts.Past, state),
            cast(parts.Sources, memory),
        )
        place = len(past.steps)
        features, past = self.decoder.step(
            target[:, 0].contiguous(),
            self.model.target_embedding.weight,
            self._positions("target", place, 1),
            self._rotations(place, 1),
            past,
            sources,
        )
        return features[:, None], past

    def _positions(self, side: Side, start: int, length: int) -> Tensor | None:
        vectors = self.model.position_vectors(side, start, length)
        return None if vectors is None else vectors.contiguous()

    def _rotations(self, start: int, length: int) -> Tensor | None:
        """Cosines and sines of places: (length, 2, D / H / 2)."""
        turns = self.model.rotations(start, length, torch.device("cpu"))
        return None if turns is None else torch.stack(turns, dim=1)


def _compiled(layer: nn.Module) -> native.Linear:
    if isinstance(layer, native.Linear):
        return layer
    linear = cast(nn.Linear, layer)
    return native.Linear.packing(linear.weight, linear.bias, eight_bits=False)


def _encoder_layer(layer: EncoderLayer) -> parts.TransformerLayer:
    return parts.TransformerLayer(
        _compiled(layer.attention.query_key_value),
        _compiled(layer.attention.output),
        _compiled(layer.feed_forward.inner),
        _compiled(layer.feed_forward.outer),
        _norm(layer.attention_sublayer.norm),
        _norm(layer.feed_forward_sublayer.norm),
    )


def _decoder_layer(layer: DecoderLayer) -> parts.TransformerLayer:
    past = cast(CausalAttention, layer.self_attention)
    return parts.TransformerLayer(
        _compiled(past.query_key_value),
        _compiled(past.output),
        _compiled(layer.feed_forward.inner),
        _compiled(layer.feed_forward.outer),
        _norm(layer.self_sublayer.norm),
        _norm(layer.feed_forward_sublayer.norm),
        _compiled(layer.cross_attention.query),
        _compiled(layer.cross_attention.output),
        _norm(layer.cross_sublayer.norm),
    )


def _last_norm(norm: nn.Module) -> parts.NormWeights | None:
    return None if isinstance(norm, nn.Identity) else _norm(norm)


def _norm(norm: nn.Module) -> parts.NormWeights:
    bias = getattr(norm, "bias", None)
    return parts.NormWeights(
        cast(Tensor, norm.weight).detach(), None if bias is None else bias.detach()
    )
