"""Recurrent cells (cells.cpp)."""

from torch import Tensor

from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.training.calls import call

_kernels = Functions("""
    void train_lstm(int32_t is_bfloat16, void *gates, const void *inputs, const float *cell,
                    float *cell_after, void *hidden, int32_t rows, int32_t units,
                    int32_t threads);
    void train_lstm_backward(int32_t is_bfloat16, const void *gates, const float *cell,
                             const float *cell_after, const void *grad_above,
                             const void *grad_carried, float *grad_cell, void *grad_gates,
                             int32_t rows, int32_t units, int32_t threads);
""")


def lstm_cell(
    gates: Tensor, inputs: Tensor, cell: Tensor, cell_after: Tensor, hidden: Tensor
) -> None:
    """One token of an LSTM: gates and inputs (rows, 4 units) add up to what its gates read.

    Writes the cell after the token, in float32, and the hidden state, (rows, units) each; gates are
    overwritten by their activations. All are contiguous.
    """
    call(_kernels, "train_lstm", gates, gates, inputs, cell, cell_after, hidden, *hidden.shape)


def lstm_cell_backward(
    gates: Tensor,
    cell: Tensor,
    cell_after: Tensor,
    grad_above: Tensor,
    grad_carried: Tensor,
    grad_cell: Tensor,
    grad_gates: Tensor,
) -> None:
    """Write the gradient (rows, 4 units) of what the gates of `lstm_cell` read.

    The gradients from above and from the next token, (rows, units), add up to that of the hidden
    state; the gradient of the cell is updated in place.
    """
    arguments = gates, cell, cell_after, grad_above, grad_carried, grad_cell, grad_gates
    call(_kernels, "train_lstm_backward", gates, *arguments, *grad_above.shape)
