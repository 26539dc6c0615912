"""The convolutional model's encoder and decoder (convolution.cpp).

Dimensions: D width.
"""

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq_cli.kernels.inference.decoding import Decoder, TargetEmbedding
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory, SourceTokens
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.library import INT, POINTER, declaring


class _Settings(ctypes.Structure):
    _fields_ = (("width", INT), ("channels", INT), ("kernel", INT), ("halves", INT))


class _Parts(ctypes.Structure):
    _fields_ = (("convolution", POINTER), ("query", POINTER), ("context", POINTER))


_compiled = declaring(
    {
        "convolution_encoder_new": (POINTER, POINTER, POINTER, POINTER, INT, POINTER),
        "convolution_encoder_free": (None, POINTER),
        "convolution_encoder_read": (None, POINTER, POINTER),
        "convolution_decoder_new": (POINTER, POINTER, POINTER, POINTER, INT, POINTER),
    }
)


@dataclass(frozen=True)
class ConvolutionSettings:
    """What encoder and decoder have in common."""

    width: int
    channels: int
    kernel: int
    kept: torch.dtype  # of keys and values: float32 or float16

    def as_struct(self) -> _Settings:
        return _Settings(self.width, self.channels, self.kernel, self.kept == torch.float16)


class Encoder:
    """Convolutions over the source, and the keys and values made of them."""

    def __init__(
        self, settings: ConvolutionSettings, first: Linear, layers: Sequence[Linear], last: Linear
    ) -> None:
        self.settings = settings
        self.parts = first, layers, last  # kept: the compiled side points into them
        self.handle = _compiled().convolution_encoder_new(
            ctypes.byref(settings.as_struct()),
            first.handle,
            (POINTER * len(layers))(*(layer.handle for layer in layers)),
            len(layers),
            last.handle,
        )
        weakref.finalize(self, _compiled().convolution_encoder_free, self.handle)

    def read(
        self, tokens: Tensor, lengths: Tensor, embedding: Tensor, positions: Tensor
    ) -> EncoderMemory:
        """Read sentences that stand one after the other in `tokens` (any,), as long as `lengths`.

        `positions` (longest, D) are added to the embedding's rows.
        """
        settings = self.settings
        sources = EncoderMemory.empty(lengths, len(tokens), settings.width, settings.kept, 1)
        given = SourceTokens.of(tokens, sources, embedding, positions)
        _compiled().convolution_encoder_read(self.handle, ctypes.byref(given))
        return sources


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
    """Convolutions over the target, each with attention to the source."""
    array = (_Parts * len(layers))(
        *(
            _Parts(each.convolution.handle, each.query.handle, each.context.handle)
            for each in layers
        )
    )
    handle = _compiled().convolution_decoder_new(
        ctypes.byref(settings.as_struct()), first.handle, array, len(layers), last.handle
    )
    return Decoder(handle, embedding, first, layers, last)
