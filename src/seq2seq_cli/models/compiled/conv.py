"""The convolutional model, compiled for search on a CPU.

Dimensions: B sentences, N decoder rows, S source tokens, D width, K kernel; see `models.base`.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from seq2seq_cli.models.base import TranslationModel, Tree, select
from seq2seq_cli.models.compiled.linear import packed
from seq2seq_cli.models.conv import Conv, ConvConfig, Convolution, DecoderLayer
from seq2seq_cli.models.layers import source_mask
from seq2seq_cli.native import convolution as parts
from seq2seq_cli.native.read import Past, Sources


@dataclass(frozen=True)
class _Read:
    """The tokens read so far, and of the last K - 1 what the layers keep."""

    count: int
    past: Past

    def select(self, rows: Tensor) -> "_Read":
        return _Read(self.count, cast(Past, select(self.past, rows)))


class CompiledConv:
    """A convolutional model whose encoder reads a batch in one call, its decoder a token a row.

    Memory: `native.read.Sources`, of float16 with 8-bit weights.
    """

    @staticmethod
    def serves(model: TranslationModel) -> bool:
        """Whether this can stand for the model."""
        return isinstance(model, Conv)

    def __init__(self, model: TranslationModel) -> None:
        model = cast(Conv, model)
        config = cast(ConvConfig, model.config)
        self.model = model
        self.output = packed(model.output)
        settings = parts.ConvolutionSettings(
            config.width,
            config.channels,
            config.kernel,
            torch.float16 if self.output.eight_bits else torch.float32,
        )
        layers = cast(list[Convolution], list(model.encoder.layers))
        self.encoder = parts.Encoder(
            settings,
            packed(model.encoder.input),
            [packed(layer.weight) for layer in layers],
            packed(model.encoder.output),
        )
        self.decoder = parts.Decoder(
            settings,
            packed(model.input),
            [
                parts.DecoderLayer(
                    packed(layer.convolution.weight), packed(layer.query), packed(layer.context)
                )
                for layer in cast(list[DecoderLayer], list(model.decoder))
            ],
            packed(model.features),
        )

    def encode(self, source: Tensor) -> tuple[Tree, Tree]:
        """Read (B, S) ids; return memory, and the state before the first token, B rows each."""
        real = source_mask(source)
        sources = self.encoder.read(
            source[real],
            real.sum(dim=1, dtype=torch.int32),
            self.model.source_embedding.weight,
            self.model.encoder.embed.positions(0, source.size(1)).contiguous(),
        )
        return sources, _Read(0, Past.empty(source.size(0)))

    def decode(self, target: Tensor, state: Tree, memory: Tree) -> tuple[Tensor, Tree]:
        """Read (N, 1) ids; return features (N, 1, D) and the state after them."""
        read, sources = cast(_Read, state), cast(Sources, memory)
        features, past = self.decoder.step(
            target[:, 0].contiguous(),
            self.model.target_embedding.weight,
            self.model.embed.positions(read.count, 1).contiguous(),
            read.past,
            sources,
        )
        return features[:, None], _Read(read.count + 1, past)
