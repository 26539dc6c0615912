"""LayerNorm and RMSNorm, and sums of columns (norms.cpp)."""

import torch
from torch import Tensor

from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.training.calls import call

NORM_ROWS = 64  # the same as in norms.cpp

_kernels = Functions("""
    void train_norm(int32_t is_bfloat16, const void *x, const float *weight, const float *bias,
                    float epsilon, void *out, float *statistics, int64_t rows, int32_t width,
                    int32_t threads);
    void train_norm_backward(int32_t is_bfloat16, const void *grad_output, const void *x,
                             const float *weight, const float *statistics, int32_t centred,
                             void *out, float *sums, int64_t rows, int32_t width,
                             int32_t threads);
    void train_column_sums(int32_t is_bfloat16, const void *x, float *sums, int64_t rows,
                           int32_t width, int32_t threads);
""")


def norm(x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> tuple[Tensor, Tensor]:
    """LayerNorm over the last dimension, or RMSNorm without a bias; and its statistics (rows, 2).

    x is contiguous, weight and bias are float32.
    """
    out, width = torch.empty_like(x), x.size(-1)
    rows = x.numel() // width
    statistics = torch.empty(rows, 2)
    call(_kernels, "train_norm", x, x, weight, bias, epsilon, out, statistics, rows, width)
    return out, statistics


def norm_backward(
    grad_output: Tensor, x: Tensor, weight: Tensor, statistics: Tensor, *, centred: bool
) -> tuple[Tensor, Tensor]:
    """The gradient of x in `norm`, and those of weight and bias: (2, width) in float32."""
    grad_output = grad_output.contiguous()
    out, width = torch.empty_like(x), x.size(-1)
    rows = x.numel() // width
    sums = torch.empty(-(-rows // NORM_ROWS), 2, width)
    arguments = grad_output, x, weight, statistics, centred, out, sums, rows, width
    call(_kernels, "train_norm_backward", x, *arguments)
    return out, sums.sum(dim=0)


def column_sums(x: Tensor) -> Tensor:
    """The sums of the columns of a contiguous matrix (rows, width), in float32."""
    rows, width = x.shape
    sums = torch.empty(-(-rows // NORM_ROWS), width)
    call(_kernels, "train_column_sums", x, x, sums, rows, width)
    return sums.sum(dim=0)
