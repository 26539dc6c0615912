"""The convolutional model, for search in kernels.

Dimensions: B sentences, S source tokens; see `models.base`.
"""

from typing import cast

import torch
from torch import Tensor

from seq2seq_cli.config.models import ConvConfig
from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.linear import pack
from seq2seq_cli.kernels.inference import convolution as kernels
from seq2seq_cli.kernels.inference.decoding import KVCache, PositionTables, TargetEmbedding
from seq2seq_cli.models.base import State, TranslationModel
from seq2seq_cli.models.conv import Conv, Convolution, DecoderLayer
from seq2seq_cli.models.layers import source_mask


class ConvInference(InferenceModel):
    """A convolutional model whose encoder reads a batch in one call."""

    model_class = Conv

    def __init__(self, model: TranslationModel) -> None:
        model = cast(Conv, model)
        config = cast(ConvConfig, model.config)
        self.model = model
        self.output = pack(model.output)
        settings = kernels.ConvolutionSettings(
            width=config.width,
            channels=config.channels,
            kernel=config.kernel,
            dtype=torch.float16 if self.output.eight_bits else torch.float32,
        )
        layers = cast(list[Convolution], list(model.encoder.layers))
        self.encoder = kernels.Encoder(
            settings,
            pack(model.encoder.input),
            [pack(layer.weight) for layer in layers],
            pack(model.encoder.output),
        )
        self.decoder = kernels.decoder(
            settings,
            TargetEmbedding(model.target_embedding.weight, self._tables),
            pack(model.input),
            [
                kernels.DecoderLayer(
                    pack(layer.convolution.weight), pack(layer.query), pack(layer.context)
                )
                for layer in cast(list[DecoderLayer], list(model.decoder))
            ],
            pack(model.features),
        )

    def encode(self, source: Tensor) -> tuple[State, State]:
        real = source_mask(source)
        memory = self.encoder.read(
            source[real],
            real.sum(dim=1, dtype=torch.int32),
            self.model.source_embedding.weight,
            self.model.encoder.embed.positions(0, source.size(1)).contiguous(),
        )
        return memory, KVCache.empty(source.size(0))

    def _tables(self, count: int) -> PositionTables:
        return PositionTables(self.model.embed.positions(0, count).contiguous())
