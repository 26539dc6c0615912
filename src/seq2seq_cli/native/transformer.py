"""A Transformer's encoder and decoder (transformer.cpp).

Dimensions: N rows of hypotheses, D width, H heads, T target tokens; B sentences still searched.
"""

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seq2seq_cli.native import INT, POINTER, Linear, address, declaring
from seq2seq_cli.native.read import Past, Sources, SourceTokens, Surroundings

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
        "encoder_new": (*(POINTER, POINTER, POINTER, INT), *(POINTER, POINTER, POINTER, INT)),
        "encoder_free": (None, POINTER),
        "encoder_read": (None, POINTER, POINTER),
        "decoder_new": (POINTER, POINTER, POINTER, INT, POINTER, POINTER),
        "decoder_free": (None, POINTER),
        "decoder_step": (None, POINTER, POINTER, POINTER),
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

    def packed(self) -> _Settings:
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
        self.handle = _compiled().encoder_new(
            ctypes.byref(settings.packed()),
            _parts_of(layers),
            len(layers),
            address(last.weight) if last else None,
            address(last.bias) if last else None,
            (POINTER * len(keys_values))(*(each.handle for each in keys_values)),
            len(keys_values),
        )
        weakref.finalize(self, _compiled().encoder_free, self.handle)

    def read(
        self,
        tokens: Tensor,
        lengths: Tensor,
        embedding: Tensor,
        positions: Tensor | None,
        rotations: Tensor | None,
    ) -> "Sources":
        """Read sentences that stand one after the other in `tokens` (any,), as long as `lengths`.

        What is read is the embedding's row, times its scale, plus that of `positions` (longest, D),
        if there are any. `rotations` (longest, 2, D / H / 2) are for rotary positions.
        """
        sources = Sources.empty(
            lengths, len(tokens), self.settings.width, self.settings.kept, len(self.keys_values)
        )
        given = SourceTokens.of(tokens, sources, embedding, positions, rotations)
        _compiled().encoder_read(self.handle, ctypes.byref(given))
        return sources


class Decoder:
    """A Transformer's decoder that reads one token of each row at a time."""

    def __init__(
        self,
        settings: TransformerSettings,
        layers: Sequence[TransformerLayer],
        last: NormWeights | None,
    ) -> None:
        self.layers, self.last = layers, last  # kept: the compiled side points into them
        self.settings = settings
        self.handle = _compiled().decoder_new(
            ctypes.byref(settings.packed()),
            _parts_of(layers),
            len(layers),
            address(last.weight) if last else None,
            address(last.bias) if last else None,
        )
        weakref.finalize(self, _compiled().decoder_free, self.handle)

    def step(
        self,
        tokens: Tensor,
        embedding: Tensor,
        position: Tensor | None,
        rotations: Tensor | None,
        past: "Past",
        sources: "Sources",
    ) -> tuple[Tensor, "Past"]:
        """Read tokens (N,); return features (N, D), and the past with these tokens.

        What is read is the embedding's row, times its scale, plus the position (1, D), if there is
        one. `rotations` (1, 2, D / H / 2) are cosines and sines of this place, with rotary
        positions. Rows of one sentence stand together.
        """
        rows = tokens.size(0)
        features = embedding.new_empty(rows, self.settings.width)
        own = torch.empty(len(self.layers), rows, 2, self.settings.width, dtype=self.settings.kept)
        after = past.grown(own, rows)
        around = Surroundings.of(tokens, embedding, position, rotations, past, after, sources)
        _compiled().decoder_step(self.handle, ctypes.byref(around), features.data_ptr())
        return features, after
