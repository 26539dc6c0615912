"""Linear layers for inference, whose weights are packed once (linear.cpp)."""

import weakref

import numpy as np

from seq2seq_cli.kernels.arrays import Floats, Tokens, address
from seq2seq_cli.kernels.library import Functions

_kernels = Functions("""
    void *linear_new(const float *weight, const float *bias, int32_t outputs, int32_t inputs,
                     int32_t eight_bits);
    void *linear_select_outputs(const void *layer, const int64_t *selected, int32_t count);
    void linear_free(void *layer);
    void linear_apply(const void *layer, const float *x, int32_t rows, float *y);
""")


class Linear:
    """A linear layer for inference with packed weights, float32 or 8-bit integers.

    With 8 bits each output and each row of inputs has its own scale, so that the result for a row
    does not depend on the other rows.
    """

    def __init__(self, handle: int, inputs: int, outputs: int, eight_bits: bool) -> None:
        self.in_features, self.out_features = inputs, outputs
        self.eight_bits = eight_bits
        self.handle = handle
        weakref.finalize(self, _kernels().linear_free, handle)

    @classmethod
    def pack(cls, weight: Floats, bias: Floats | None, *, eight_bits: bool) -> "Linear":
        """Copy weights (outputs, inputs) and bias (outputs,) in the order that kernels read."""
        outputs, inputs = weight.shape
        weight = np.ascontiguousarray(weight, dtype=np.float32)
        bias = None if bias is None else np.ascontiguousarray(bias, dtype=np.float32)
        handle = _kernels().linear_new(address(weight), address(bias), outputs, inputs, eight_bits)
        return cls(handle, inputs, outputs, eight_bits)

    def select_outputs(self, selected: Tokens) -> "Linear":
        """Make a layer of some of the outputs, in the order of `selected` (any,)."""
        handle = _kernels().linear_select_outputs(self.handle, address(selected), len(selected))
        return Linear(handle, self.in_features, len(selected), self.eight_bits)

    def __call__(self, x: Floats) -> Floats:
        """Multiply (…, inputs) by the weights and add the bias: (…, outputs)."""
        y = np.empty((*x.shape[:-1], self.out_features), dtype=np.float32)
        _kernels().linear_apply(self.handle, address(x), x.size // self.in_features, address(y))
        return y
