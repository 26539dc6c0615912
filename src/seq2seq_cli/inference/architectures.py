"""The model in kernels for the settings of a model."""

from seq2seq_cli.config.models import ModelConfig
from seq2seq_cli.inference.attention_rnn import AttentionRnnInference
from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.conv import ConvInference
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.inference.rnn import RnnInference
from seq2seq_cli.inference.transformer import TransformerInference
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.library import library

INFERENCE_MODELS: tuple[type[InferenceModel], ...] = (
    RnnInference,
    AttentionRnnInference,
    ConvInference,
    TransformerInference,
)


def inference_class(config: ModelConfig) -> type[InferenceModel] | None:
    """Find the class that runs models with these settings in kernels, if there is one."""
    if library() is None or config.copy_attention:
        return None
    return next((kind for kind in INFERENCE_MODELS if isinstance(config, kind.Config)), None)


def make_inference_model(model: PlainModel, *, eight_bits: bool) -> InferenceModel:
    """Pack the weights of a model that `inference_class` has a class for.

    Raises NoNumbersError if they are not finite.
    """
    kind = inference_class(model.config)
    assert kind is not None, "the caller has to ask `inference_class` before"
    return kind(model.config, ModelWeights(model.arrays, model.release, eight_bits, model.stored))
