"""Constant-time replacements for decoder self-attention: average attention and SSRU.

Their state has a fixed size, so that a step costs the same however long the target is. Both have
the interface of `transformer_layers.CausalAttention`.

Dimensions: N decoder rows, T target, D width; see `base`.
"""

from typing import cast

import torch
from torch import Tensor, nn

from seq2seq_cli.models.base import State
from seq2seq_cli.models.layers import Dropout, Linear, count_more, no_tokens_read


class AverageAttention(nn.Module):
    """The average of all inputs so far, through a feed-forward layer and a gate (Zhang 2018).

    State: the sum of the inputs (N, D) and the count of tokens read.
    """

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.inner = Linear(width, inner)
        self.outer = Linear(inner, width)
        self.gates = Linear(2 * width, 2 * width)
        self.dropout = Dropout(dropout)

    def start(self, encoded: Tensor) -> State:
        """The state before the first token, for the encoder's outputs (B, S, D)."""
        return _zeros(encoded), no_tokens_read(encoded)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(N, T, D) -> (N, T, D), and the state after it."""
        before, read = cast(tuple[Tensor, Tensor], state)
        sums = before[:, None] + x.to(before).cumsum(dim=1)
        first = read.size(1) + 1
        counts = torch.arange(first, first + x.size(1), device=x.device)
        average = sums / counts[:, None]
        past = self.outer(self.dropout(torch.relu(self.inner(average))))
        keep, take = torch.sigmoid(self.gates(torch.cat((x, past), dim=2))).chunk(2, dim=2)
        return keep * x + take * past, (sums[:, -1], count_more(read, x.size(1)))


def _zeros(encoded: Tensor) -> Tensor:
    """(N, D) for the encoder's outputs (B, S, D); in float32, so that sums stay exact."""
    return encoded.new_zeros(encoded.size(0), encoded.size(2), dtype=torch.float32)


class SimplerRecurrentUnit(nn.Module):
    """The simpler simple recurrent unit, SSRU (Kim 2019): one gate, and no product with the past.

    State: the cell (N, D). Both products run over all positions at once; the recurrence is left
    with one sum for each position.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.forget = Linear(width, width)
        self.input = Linear(width, width, bias=False)

    def start(self, encoded: Tensor) -> State:
        """The state before the first token, for the encoder's outputs (B, S, D)."""
        return _zeros(encoded)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(N, T, D) -> (N, T, D), and the state after it."""
        cell = cast(Tensor, state)
        forget = torch.sigmoid(self.forget(x).to(cell))
        new = (1 - forget) * self.input(x)
        cells = []
        for forget_token, new_token in zip(forget.unbind(dim=1), new.unbind(dim=1), strict=True):
            cell = forget_token * cell + new_token
            cells.append(cell)
        return torch.relu(torch.stack(cells, dim=1)), cell
