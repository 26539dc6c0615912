"""Models made ready for search on a CPU, by kernels where there are any, else by PyTorch.

Here and in `kernels.autograd` that choice is made, and nowhere above.

To read it, begin with `base`, then `transformer`.

- `precision`: the type of matrix products in search
- `quantization`: 8-bit weights without kernels
- `candidates`: the best extensions of hypotheses
- `base`: what models whose decoder is in kernels have in common
- `weights`: whether weights are finite
- `linear`: a model of PyTorch with packed linear layers
- `transformer`: the Transformer in kernels
- `conv`: the convolutional model in kernels
- `attention_rnn`: the RNN with attention in kernels
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from seq2seq_cli.inference.attention_rnn import AttentionRnnInference
from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.conv import ConvInference
from seq2seq_cli.inference.linear import select_outputs, with_packed_layers
from seq2seq_cli.inference.transformer import TransformerInference
from seq2seq_cli.inference.weights import check_weights
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.models.base import State, TranslationModel

__all__ = [
    "InferenceModel",
    "SearchModel",
    "check_weights",
    "has_kernels",
    "inference_class",
    "prepare_for_search",
    "select_outputs",
    "with_packed_layers",
]


class SearchModel(Protocol):
    """What search calls of a model; see `TranslationModel`."""

    @property
    def output(self) -> nn.Module: ...
    def encode(self, source: Tensor) -> tuple[State, State]: ...
    def decode(self, target: Tensor, state: State, memory: State) -> tuple[Tensor, State]: ...


INFERENCE_MODELS: tuple[type[InferenceModel], ...] = (
    TransformerInference,
    ConvInference,
    AttentionRnnInference,
)


def has_kernels(device: torch.device) -> bool:
    """Whether there are kernels of search for a device."""
    return device.type == "cpu" and kernels.can_compute()


def inference_class(model: TranslationModel) -> type[InferenceModel] | None:
    """Find the class that runs a model in kernels, if there is one."""
    return next((kind for kind in INFERENCE_MODELS if kind.supports(model)), None)


def prepare_for_search(model: TranslationModel) -> SearchModel:
    """Make a model ready for search, with the same weights: in kernels as far as there are any."""
    weight = next(model.parameters())
    if not kernels.can_compute(weight.detach()):
        return model  # on another device, or there are no kernels
    kind = inference_class(model)
    return kind(model) if kind else with_packed_layers(model, eight_bits=False)
