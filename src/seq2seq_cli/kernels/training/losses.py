"""Gradients of cross-entropy and R-Drop (losses.cpp)."""

import torch
from torch import Tensor

from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.training.calls import call

_kernels = Functions("""
    void train_cross_entropy(int32_t is_bfloat16, void *logits, int32_t rows, int32_t columns,
                             const int64_t *gold, float smoothing, float *losses,
                             int32_t threads);
    void train_r_drop(int32_t is_bfloat16, void *logits, int32_t rows, int32_t columns,
                      const int64_t *gold, float smoothing, float alpha, float *losses,
                      int32_t threads);
""")


def cross_entropy_gradient(logits: Tensor, gold: Tensor, smoothing: float) -> Tensor:
    """Overwrite logits (rows, V) by the gradient of the smoothed loss; `gold` (rows,) are columns.

    Returns (2, rows): the plain loss, and the loss against a uniform distribution, in nats.
    """
    rows, columns = logits.shape
    losses = torch.empty(2, rows)
    call(_kernels, "train_cross_entropy", logits, logits, rows, columns, gold, smoothing, losses)
    return losses


def r_drop_gradient(logits: Tensor, gold: Tensor, smoothing: float, alpha: float) -> Tensor:
    """Overwrite logits (2, rows, V) of two passes by the gradient of R-Drop's loss.

    Returns (3, rows): the losses as in `cross_entropy_gradient`, and the sum of both divergences.
    """
    _, rows, columns = logits.shape
    losses = torch.empty(3, rows)
    call(_kernels, "train_r_drop", logits, logits, rows, columns, gold, smoothing, alpha, losses)
    return losses
