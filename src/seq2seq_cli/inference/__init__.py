"""Models made ready for search on a CPU: compiled as a whole, or with packed linear layers.

- `precision`: the type of matrix products in search
- `quantization`: 8-bit weights where nothing is compiled
- `candidates`: the best extensions of hypotheses
- `base`: what models that are compiled as a whole share
- `linear`: packed linear layers, within a model that torch runs
- `transformer`: the compiled Transformer
- `conv`: the compiled convolutional model
- `attention_rnn`: the compiled RNN with attention
"""

from typing import Protocol

from torch import Tensor, nn

from seq2seq_cli.inference.attention_rnn import AttentionRnnInference
from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.conv import ConvInference
from seq2seq_cli.inference.linear import select_outputs, with_packed_layers
from seq2seq_cli.inference.transformer import TransformerInference
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.models.base import State, TranslationModel

__all__ = [
    "InferenceModel",
    "SearchModel",
    "inference_class",
    "prepare_for_search",
    "select_outputs",
    "with_packed_layers",
]


class SearchModel(Protocol):
    """What search asks of a model; see `TranslationModel`."""

    @property
    def output(self) -> nn.Module: ...
    def encode(self, source: Tensor) -> tuple[State, State]: ...
    def decode(self, target: Tensor, state: State, memory: State) -> tuple[Tensor, State]: ...


KINDS: tuple[type[InferenceModel], ...] = (
    TransformerInference,
    ConvInference,
    AttentionRnnInference,
)


def inference_class(model: TranslationModel) -> type[InferenceModel] | None:
    """What can stand for the whole model, if anything."""
    return next((kind for kind in KINDS if kind.serves(model)), None)


def prepare_for_search(model: TranslationModel) -> SearchModel:
    """The model as search should ask it, with the same weights: compiled where that is possible."""
    weight = next(model.parameters())
    if not kernels.can_compute(weight.detach()):
        return model  # on another device, or nothing is compiled
    kind = inference_class(model)
    return kind(model) if kind else with_packed_layers(model, eight_bits=False)
