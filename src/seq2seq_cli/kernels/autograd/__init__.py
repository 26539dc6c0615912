"""The operations of a training step: the reference in PyTorch and the kernel side by side.

Each operation is one function; `dispatch.engine` decides for all of them which of both computes.
Measurements are in recipes/bench/LOG.md. To read them, begin with `dispatch` and `dropout`.

- `dispatch`: the decision between kernels and PyTorch
- `packing`: sentences without padding
- `dropout`: dropout, alone and with a sum or ReLU
- `norms`: LayerNorm and RMSNorm
- `products`: linear layers, and the projection to the vocabulary
- `feed_forward`: feed-forward layers
- `attention`: attention by scaled dot products
- `lstm`: recurrent layers
- `losses`: gradients of cross-entropy and R-Drop
"""

from seq2seq_cli.kernels.autograd.attention import attention, scores_of_offsets, split
from seq2seq_cli.kernels.autograd.dropout import LEVELS, dropout, dropout_add, relu_dropout
from seq2seq_cli.kernels.autograd.feed_forward import feed_forward
from seq2seq_cli.kernels.autograd.losses import cross_entropy_gradient, r_drop_gradient
from seq2seq_cli.kernels.autograd.lstm import read_sentences, recurrent_layer
from seq2seq_cli.kernels.autograd.norms import norm
from seq2seq_cli.kernels.autograd.products import OutputProjection, linear

__all__ = [
    "LEVELS",
    "OutputProjection",
    "attention",
    "cross_entropy_gradient",
    "dropout",
    "dropout_add",
    "feed_forward",
    "linear",
    "norm",
    "r_drop_gradient",
    "read_sentences",
    "recurrent_layer",
    "relu_dropout",
    "scores_of_offsets",
    "split",
]
