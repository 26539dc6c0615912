"""Compares operations of a training step with PyTorch's own, alternating in one run.

    python recipes/bench/parts.py

Prints medians and their ratio. Shapes: 2,048 target tokens, width 256, feed-forward 1,024, 8,000
pieces; forward and backward.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from seq2seq_cli.devices import prepare
from seq2seq_cli.models.layers import Dropout
from seq2seq_cli.training.cross_entropy import cross_entropy, plain_cross_entropy
from seq2seq_cli.training.r_drop import plain_r_drop, r_drop

TOKENS, WIDTH, INNER, PIECES = 2048, 256, 1024, 8000
ROUNDS = 15


def compare(name: str, ours: Callable[[], None], theirs: Callable[[], None]) -> None:
    """Time both alternately and print their medians in milliseconds and the ratio."""
    times: dict[Callable[[], None], list[float]] = {ours: [], theirs: []}
    for round_number in range(ROUNDS + 2):
        for step, seconds in times.items():
            start = time.perf_counter()
            step()
            if round_number >= 2:  # the first rounds warm up
                seconds.append(time.perf_counter() - start)
    our_median, their_median = (1000 * statistics.median(seconds) for seconds in times.values())
    ratio = their_median / our_median
    print(
        f"{name}: {our_median:.1f} ms, PyTorch's {their_median:.1f} ms, {ratio:.2f} times as fast"
    )


def main() -> None:
    prepare(None)
    torch.manual_seed(1)
    hidden = torch.randn(1, TOKENS, WIDTH, requires_grad=True)
    weight = torch.randn(PIECES, WIDTH, requires_grad=True)
    target = torch.randint(4, PIECES, (1, TOKENS))
    compare(
        "label-smoothed loss with projection",
        lambda: cross_entropy(hidden, weight, target, 0.1)[0].backward(),
        lambda: plain_cross_entropy(hidden, weight, target, 0.1).backward(),
    )
    passes, once = hidden.view(2, -1, WIDTH), target[:, : TOKENS // 2]
    compare(
        "loss of R-Drop with projection",
        lambda: r_drop(passes, weight, once, 0.1, 5.0)[0].backward(),
        lambda: plain_r_drop(passes, weight, once, 0.1, 5.0).backward(),
    )
    x = torch.randn(TOKENS, INNER, requires_grad=True)
    gradient = torch.ones_like(x)
    our_dropout, their_dropout = Dropout(0.3), nn.Dropout(0.3)
    compare(
        "dropout",
        lambda: our_dropout(x).backward(gradient),
        lambda: their_dropout(x).backward(gradient),
    )


if __name__ == "__main__":
    main()
