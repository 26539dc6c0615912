"""The model in kernels for the settings of a model."""

from importlib import import_module
from typing import cast

from seq2seq_cli.config.models import (
    AttentionRnnConfig,
    ConvConfig,
    ModelConfig,
    RnnConfig,
    TransformerConfig,
)
from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.library import library

# The file and the class for each kind of settings; a translation imports those of its own model.
INFERENCE_MODELS: dict[type[ModelConfig], tuple[str, str]] = {
    RnnConfig: ("rnn", "RnnInference"),
    AttentionRnnConfig: ("attention_rnn", "AttentionRnnInference"),
    ConvConfig: ("conv", "ConvInference"),
    TransformerConfig: ("transformer", "TransformerInference"),
}


def inference_class(config: ModelConfig) -> type[InferenceModel] | None:
    """Find the class that runs models with these settings in kernels, if there is one."""
    if library() is None or type(config) not in INFERENCE_MODELS:
        return None
    file, name = INFERENCE_MODELS[type(config)]
    return cast(type[InferenceModel], getattr(import_module(f"seq2seq_cli.inference.{file}"), name))


def make_inference_model(model: PlainModel, *, eight_bits: bool) -> InferenceModel:
    """Pack the weights of a model that `inference_class` has a class for, unless they are already.

    Raises NoNumbersError if they are not finite.
    """
    kind = inference_class(model.config)
    assert kind is not None, "the caller has to ask `inference_class` before"
    weights = ModelWeights(model, eight_bits=eight_bits)
    made = kind(model.config, weights)
    made.copy_gate = weights.copy_gate()
    if weights.has_packed:
        model.keep(weights.layers)
    return made
