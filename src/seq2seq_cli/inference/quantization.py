"""Linear layers with 8-bit weights without kernels: FBGEMM (Khudia 2021) in PyTorch.

Each output of a layer has its own scale; inputs are quantised in `forward`, with one scale for the
batch. `kernels.inference.linear.Linear` is faster and has a scale for each row.
"""

import warnings
from typing import cast

import torch
from torch import Tensor, nn


class Int8Linear(nn.Module):
    """A linear layer whose weights are 8-bit integers."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("weight", weight.detach(), persistent=False)  # for select_outputs
        self.packed = _pack(weight.detach(), bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply (…, inputs) by the weights and add the bias: (…, outputs), float32."""
        # Inputs take 7 bits: with 8, sums of two products could overflow on processors before VNNI.
        return cast(Tensor, torch.ops.quantized.linear_dynamic(x, self.packed, True))


def _pack(weight: Tensor, bias: Tensor | None) -> object:
    """Quantise weights (outputs, inputs) symmetrically for each output, and pack them."""
    scale = (weight.abs().amax(dim=1) / 127).clamp_min(1e-8)
    zero = torch.zeros(len(scale), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch will move this function
        quantised = torch.quantize_per_channel(weight.float(), scale, zero, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(quantised, bias)
