"""Parts of a training step on a CPU, each as one autograd function.

Each computes what a line or two of PyTorch would, in fewer passes over memory, and keeps less of it
for the gradients. What they replace is named beside each and measured in recipes/bench/LOG.md; what
they call is in native/training. Elsewhere they are those lines.
"""

from seq2seq_cli.models.fused.attention import attention, packs, parts
from seq2seq_cli.models.fused.dropout import LEVELS, dropout, dropped_relu, dropped_sum
from seq2seq_cli.models.fused.feed_forward import feed_forward
from seq2seq_cli.models.fused.linear import linear, product_over_rows, rounds
from seq2seq_cli.models.fused.norms import norm

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
