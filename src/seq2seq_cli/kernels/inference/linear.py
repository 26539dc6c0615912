"""Linear layers for inference, whose weights are packed once (linear.cpp)."""

import weakref

import torch
from torch import Tensor, nn

from seq2seq_cli.kernels.library import Functions, address

_kernels = Functions("""
    void *linear_new(const float *weight, const float *bias, int32_t outputs, int32_t inputs,
                     int32_t eight_bits);
    void *linear_select_outputs(const void *layer, const int64_t *selected, int32_t count);
    void linear_free(void *layer);
    void linear_apply(const void *layer, const float *x, int32_t rows, float *y);
""")


class Linear(nn.Module):
    """A linear layer for inference with packed weights, float32 or 8-bit integers.

    With 8 bits each output and each row of inputs has its own scale, so that the result for a row
    does not depend on the other rows.
    """

    def __init__(self, handle: int, inputs: int, outputs: int, eight_bits: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        self.eight_bits = eight_bits
        self.handle = handle
        weakref.finalize(self, _kernels().linear_free, handle)

    @classmethod
    def pack(cls, weight: Tensor, bias: Tensor | None, *, eight_bits: bool) -> "Linear":
        """Copy weights (outputs, inputs) and bias (outputs,) in the order that kernels read."""
        outputs, inputs = weight.shape
        weight = weight.detach().float().contiguous()
        bias = None if bias is None else bias.detach().float().contiguous()
        handle = _kernels().linear_new(address(weight), address(bias), outputs, inputs, eight_bits)
        return cls(handle, inputs, outputs, eight_bits)

    def select_outputs(self, selected: Tensor) -> "Linear":
        """Make a layer of some of the outputs, in the order of `selected` (any,)."""
        selected = selected.to(torch.int64).contiguous()
        handle = _kernels().linear_select_outputs(self.handle, address(selected), len(selected))
        return Linear(handle, self.in_features, len(selected), self.eight_bits)

    def __deepcopy__(self, memo: object) -> "Linear":
        return self  # nothing changes it

    def forward(self, x: Tensor) -> Tensor:
        """Multiply (…, inputs) by the weights and add the bias: (…, outputs)."""
        x = x.float().contiguous()
        y = x.new_empty(*x.shape[:-1], self.out_features)
        _kernels().linear_apply(self.handle, address(x), x.numel() // self.in_features, address(y))
        return y

    def extra_repr(self) -> str:
        kind = "8-bit" if self.eight_bits else "float32"
        return f"in_features={self.in_features}, out_features={self.out_features}, {kind}"
