"""The convolutional model's encoder and decoder (convolution.cpp).

Dimensions: D width.
"""

import ctypes
import weakref
from collections.abc import Sequence

import numpy as np

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.arrays import Counts, Floats, Tokens
from seq2seq_cli.kernels.inference.decoding import Decoder, TargetEmbedding
from seq2seq_cli.kernels.inference.encoder_memory import Embedding, EncoderMemory, SourceTokens
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.prototypes import POINTER, fields


class _ConvolutionSettings(ctypes.Structure):
    _fields_ = fields("int32_t width, channels, kernel, float16_keys_values;")


class _ConvolutionWeights(ctypes.Structure):
    _fields_ = fields("const void *convolution, *query, *context;")


_kernels = Functions("""
    void *convolution_encoder_new(const ConvolutionSettings *settings, const void *input,
                                  const void *const *layers, int32_t count, const void *output);
    void convolution_encoder_free(void *encoder);
    void convolution_encoder_read(const void *encoder, const SourceTokens *source);
    void *convolution_decoder_new(const ConvolutionSettings *settings, const void *input,
                                  const ConvolutionWeights *layers, int32_t count,
                                  const void *output);
""")


@dataclass(frozen=True)
class ConvolutionSettings:
    """Settings of encoder and decoder."""

    width: int
    channels: int
    kernel: int
    dtype: type  # of keys and values: float32 or float16

    def as_struct(self) -> _ConvolutionSettings:
        return _ConvolutionSettings(
            width=self.width,
            channels=self.channels,
            kernel=self.kernel,
            float16_keys_values=self.dtype == np.float16,
        )


class Encoder:
    """Convolutions over the source, and the keys and values made of them."""

    def __init__(
        self, settings: ConvolutionSettings, first: Linear, layers: Sequence[Linear], last: Linear
    ) -> None:
        self.settings = settings
        self.owners = first, layers, last  # C++ points into them
        self.handle = _kernels().convolution_encoder_new(
            ctypes.byref(settings.as_struct()),
            first.handle,
            (POINTER * len(layers))(*(layer.handle for layer in layers)),
            len(layers),
            last.handle,
        )
        weakref.finalize(self, _kernels().convolution_encoder_free, self.handle)

    def read(
        self, tokens: Tokens, lengths: Counts, embedding: Embedding, positions: Floats
    ) -> EncoderMemory:
        """Read the sentences in `tokens` (any,), one after the other, with their `lengths`.

        `positions` (longest, D) are added to the rows of the embedding.
        """
        settings = self.settings
        memory = EncoderMemory.empty(lengths, len(tokens), settings.width, settings.dtype, 1)
        source = SourceTokens.of(tokens, memory, embedding, positions)
        _kernels().convolution_encoder_read(self.handle, ctypes.byref(source))
        return memory


@dataclass(frozen=True)
class DecoderLayer:
    """The linear layers of one layer of the decoder."""

    convolution: Linear
    query: Linear
    context: Linear


def decoder(
    settings: ConvolutionSettings,
    embedding: TargetEmbedding,
    first: Linear,
    layers: Sequence[DecoderLayer],
    last: Linear,
) -> Decoder:
    """Make a decoder of convolutions over the target, each with attention to the source."""
    array = (_ConvolutionWeights * len(layers))(
        *(
            _ConvolutionWeights(
                convolution=layer.convolution.handle,
                query=layer.query.handle,
                context=layer.context.handle,
            )
            for layer in layers
        )
    )
    handle = _kernels().convolution_decoder_new(
        ctypes.byref(settings.as_struct()), first.handle, array, len(layers), last.handle
    )
    return Decoder(handle, embedding, first, layers, last)
