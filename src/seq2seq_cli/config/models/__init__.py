"""Settings of the architectures: the section [model].

They are here and not beside the code in `seq2seq_cli.models` so that they can be read without torch.

- `transformer`: all of them
"""

from seq2seq_cli.config.models.transformer import (
    MODEL_CONFIGS,
    AttentionRnnConfig,
    ConvConfig,
    ModelConfig,
    RecurrentConfig,
    RnnConfig,
    Scaling,
    ScopeName,
    ScoreName,
    TransformerConfig,
    Vocabulary,
    check_attends_to_source,
    model_config,
)

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
