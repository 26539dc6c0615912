"""Weights of eight bits for translating on a CPU: a quarter of the memory, and faster products.

Each output of a layer has a scale of its own; inputs are quantised when they come. The products
are FBGEMM's (Khudia 2021), which torch brings.
"""

import copy
import warnings
from typing import cast

import torch
from torch import Tensor, nn

from seq2seq_cli.models.base import TranslationModel


class Int8Linear(nn.Module):
    """A linear layer whose weights are 8-bit integers."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("weight", weight.detach(), persistent=False)  # to be narrowed
        self.packed = _packed(weight.detach(), bias)

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) -> (…, outputs), float32."""
        # Inputs take 7 bits: with 8, sums of two products could overflow on processors before VNNI.
        return cast(Tensor, torch.ops.quantized.linear_dynamic(x, self.packed, True))


def narrowed(layer: nn.Module, outputs: Tensor) -> nn.Module:
    """A linear layer of the same kind with only some of its outputs, in their order."""
    assert getattr(layer, "bias", None) is None, "an output layer has no bias"
    weight = cast(Tensor, layer.weight).index_select(0, outputs)
    if isinstance(layer, Int8Linear):
        return Int8Linear(weight, None)
    narrow = nn.Linear(weight.size(1), weight.size(0), bias=False, device="meta")
    narrow.weight = nn.Parameter(weight, requires_grad=False)
    return narrow


def _packed(weight: Tensor, bias: Tensor | None) -> object:
    """Symmetric for each output."""
    scale = (weight.abs().amax(dim=1) / 127).clamp_min(1e-8)
    zero = torch.zeros(len(scale), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces that its way to quantise will move
        quantised = torch.quantize_per_channel(weight.float(), scale, zero, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(quantised, bias)


def with_int8(model: TranslationModel) -> TranslationModel:
    """A copy with 8-bit linear layers; embeddings, norms and recurrence stay as they are."""
    result = copy.deepcopy(model)
    for module in list(result.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                setattr(module, name, Int8Linear(child.weight, child.bias))
    return result
