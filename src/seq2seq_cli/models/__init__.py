"""All architectures behind one interface. A new one is a file here and a line in ARCHITECTURES.

To read them, begin with `base` and the shortest model, `rnn`.

- `shards`: tensors that several processes hold a shard of each
- `base`: the interface of a model, its table of weights and its parameter groups
- `layers`: layers that more than one architecture is built from
- `kv_cache`: keys and values of the tokens decoded so far
- `quantization`: linear layers with 8-bit weights
- `attention`: the score functions and scopes of attention to the source
- `attention_capture`: attention weights, captured while a model runs
- `copying`: copies of source pieces, as attention chooses them
- `recurrent`: recurrent encoders and decoders
- `fast_decoders`: average attention and SSRU instead of decoder self-attention
- `rnn`: the fixed context vector
- `attention_rnn`: attention to all encoder outputs
- `conv`: convolution
- `transformer_layers`: the layers of the Transformer
- `transformer`: self-attention
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seq2seq_cli.config.models import ModelConfig, Vocabulary, model_config
from seq2seq_cli.models.attention_capture import capture_attention, source_attentions
from seq2seq_cli.models.attention_rnn import AttentionRnn
from seq2seq_cli.models.base import LayerStates, State, TranslationModel, Weight, reorder_state
from seq2seq_cli.models.conv import Conv
from seq2seq_cli.models.rnn import Rnn
from seq2seq_cli.models.transformer import Transformer

__all__ = [
    "ARCHITECTURES",
    "LayerStates",
    "ModelConfig",
    "State",
    "TranslationModel",
    "Vocabulary",
    "Weight",
    "build",
    "capture_attention",
    "model_config",
    "model_of_arrays",
    "reorder_state",
    "source_attentions",
]

ARCHITECTURES: dict[str, type[TranslationModel]] = {
    kind.Config.architecture: kind for kind in (Rnn, AttentionRnn, Conv, Transformer)
}


def build(config: ModelConfig, vocabulary: Vocabulary) -> TranslationModel:
    """Make the model, with fresh weights from torch's random state."""
    return ARCHITECTURES[config.architecture](config, vocabulary)


def model_of_arrays(
    config: ModelConfig, vocabulary: Vocabulary, arrays: Mapping[str, npt.NDArray[Any]]
) -> TranslationModel:
    """Make a model in evaluation mode with copies of weights, which fit it, by name."""
    with torch.random.fork_rng(devices=[]):
        model = build(config, vocabulary)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(arrays[name])))
    return model.eval()
