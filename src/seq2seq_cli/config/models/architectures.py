"""The settings of every architecture by its name, and the section [model] read by them."""

from collections.abc import Mapping
from typing import Any

from seq2seq_cli.config.models.base import ModelConfig
from seq2seq_cli.config.models.conv import ConvConfig
from seq2seq_cli.config.models.recurrent import AttentionRnnConfig, RnnConfig
from seq2seq_cli.config.models.transformer import TransformerConfig
from seq2seq_cli.config.settings import require, settings_from
from seq2seq_cli.errors import InputError

# The settings of each architecture; `models` has its code under the same name.
MODEL_CONFIGS: dict[str, type[ModelConfig]] = {
    kind.architecture: kind
    for kind in (RnnConfig, AttentionRnnConfig, ConvConfig, TransformerConfig)
}


def model_config(table: Mapping[str, Any]) -> ModelConfig:
    """Read the [model] section. Raises InputError for what is unknown or does not fit together."""
    name = table.get("architecture")
    if name not in MODEL_CONFIGS:
        raise InputError(
            f"model.architecture = {name!r}: one of {', '.join(MODEL_CONFIGS)} is allowed"
        )
    return settings_from(MODEL_CONFIGS[name], "model", table)


def check_attends_to_source(config: ModelConfig, purpose: str) -> None:
    """Raise InputError, which begins with the purpose, unless models with `config` attend."""
    *others, last = (name for name, kind in MODEL_CONFIGS.items() if kind.attends_to_source)
    require(
        config.attends_to_source,
        f"{purpose} needs attention to the source, which the architecture "
        f"{config.architecture} does not have; {', '.join(others)} and {last} have it",
    )
