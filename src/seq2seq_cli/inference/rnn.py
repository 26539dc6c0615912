"""The RNN with a context vector of fixed length, for search in kernels."""

from typing import cast

from seq2seq_cli.config.models import ModelConfig, RnnConfig
from seq2seq_cli.inference.recurrent import (
    RecurrentInference,
    decoder_cells,
    encoder_cells,
    settings_of,
    target_embedding,
)
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.inference import recurrent as kernels
from seq2seq_cli.kernels.inference.linear import Linear


class RnnInference(RecurrentInference):
    """An RNN whose decoder reads the context as its initial state, or at every step too."""

    Config = RnnConfig

    def __init__(self, config: ModelConfig, weights: ModelWeights) -> None:
        self.config = config = cast(RnnConfig, config)
        self.output = weights.output()
        self.source_embedding = weights.source_embedding()
        settings = settings_of(config, weights, reverse_source=config.reverse_source)
        every_step = config.context == "every-step"
        self.encoder = kernels.Encoder(
            settings,
            encoder_cells(config, weights),
            weights.linear("decoder.bridge"),
            attention=None,
            context=_context(weights) if every_step else None,
        )
        self.decoder = kernels.decoder(
            settings,
            target_embedding(weights),
            decoder_cells(config, weights),
            None,
            weights.linear("features"),
            every_step=every_step,
        )


def _context(weights: ModelWeights) -> Linear:
    """One layer for what the context adds to inputs, then to hidden states."""
    return weights.joined(["context_input.weight", "context_features.weight"])
