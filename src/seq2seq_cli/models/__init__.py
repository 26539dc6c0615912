"""All architectures behind one interface. A new one is a file here and a line in ARCHITECTURES.

To read them, begin with `base` and the shortest model, `rnn`.

- `base`: the interface of a model, its table of weights and its parameter groups
- `layers`: layers that more than one architecture is built from
- `kv_cache`: keys and values of the tokens decoded so far
- `attention`: the score functions and scopes of attention to the source
- `attention_capture`: attention weights, captured while a model runs
- `recurrent`: recurrent encoders and decoders
- `fast_decoders`: average attention and SSRU instead of decoder self-attention
- `rnn`: the fixed context vector
- `attention_rnn`: attention to all encoder outputs
- `conv`: convolution
- `transformer_layers`: the layers of the Transformer
- `transformer`: self-attention
"""

from seq2seq_cli.config.models import ModelConfig, Vocabulary, model_config
from seq2seq_cli.config.settings import require
from seq2seq_cli.models.attention_capture import capture_attention, source_attentions
from seq2seq_cli.models.attention_rnn import AttentionRnn
from seq2seq_cli.models.base import State, TranslationModel, Weight, reorder_state
from seq2seq_cli.models.conv import Conv
from seq2seq_cli.models.rnn import Rnn
from seq2seq_cli.models.transformer import Transformer

__all__ = [
    "ARCHITECTURES",
    "ModelConfig",
    "State",
    "TranslationModel",
    "Vocabulary",
    "Weight",
    "build",
    "capture_attention",
    "check_attends_to_source",
    "model_config",
    "reorder_state",
    "source_attentions",
]

ARCHITECTURES: dict[str, type[TranslationModel]] = {
    kind.Config.architecture: kind for kind in (Rnn, AttentionRnn, Conv, Transformer)
}


def check_attends_to_source(model: TranslationModel, purpose: str) -> None:
    """Raise InputError, which begins with the purpose, unless the model attends to the source."""
    *others, last = (name for name, kind in ARCHITECTURES.items() if kind.attends_to_source)
    require(
        model.attends_to_source,
        f"{purpose} needs attention to the source, which the architecture "
        f"{model.config.architecture} does not have; {', '.join(others)} and {last} have it",
    )


def build(config: ModelConfig, vocabulary: Vocabulary) -> TranslationModel:
    """Make the model, with fresh weights from torch's random state."""
    return ARCHITECTURES[config.architecture](config, vocabulary)
