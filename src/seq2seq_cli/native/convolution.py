"""The convolutional model's encoder and decoder (convolution.cpp).

Dimensions: N rows of hypotheses, D width, C channels, K kernel.
"""

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq_cli.native import INT, POINTER, Linear, declaring
from seq2seq_cli.native.read import Past, Sources, SourceTokens, Surroundings


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
        "convolution_decoder_free": (None, POINTER),
        "convolution_decoder_step": (None, POINTER, POINTER, POINTER),
    }
)


@dataclass(frozen=True)
class ConvolutionSettings:
    """What encoder and decoder have in common."""

    width: int
    channels: int
    kernel: int
    kept: torch.dtype  # of keys and values: float32 or float16

    def packed(self) -> _Settings:
        return _Settings(self.width, self.channels, self.kernel, self.kept == torch.float16)


class Encoder:
    """Convolutions over the source, and the keys and values made of them."""

    def __init__(
        self, settings: ConvolutionSettings, first: Linear, layers: Sequence[Linear], last: Linear
    ) -> None:
        self.settings = settings
        self.parts = first, layers, last  # kept: the compiled side points into them
        self.handle = _compiled().convolution_encoder_new(
            ctypes.byref(settings.packed()),
            first.handle,
            (POINTER * len(layers))(*(layer.handle for layer in layers)),
            len(layers),
            last.handle,
        )
        weakref.finalize(self, _compiled().convolution_encoder_free, self.handle)

    def read(
        self, tokens: Tensor, lengths: Tensor, embedding: Tensor, positions: Tensor
    ) -> Sources:
        """Read sentences that stand one after the other in `tokens` (any,), as long as `lengths`.

        `positions` (longest, D) are added to the embedding's rows.
        """
        settings = self.settings
        sources = Sources.empty(lengths, len(tokens), settings.width, settings.kept, 1)
        given = SourceTokens.of(tokens, sources, embedding, positions)
        _compiled().convolution_encoder_read(self.handle, ctypes.byref(given))
        return sources


@dataclass(frozen=True)
class DecoderLayer:
    """The linear layers of one layer of the decoder."""

    convolution: Linear
    query: Linear
    context: Linear


class Decoder:
    """A decoder that reads one token of each row at a time."""

    def __init__(
        self,
        settings: ConvolutionSettings,
        first: Linear,
        layers: Sequence[DecoderLayer],
        last: Linear,
    ) -> None:
        self.settings, self.layers = settings, layers
        self.parts = first, last  # kept, as `layers` are: the compiled side points into them
        array = (_Parts * len(layers))(
            *(
                _Parts(each.convolution.handle, each.query.handle, each.context.handle)
                for each in layers
            )
        )
        self.handle = _compiled().convolution_decoder_new(
            ctypes.byref(settings.packed()), first.handle, array, len(layers), last.handle
        )
        weakref.finalize(self, _compiled().convolution_decoder_free, self.handle)

    def step(
        self, tokens: Tensor, embedding: Tensor, position: Tensor, past: Past, sources: Sources
    ) -> tuple[Tensor, Past]:
        """Read tokens (N,); return features (N, D), and the past with these tokens.

        The position (1, D) is added to the embedding's rows. Rows of one sentence stand together.
        Of the past the inputs of the last K - 1 tokens are kept.
        """
        rows, settings = tokens.size(0), self.settings
        features = embedding.new_empty(rows, settings.width)
        own = torch.empty(len(self.layers), rows, settings.channels)
        after = past.grown(own, rows, settings.kernel - 1)
        around = Surroundings.of(tokens, embedding, position, None, past, after, sources)
        _compiled().convolution_decoder_step(self.handle, ctypes.byref(around), features.data_ptr())
        return features, after
