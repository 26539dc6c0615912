"""Settings of the convolutional architecture."""

from typing import Literal

from seq2seq_cli.config.models.base import ModelConfig
from seq2seq_cli.config.settings import setting
from seq2seq_cli.deferred import dataclass


@dataclass(frozen=True)
class ConvConfig(ModelConfig):
    """Settings of the convolutional architecture; depths are in layers."""

    attends_to_source = True

    architecture: Literal["conv"] = "conv"

    channels: int = setting(256, at_least=1)
    """Channels of a layer's input and output."""

    encoder_layers: int = setting(4, at_least=1)
    """Layers of the encoder."""

    decoder_layers: int = setting(3, at_least=1)
    """Layers of the decoder."""

    kernel: int = setting(3, at_least=1, odd=True)
    """Tokens that a layer sees at once."""

    max_positions: int = setting(512, at_least=1)
    """Positions that have vectors of their own; later tokens share the last one's."""
