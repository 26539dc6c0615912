"""Dropout, alone and with a sum or ReLU (dropout.cpp)."""

import torch
from torch import Tensor

from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.training.calls import as_float32, call

_kernels = Functions("""
    void train_dropout(int32_t is_bfloat16, const void *x, void *out, int64_t count,
                       int32_t threshold, int64_t seed, int32_t threads);
    void train_dropout_add(int32_t is_bfloat16, const void *residual, const void *x, void *out,
                           int64_t count, int32_t threshold, int64_t seed, int32_t threads);
    void train_relu_dropout(int32_t is_bfloat16, const void *x, const float *bias, int32_t width,
                            void *out, int64_t count, int32_t threshold, int64_t seed,
                            int32_t threads);
    void train_relu_dropout_backward(int32_t is_bfloat16, const void *grad_output,
                                     const void *result, void *out, int64_t count, float scale,
                                     int32_t threads);
""")


def dropout(x: Tensor, threshold: int, seed: int) -> Tensor:
    """Drop threshold / 256 of the elements and scale up the rest; a seed drops the same ones."""
    x = x.contiguous()
    out = torch.empty_like(x)
    call(_kernels, "train_dropout", x, x, out, x.numel(), threshold, seed)
    return out


def dropout_add(residual: Tensor, x: Tensor, threshold: int, seed: int) -> Tensor:
    """residual + dropout(x)."""
    residual, x = residual.contiguous(), x.contiguous()
    out = torch.empty_like(x)
    call(_kernels, "train_dropout_add", x, residual, x, out, x.numel(), threshold, seed)
    return out


def relu_dropout(x: Tensor, threshold: int, seed: int) -> Tensor:
    """dropout(relu(x))."""
    x = x.contiguous()
    out = torch.empty_like(x)
    call(_kernels, "train_relu_dropout", x, x, None, 0, out, x.numel(), threshold, seed)
    return out


def bias_relu_dropout_(x: Tensor, bias: Tensor, threshold: int, seed: int) -> Tensor:
    """relu_dropout(x + bias), in place; x (…, O) and bias (O,) are contiguous. O is k * SIDE."""
    arguments = x, as_float32(bias), bias.numel(), x, x.numel(), threshold, seed
    call(_kernels, "train_relu_dropout", x, *arguments)
    return x


def relu_dropout_backward(grad_output: Tensor, result: Tensor, scale: float) -> Tensor:
    """grad_output * scale where the result of `relu_dropout` is not zero, otherwise 0."""
    grad_output = grad_output.contiguous()
    out = torch.empty_like(grad_output)
    arguments = grad_output, result, out, grad_output.numel(), scale
    call(_kernels, "train_relu_dropout_backward", grad_output, *arguments)
    return out


def relu_dropout_backward_(grad_output: Tensor, result: Tensor, scale: float) -> Tensor:
    """`relu_dropout_backward` in place; both are contiguous."""
    arguments = grad_output, result, grad_output, grad_output.numel(), scale
    call(_kernels, "train_relu_dropout_backward", grad_output, *arguments)
    return grad_output
