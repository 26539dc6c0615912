"""What can stand in for the self-attention of a Transformer's decoder.

Both carry a state of fixed size, so that a step costs the same however long the target is, and
have the interface of `transformer.CausalAttention`. Dimensions: N decoder rows, T target, D width.
"""

from typing import cast

import torch
from torch import Tensor, nn

from seq2seq_cli.models.base import State
from seq2seq_cli.models.layers import Dropout, Linear, nothing_read, read_more


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
        return _zeros(encoded), nothing_read(encoded)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(N, T, D) -> (N, T, D), and the state after it."""
        before, read = cast(tuple[Tensor, Tensor], state)
        sums = before[:, None] + x.to(before).cumsum(dim=1)
        first = read.size(1) + 1
        counts = torch.arange(first, first + x.size(1), device=x.device)
        average = sums / counts[:, None]
        past = self.outer(self.dropout(torch.relu(self.inner(average))))
        keep, take = torch.sigmoid(self.gates(torch.cat((x, past), dim=2))).chunk(2, dim=2)
        return keep * x + take * past, (sums[:, -1], read_more(read, x.size(1)))


def _zeros(encoded: Tensor) -> Tensor:
    """(N, D) for the encoder's outputs (B, S, D); sums stay exact though tokens are bfloat16."""
    return encoded.new_zeros(encoded.size(0), encoded.size(2), dtype=torch.float32)


class SimplerRecurrentUnit(nn.Module):
    """The simpler simple recurrent unit, SSRU (Kim 2019): one gate, no product with the past.

    State: the cell (N, D). Both products run over all positions at once; only a sum a position is
    left to the recurrence.
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
        fed = (1 - forget) * self.input(x)
        cells = []
        for kept, new in zip(forget.unbind(dim=1), fed.unbind(dim=1), strict=True):
            cell = kept * cell + new
            cells.append(cell)
        return torch.relu(torch.stack(cells, dim=1)), cell
