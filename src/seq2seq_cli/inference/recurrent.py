"""The cells and the encoder that both recurrent models in kernels share."""

from seq2seq_cli.config.models import RecurrentConfig
from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.arrays import Counts, Floats, Tokens
from seq2seq_cli.kernels.inference.decoding import KVCache, PositionTables, TargetEmbedding
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory
from seq2seq_cli.kernels.inference.recurrent import Cell, Encoder, RecurrentSettings


class RecurrentInference(InferenceModel):
    """A recurrent model whose encoder reads a batch in one call."""

    encoder: Encoder
    source_embedding: Floats

    def encode(self, tokens: Tokens, lengths: Counts) -> tuple[EncoderMemory, KVCache]:
        return self.encoder.read(tokens, lengths, self.source_embedding)


def settings_of(
    config: RecurrentConfig,
    weights: ModelWeights,
    *,
    reverse_source: bool = False,
    input_feeding: bool = False,
) -> RecurrentSettings:
    """The settings of encoder and decoder."""
    return RecurrentSettings(
        width=config.width,
        units=config.units,
        cell_states=2 if config.cell == "lstm" else 1,
        directions=2 if config.bidirectional else 1,
        dtype=weights.keys_values_type,
        reverse_source=reverse_source,
        input_feeding=input_feeding,
    )


def encoder_cells(config: RecurrentConfig, weights: ModelWeights) -> list[Cell]:
    """The directions of the first layer, then those of the next."""
    suffixes = ("l0", "l0_reverse") if config.bidirectional else ("l0",)
    return [
        _cell(weights, f"encoder.layers.{i}", suffix)
        for i in range(config.encoder_layers)
        for suffix in suffixes
    ]


def decoder_cells(config: RecurrentConfig, weights: ModelWeights) -> list[Cell]:
    """The layers of the decoder."""
    return [_cell(weights, f"decoder.layers.{i}", "l0") for i in range(config.decoder_layers)]


def target_embedding(weights: ModelWeights) -> TargetEmbedding:
    """The embeddings of target tokens; recurrent models have no vectors for positions."""
    return TargetEmbedding(weights.target_embedding(), lambda count: PositionTables())


def _cell(weights: ModelWeights, name: str, suffix: str) -> Cell:
    from_input, from_state = (
        weights.packed(f"{name}.weight_{side}_{suffix}", f"{name}.bias_{side}_{suffix}")
        for side in ("ih", "hh")
    )
    return Cell(from_input, from_state)
