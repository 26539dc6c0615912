"""Kernels of a training step, which run on a CPU between torch's products.

All of them work on float32 and bfloat16, in as many threads as torch has, with the same results for
any number of them. Random numbers come from a seed that is drawn from torch's generator. Whether a
kernel can be called is decided in `kernels.autograd.dispatch`, and nowhere else.

Dimensions: N rows, T tokens, H heads, Q queries, S keys, D width of a head, V columns of logits;
I inputs and O outputs of a linear layer.

To read them, begin with the function of an operation, then with the .cpp of the same name.

- `calls`: calls a kernel in torch's threads
- `products`: linear layers in bfloat16
- `losses`: gradients of cross-entropy and R-Drop
- `dropout`: dropout, alone and with a sum or ReLU
- `norms`: LayerNorm and RMSNorm
- `cells`: recurrent cells
- `attention`: attention by scaled dot products
"""

from seq2seq_cli.kernels.training.attention import (
    ScoreBias,
    VisibleKeys,
    attention,
    attention_backward,
)
from seq2seq_cli.kernels.training.calls import library
from seq2seq_cli.kernels.training.cells import lstm_cell, lstm_cell_backward
from seq2seq_cli.kernels.training.dropout import (
    bias_relu_dropout_,
    dropout,
    dropout_add,
    relu_dropout,
    relu_dropout_backward,
    relu_dropout_backward_,
)
from seq2seq_cli.kernels.training.losses import cross_entropy_gradient, r_drop_gradient
from seq2seq_cli.kernels.training.norms import NORM_ROWS, column_sums, norm, norm_backward
from seq2seq_cli.kernels.training.products import (
    SIDE,
    linear,
    linear_grad_input,
    linear_grad_input_relu_dropout,
    linear_grad_weight,
    linear_relu_dropout,
    multiplies_bfloat16,
)

__all__ = [
    "NORM_ROWS",
    "SIDE",
    "ScoreBias",
    "VisibleKeys",
    "attention",
    "attention_backward",
    "bias_relu_dropout_",
    "column_sums",
    "cross_entropy_gradient",
    "dropout",
    "dropout_add",
    "library",
    "linear",
    "linear_grad_input",
    "linear_grad_input_relu_dropout",
    "linear_grad_weight",
    "linear_relu_dropout",
    "lstm_cell",
    "lstm_cell_backward",
    "multiplies_bfloat16",
    "norm",
    "norm_backward",
    "r_drop_gradient",
    "relu_dropout",
    "relu_dropout_backward",
    "relu_dropout_backward_",
]
