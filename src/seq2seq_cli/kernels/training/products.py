"""Linear layers in bfloat16, alone and with what comes before or after them (products.cpp)."""

import torch
from torch import Tensor

from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.training.calls import as_float32, call, library

SIDE = 32  # of a block of bfloat16 products, the same as in products.cpp

_kernels = Functions("""
    void train_linear(int32_t, const bfloat16 *x, int64_t rows, int32_t inputs,
                      const float *weight, const float *bias, int32_t outputs, bfloat16 *out,
                      int32_t threads);
    void train_linear_relu_dropout(int32_t, const bfloat16 *x, int64_t rows, int32_t inputs,
                                   const float *weight, const float *bias, int32_t outputs,
                                   bfloat16 *out, int32_t threshold, int64_t seed,
                                   int32_t threads);
    void train_linear_grad_input(int32_t, const bfloat16 *grad_output, int64_t rows,
                                 int32_t inputs, const float *weight, int32_t outputs,
                                 bfloat16 *out, int32_t threads);
    void train_linear_grad_input_relu_dropout(int32_t, const bfloat16 *grad_output, int64_t rows,
                                              int32_t inputs, const float *weight,
                                              int32_t outputs, const bfloat16 *results,
                                              float scale, bfloat16 *out, int32_t threads);
    void train_linear_grad_weight(int32_t, const bfloat16 *grad_output, int64_t rows,
                                  int32_t inputs, const bfloat16 *x, int32_t outputs,
                                  float *grad_weight, float *grad_bias, int32_t threads);
    int32_t train_multiplies_bfloat16();
""")


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in the kernels `linear…`."""
    return library() is not None and bool(_kernels().train_multiplies_bfloat16())


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    """x (N, I) in bfloat16 times weights (O, I), plus a bias (O,) -> (N, O). I is k * SIDE."""
    (outputs, inputs), rows = weight.shape, x.size(0)
    out = x.new_empty(rows, outputs) if out is None else out
    x, weight, bias = x.contiguous(), as_float32(weight), None if bias is None else as_float32(bias)
    call(_kernels, "train_linear", x, x, rows, inputs, weight, bias, outputs, out)
    return out


def linear_relu_dropout(
    x: Tensor, weight: Tensor, bias: Tensor | None, threshold: int, seed: int
) -> Tensor:
    """relu_dropout(linear(x)), although with other random numbers. I and O are k * SIDE."""
    (outputs, inputs), rows = weight.shape, x.size(0)
    out = x.new_empty(rows, outputs)
    x, weight, bias = x.contiguous(), as_float32(weight), None if bias is None else as_float32(bias)
    arguments = x, rows, inputs, weight, bias, outputs, out, threshold, seed
    call(_kernels, "train_linear_relu_dropout", x, *arguments)
    return out


def linear_grad_input(grad_output: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """The gradient of x (N, I) in `linear`, from that of its output (N, O). O is k * SIDE."""
    (outputs, inputs), rows = weight.shape, grad_output.size(0)
    out = grad_output.new_empty(rows, inputs) if out is None else out
    grad_output, weight = grad_output.contiguous(), as_float32(weight)
    call(
        _kernels,
        "train_linear_grad_input",
        grad_output,
        grad_output,
        rows,
        inputs,
        weight,
        outputs,
        out,
    )
    return out


def linear_grad_input_relu_dropout(
    grad_output: Tensor, weight: Tensor, result: Tensor, scale: float
) -> Tensor:
    """relu_dropout_backward(linear_grad_input(…)), where x was a result (N, I) of `relu_dropout`.

    I and O are k * SIDE.
    """
    (outputs, inputs), rows = weight.shape, grad_output.size(0)
    out = grad_output.new_empty(rows, inputs)
    grad_output, weight = grad_output.contiguous(), as_float32(weight)
    arguments = grad_output, rows, inputs, weight, outputs, result, scale, out
    call(_kernels, "train_linear_grad_input_relu_dropout", grad_output, *arguments)
    return out


def linear_grad_weight(
    grad_output: Tensor, x: Tensor, *, biased: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Gradients of weights (O, I) and bias (O,) in `linear`, from that of its output (N, O).

    They are float32; without a bias the second is None.
    """
    rows, outputs, inputs = grad_output.size(0), grad_output.size(1), x.size(1)
    grad_weight, grad_bias = torch.empty(outputs, inputs), torch.empty(outputs) if biased else None
    grad_output, x = grad_output.contiguous(), x.contiguous()
    arguments = grad_output, rows, inputs, x, outputs, grad_weight, grad_bias
    call(_kernels, "train_linear_grad_weight", grad_output, *arguments)
    return grad_weight, grad_bias
