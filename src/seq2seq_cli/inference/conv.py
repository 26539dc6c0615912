"""The convolutional model, for search in kernels."""

from typing import cast

from seq2seq_cli.config.models import ConvConfig, ModelConfig
from seq2seq_cli.inference import positions
from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.arrays import Counts, Tokens
from seq2seq_cli.kernels.inference import convolution as kernels
from seq2seq_cli.kernels.inference.decoding import KVCache, PositionTables, TargetEmbedding
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory


class ConvInference(InferenceModel):
    """A convolutional model whose encoder reads a batch in one call."""

    Config = ConvConfig

    def __init__(self, config: ModelConfig, weights: ModelWeights) -> None:
        self.config = config = cast(ConvConfig, config)
        self.output = weights.output()
        self.source_embedding = weights.source_embedding()
        self.source_positions = weights["encoder.embed.positions.embedding.weight"]
        target_positions = weights["embed.positions.embedding.weight"]
        settings = kernels.ConvolutionSettings(
            width=config.width,
            channels=config.channels,
            kernel=config.kernel,
            dtype=weights.keys_values_type,
        )
        self.encoder = kernels.Encoder(
            settings,
            weights.linear("encoder.input"),
            [weights.linear(f"encoder.layers.{i}.weight") for i in range(config.encoder_layers)],
            weights.linear("encoder.output"),
        )
        self.decoder = kernels.decoder(
            settings,
            TargetEmbedding(
                weights.target_embedding(),
                lambda count: PositionTables(positions.learned(target_positions, count)),
            ),
            weights.linear("input"),
            [
                kernels.DecoderLayer(
                    weights.linear(f"decoder.{i}.convolution.weight"),
                    weights.linear(f"decoder.{i}.query"),
                    weights.linear(f"decoder.{i}.context"),
                )
                for i in range(config.decoder_layers)
            ],
            weights.linear("features"),
        )

    def encode(self, tokens: Tokens, lengths: Counts) -> tuple[EncoderMemory, KVCache]:
        vectors = positions.learned(self.source_positions, int(lengths.max(initial=0)))
        memory = self.encoder.read(tokens, lengths, self.source_embedding, vectors)
        return memory, KVCache.empty(len(lengths))
