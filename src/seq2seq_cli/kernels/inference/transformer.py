"""A Transformer's encoder and decoder (transformer_encoder.cpp, transformer_decoder.cpp).

Dimensions: D width, H heads.
"""

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.arrays import Counts, Floats, Tokens, address
from seq2seq_cli.kernels.inference.decoding import Decoder, TargetEmbedding
from seq2seq_cli.kernels.inference.encoder_memory import Embedding, EncoderMemory, SourceTokens
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.prototypes import POINTER, fields

# Numbered as in layers.h
ACTIVATIONS = ("relu", "gelu", "gelu-tanh", "gelu-sigmoid", "swish", "swiglu", "geglu")
DECODER_ATTENTION = ("self", "average", "ssru")  # numbered as in transformer_decoder.cpp


class _TransformerSettings(ctypes.Structure):
    _fields_ = fields("""
        int32_t width, heads, head_width, feed_forward, activation, decoder_attention;
        int32_t pre_norm, float16_keys_values;
        float residual, embedding_scale, norm_epsilon;
    """)


class _EndNorms(ctypes.Structure):
    _fields_ = fields("""
        const float *embedding_weight, *embedding_bias, *last_weight, *last_bias;
    """)


class _LayerWeights(ctypes.Structure):
    _fields_ = fields("""
        const void *self_input, *self_output, *self_gates;
        const void *cross_query, *cross_output, *inner, *outer;
        const float *self_weight, *self_bias, *cross_weight, *cross_bias;
        const float *feed_forward_weight, *feed_forward_bias;
    """)


_kernels = Functions("""
    void *transformer_encoder_new(const TransformerSettings *settings, const LayerWeights *layers,
                                  int32_t count, const EndNorms *norms,
                                  const void *const *keys_values, int32_t decoder_layers);
    void transformer_encoder_free(void *encoder);
    void transformer_encoder_read(const void *encoder, const SourceTokens *source);
    void *transformer_decoder_new(const TransformerSettings *settings, const LayerWeights *layers,
                                  int32_t count, const EndNorms *norms);
""")


@dataclass(frozen=True)
class NormWeights:
    """Weights of LayerNorm, or of RMSNorm if there is no bias; (D,) each."""

    weight: Floats
    bias: Floats | None


@dataclass(frozen=True)
class EndNorms:
    """The norms of the sum of embedding and position and after the last layer, if there are any."""

    embedding: NormWeights | None
    last: NormWeights | None

    def as_struct(self) -> _EndNorms:
        struct = _EndNorms()
        for name in ("embedding", "last"):
            norm: NormWeights | None = getattr(self, name)
            if norm is not None:
                setattr(struct, f"{name}_weight", address(norm.weight))
                setattr(struct, f"{name}_bias", address(norm.bias))
        return struct


@dataclass(frozen=True)
class TransformerLayer:
    """The weights of one layer; only a decoder's has cross-attention.

    `self_input` and what follows it are, in self-attention, the queries, keys and values together,
    and the output; in average attention the feed-forward layer, and the gates; in an SSRU the
    forget gate and the input together.
    """

    self_input: Linear
    inner: Linear
    outer: Linear
    self_norm: NormWeights
    feed_forward_norm: NormWeights
    self_output: Linear | None = None
    self_gates: Linear | None = None
    cross_query: Linear | None = None
    cross_output: Linear | None = None
    cross_norm: NormWeights | None = None


@dataclass(frozen=True)
class TransformerSettings:
    """Settings of all layers of an encoder or a decoder."""

    width: int
    heads: int
    head_width: int
    feed_forward: int
    activation: str
    decoder_attention: str  # ignored by an encoder
    pre_norm: bool
    dtype: type  # of keys and values: float32 or float16
    residual: float  # factor of the residual connection
    embedding_scale: float
    norm_epsilon: float

    def as_struct(self) -> _TransformerSettings:
        return _TransformerSettings(
            width=self.width,
            heads=self.heads,
            head_width=self.head_width,
            feed_forward=self.feed_forward,
            activation=ACTIVATIONS.index(self.activation),
            decoder_attention=DECODER_ATTENTION.index(self.decoder_attention),
            pre_norm=self.pre_norm,
            float16_keys_values=self.dtype == np.float16,
            residual=self.residual,
            embedding_scale=self.embedding_scale,
            norm_epsilon=self.norm_epsilon,
        )


def _layer_weights(layers: Sequence[TransformerLayer]) -> Any:
    """Make the array that C++ reads layers from. It points into their weights."""
    array = (_LayerWeights * len(layers))()
    for weights, layer in zip(array, layers, strict=True):
        for name in (
            *("self_input", "self_output", "self_gates", "cross_query", "cross_output"),
            *("inner", "outer"),
        ):
            linear: Linear | None = getattr(layer, name)
            setattr(weights, name, linear.handle if linear else None)
        for name in ("self", "cross", "feed_forward"):
            norm: NormWeights | None = getattr(layer, f"{name}_norm")
            setattr(weights, f"{name}_weight", address(norm.weight) if norm else None)
            setattr(weights, f"{name}_bias", address(norm.bias) if norm else None)
    return array


class Encoder:
    """An encoder, and the keys and values that the decoder's layers make of its outputs."""

    def __init__(
        self,
        settings: TransformerSettings,
        layers: Sequence[TransformerLayer],
        norms: EndNorms,
        keys_values: Sequence[Linear],
    ) -> None:
        self.layers, self.norms, self.keys_values = layers, norms, keys_values  # C++ points there
        self.settings = settings
        self.handle = _kernels().transformer_encoder_new(
            ctypes.byref(settings.as_struct()),
            _layer_weights(layers),
            len(layers),
            ctypes.byref(norms.as_struct()),
            (POINTER * len(keys_values))(*(each.handle for each in keys_values)),
            len(keys_values),
        )
        weakref.finalize(self, _kernels().transformer_encoder_free, self.handle)

    def read(
        self,
        tokens: Tokens,
        lengths: Counts,
        embedding: Embedding,
        positions: Floats | None,
        rotations: Floats | None,
        biases: Floats | None,
    ) -> EncoderMemory:
        """Read the sentences in `tokens` (any,), one after the other, with their `lengths`.

        `positions` (longest, D), if there are any, are added to the scaled rows of the embedding.
        `rotations` (longest, 2, head width / 2) are for rotary positions. `biases`
        (H, 2 reach - 1) are for relative ones, by offsets from 1 - reach on.
        """
        width = self.settings.heads * self.settings.head_width
        memory = EncoderMemory.empty(
            lengths, len(tokens), width, self.settings.dtype, len(self.keys_values)
        )
        source = SourceTokens.of(tokens, memory, embedding, positions, rotations, biases)
        _kernels().transformer_encoder_read(self.handle, ctypes.byref(source))
        return memory


def decoder(
    settings: TransformerSettings,
    embedding: TargetEmbedding,
    layers: Sequence[TransformerLayer],
    norms: EndNorms,
) -> Decoder:
    """Make a decoder."""
    handle = _kernels().transformer_decoder_new(
        ctypes.byref(settings.as_struct()),
        _layer_weights(layers),
        len(layers),
        ctypes.byref(norms.as_struct()),
    )
    return Decoder(handle, embedding, layers, norms)
