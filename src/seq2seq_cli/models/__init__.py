"""All architectures behind one interface. A new one is a file here and a line in ARCHITECTURES.

- `base`: the interface of a model, and the settings that all share
- `layers`: layers that more than one architecture is built from
- `kv_cache`: keys and values of the tokens decoded so far
- `attention`: the score functions and scopes of attention to the source
- `attention_capture`: attention weights, recorded while a model runs
- `parts`: groups of parameters, by the names that users give them
- `recurrent`: recurrent encoders and decoders
- `fast_decoders`: average attention and SSRU, in place of decoder self-attention
- `rnn`: the fixed context vector
- `attention_rnn`: attention as a combination of all hidden states
- `conv`: convolution
- `transformer`: self-attention
"""

from collections.abc import Mapping
from typing import Any

from seq2seq_cli.config.settings import settings_from
from seq2seq_cli.errors import InputError
from seq2seq_cli.models.attention_capture import capture_attention, source_attentions
from seq2seq_cli.models.attention_rnn import AttentionRnn
from seq2seq_cli.models.base import ModelConfig, State, TranslationModel, Vocabulary, reorder_state
from seq2seq_cli.models.conv import Conv
from seq2seq_cli.models.rnn import Rnn
from seq2seq_cli.models.transformer import Transformer

__all__ = [
    "ARCHITECTURES",
    "ModelConfig",
    "State",
    "TranslationModel",
    "Vocabulary",
    "build",
    "capture_attention",
    "model_config",
    "reorder_state",
    "source_attentions",
]

ARCHITECTURES: dict[str, type[TranslationModel]] = {
    "rnn": Rnn,
    "attention-rnn": AttentionRnn,
    "conv": Conv,
    "transformer": Transformer,
}


def model_config(table: Mapping[str, Any]) -> ModelConfig:
    """Read the [model] section. Raises InputError for what is unknown or does not fit together."""
    name = table.get("architecture")
    if name not in ARCHITECTURES:
        raise InputError(
            f"model.architecture = {name!r}: one of {', '.join(ARCHITECTURES)} is allowed"
        )
    return settings_from(ARCHITECTURES[name].Config, "model", table)


def build(config: ModelConfig, vocabulary: Vocabulary) -> TranslationModel:
    """Make the model, with fresh weights from torch's random state."""
    return ARCHITECTURES[config.architecture](config, vocabulary)
