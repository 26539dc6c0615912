"""Autograd functions: each computes what a line or two of PyTorch would, in fewer passes.

Measured in recipes/bench/LOG.md.

- `packing`: sentences without padding
- `dropout`: dropout, alone and with a sum or ReLU
- `norms`: layer and RMS normalisation
- `products`: linear layers in bfloat16
- `feed_forward`: feed-forward layers
- `attention`: attention with its softmax and dropout
- `lstm`: the cells of an LSTM
"""

from seq2seq_cli.kernels.autograd.attention import attention, packs, parts
from seq2seq_cli.kernels.autograd.dropout import LEVELS, dropout, dropped_relu, dropped_sum
from seq2seq_cli.kernels.autograd.feed_forward import feed_forward
from seq2seq_cli.kernels.autograd.norms import norm
from seq2seq_cli.kernels.autograd.products import linear, product_over_rows, rounds

__all__ = [
    "LEVELS",
    "attention",
    "dropout",
    "dropped_relu",
    "dropped_sum",
    "feed_forward",
    "linear",
    "norm",
    "packs",
    "parts",
    "product_over_rows",
    "rounds",
]
