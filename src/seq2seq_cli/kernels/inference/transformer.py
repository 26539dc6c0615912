"""A Transformer's encoder and decoder (transformer.cpp).

Dimensions: D width, H heads.
"""

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seq2seq_cli.kernels.inference.decoding import Decoder, TargetEmbedding
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory, SourceTokens
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.library import INT, POINTER, address, declaring

ACTIVATIONS = ("relu", "gelu", "swish", "swiglu")  # as layers.h counts them


class _Settings(ctypes.Structure):
    _fields_ = (
        ("width", INT),
        ("heads", INT),
        ("feed_forward", INT),
        ("activation", INT),
        ("pre_norm", INT),
        ("halves", INT),
        ("residual", ctypes.c_float),
        ("embedding_scale", ctypes.c_float),
    )


class _LayerParts(ctypes.Structure):
    _fields_ = tuple(
        (name, POINTER)
        for name in (
            *("query_key_value", "self_output", "cross_query", "cross_output", "inner", "outer"),
            *("self_weight", "self_bias", "cross_weight", "cross_bias"),
            *("feed_forward_weight", "feed_forward_bias"),
        )
    )


_compiled = declaring(
    {
        "transformer_encoder_new": (
            *(POINTER, POINTER, POINTER, INT),
            *(POINTER, POINTER, POINTER, INT),
        ),
        "transformer_encoder_free": (None, POINTER),
        "transformer_encoder_read": (None, POINTER, POINTER),
        "transformer_decoder_new": (POINTER, POINTER, POINTER, INT, POINTER, POINTER),
    }
)


@dataclass(frozen=True)
class NormWeights:
    """Of LayerNorm, or without a bias of RMSNorm."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class TransformerLayer:
    """The parts of one layer of a Transformer; only a decoder's has cross-attention."""

    query_key_value: Linear
    self_output: Linear
    inner: Linear
    outer: Linear
    self_norm: NormWeights
    feed_forward_norm: NormWeights
    cross_query: Linear | None = None
    cross_output: Linear | None = None
    cross_norm: NormWeights | None = None


@dataclass(frozen=True)
class TransformerSettings:
    """What the layers of a Transformer's encoder or decoder have in common."""

    width: int
    heads: int
    feed_forward: int
    activation: str
    pre_norm: bool
    kept: torch.dtype  # of keys and values: float32 or float16
    residual: float  # what the residual connection is multiplied with
    embedding_scale: float

    def as_struct(self) -> _Settings:
        return _Settings(
            self.width,
            self.heads,
            self.feed_forward,
            ACTIVATIONS.index(self.activation),
            self.pre_norm,
            self.kept == torch.float16,
            self.residual,
            self.embedding_scale,
        )


def _parts_of(layers: Sequence[TransformerLayer]) -> Any:
    """An array of what layers are made of. It points into them."""
    array = (_LayerParts * len(layers))()
    for parts, layer in zip(array, layers, strict=True):
        for name in (
            *("query_key_value", "self_output", "cross_query", "cross_output"),
            *("inner", "outer"),
        ):
            linear: Linear | None = getattr(layer, name)
            setattr(parts, name, linear.handle if linear else None)
        for name in ("self", "cross", "feed_forward"):
            norm: NormWeights | None = getattr(layer, f"{name}_norm")
            setattr(parts, f"{name}_weight", address(norm.weight) if norm else None)
            setattr(parts, f"{name}_bias", address(norm.bias) if norm else None)
    return array


class Encoder:
    """A Transformer's encoder, and what its decoder's layers make of its outputs."""

    def __init__(
        self,
        settings: TransformerSettings,
        layers: Sequence[TransformerLayer],
        last: NormWeights | None,
        keys_values: Sequence[Linear],
    ) -> None:
        # Kept: the compiled side points into them.
        self.layers, self.last, self.keys_values = layers, last, keys_values
        self.settings = settings
        self.handle = _compiled().transformer_encoder_new(
            ctypes.byref(settings.as_struct()),
            _parts_of(layers),
            len(layers),
            address(last.weight) if last else None,
            address(last.bias) if last else None,
            (POINTER * len(keys_values))(*(each.handle for each in keys_values)),
            len(keys_values),
        )
        weakref.finalize(self, _compiled().transformer_encoder_free, self.handle)

    def read(
        self,
        tokens: Tensor,
        lengths: Tensor,
        embedding: Tensor,
        positions: Tensor | None,
        rotations: Tensor | None,
    ) -> EncoderMemory:
        """Read sentences that stand one after the other in `tokens` (any,), as long as `lengths`.

        What is read is the embedding's row, times its scale, plus that of `positions` (longest, D),
        if there are any. `rotations` (longest, 2, D / H / 2) are for rotary positions.
        """
        sources = EncoderMemory.empty(
            lengths, len(tokens), self.settings.width, self.settings.kept, len(self.keys_values)
        )
        given = SourceTokens.of(tokens, sources, embedding, positions, rotations)
        _compiled().transformer_encoder_read(self.handle, ctypes.byref(given))
        return sources


def decoder(
    settings: TransformerSettings,
    embedding: TargetEmbedding,
    layers: Sequence[TransformerLayer],
    last: NormWeights | None,
) -> Decoder:
    """A Transformer's decoder."""
    handle = _compiled().transformer_decoder_new(
        ctypes.byref(settings.as_struct()),
        _parts_of(layers),
        len(layers),
        address(last.weight) if last else None,
        address(last.bias) if last else None,
    )
    return Decoder(handle, embedding, layers, last)
