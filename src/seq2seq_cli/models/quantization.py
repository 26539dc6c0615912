"""Linear layers with 8-bit weights in PyTorch, by FBGEMM (Khudia 2021).

Each output of a layer has its own scale; inputs are quantised in `forward`, with one scale for the
batch. `kernels.inference.linear.Linear` is faster and has a scale for each row.
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
        # Both are kept for select_outputs.
        self.register_buffer("weight", weight.detach(), persistent=False)
        self.register_buffer("bias", None if bias is None else bias.detach(), persistent=False)
        self.packed = _pack(weight.detach(), bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply (…, inputs) by the weights and add the bias: (…, outputs), float32."""
        # Inputs take 7 bits: with 8, sums of two products could overflow on processors before VNNI.
        return cast(Tensor, torch.ops.quantized.linear_dynamic(x, self.packed, True))


def with_eight_bits(model: TranslationModel) -> TranslationModel:
    """Copy a model for inference, with 8-bit linear layers; all other weights stay as they are."""
    result = copy.deepcopy(model)
    for module in list(result.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                setattr(module, name, Int8Linear(child.weight, child.bias))
    return result


def select_outputs(layer: nn.Module, outputs: Tensor) -> nn.Module:
    """Make a linear layer of the same kind with some of its outputs (any,), in their order."""
    weight = cast(Tensor, layer.weight).index_select(0, outputs)
    bias = cast(Tensor | None, layer.bias)
    if bias is not None:
        bias = bias.index_select(0, outputs)
    if isinstance(layer, Int8Linear):
        return Int8Linear(weight, bias)
    selected = nn.Linear(weight.size(1), weight.size(0), bias=bias is not None, device="meta")
    selected.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        selected.bias = nn.Parameter(bias, requires_grad=False)
    return selected


def _pack(weight: Tensor, bias: Tensor | None) -> object:
    """Quantise weights (outputs, inputs) symmetrically for each output, and pack them."""
    scale = (weight.abs().amax(dim=1) / 127).clamp_min(1e-8)
    zero = torch.zeros(len(scale), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch will move this function
        quantised = torch.quantize_per_channel(weight.float(), scale, zero, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(quantised, bias)
