"""Settings of the architectures: the section [model].

They are here and not beside the code in `seq2seq_cli.models`, so that they can be read without
torch.

- `base`: what all architectures share
- `recurrent`: the RNN without attention and with it
- `conv`: convolution
- `transformer`: self-attention
- `architectures`: the settings of each by its name
"""

from seq2seq_cli.config.models.architectures import (
    MODEL_CONFIGS,
    check_attends_to_source,
    model_config,
)
from seq2seq_cli.config.models.base import ModelConfig, Vocabulary
from seq2seq_cli.config.models.conv import ConvConfig
from seq2seq_cli.config.models.recurrent import (
    AttentionRnnConfig,
    RecurrentConfig,
    RnnConfig,
    ScopeName,
    ScoreName,
)
from seq2seq_cli.config.models.transformer import Scaling, TransformerConfig

__all__ = [
    "MODEL_CONFIGS",
    "AttentionRnnConfig",
    "ConvConfig",
    "ModelConfig",
    "RecurrentConfig",
    "RnnConfig",
    "Scaling",
    "ScopeName",
    "ScoreName",
    "TransformerConfig",
    "Vocabulary",
    "check_attends_to_source",
    "model_config",
]
