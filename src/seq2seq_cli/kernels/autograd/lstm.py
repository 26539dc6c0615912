"""An LSTM in bfloat16 for training on a CPU, as one autograd function.

PyTorch's own is left in float32 (see `recurrent`), which processors with bfloat16 instructions
multiply several times more slowly.

Dimensions: N rows, T tokens, D width of the input, U units.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.products import linear, product_over_rows, rounds

FEW_ROWS = 32  # of sentences: their number is a multiple of it, as in `training.FEW_ROWS`


class _Recurrence(torch.autograd.Function):
    """The part of an LSTM that goes from token to token.

    inputs (T, N, 4 U), weight (4 U, U), h and c (N, U) -> hidden states (T, N, U), c after them.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        inputs, weight = inputs.contiguous(), weight.bfloat16()
        length = inputs.size(0)
        hidden = inputs.new_empty(length + 1, *h.shape)
        cells = torch.empty(length + 1, *c.shape)
        hidden[0], cells[0] = h, c
        gates = torch.empty_like(inputs)
        for place in range(length):
            torch.mm(hidden[place], weight.t(), out=gates[place])
            training.lstm_cell(
                gates[place], inputs[place], cells[place], cells[place + 1], hidden[place + 1]
            )
        ctx.save_for_backward(gates, cells, hidden, weight)
        return hidden[1:], cells[-1].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gates, cells, hidden, weight = ctx.saved_tensors
        above, of_cell = gradients[0].contiguous(), gradients[1].contiguous().clone()
        carried = torch.zeros_like(hidden[0])
        slopes = torch.empty_like(gates)
        for place in reversed(range(len(gates))):
            training.lstm_cell_backward(
                *(gates[place], cells[place], cells[place + 1], above[place], carried),
                *(of_cell, slopes[place]),
            )
            torch.mm(slopes[place], weight, out=carried)
        of_weight = product_over_rows(slopes.flatten(0, 1), hidden[:-1].flatten(0, 1))
        return slopes, of_weight, carried.float(), of_cell


def serves(layer: nn.Module, x: Tensor) -> bool:
    """Whether this trains a layer on inputs such as these."""
    return isinstance(layer, nn.LSTM) and rounds(x) and training.library() is not None


def lstm(
    layer: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor] | None = None, *, reverse: bool = False
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """(N, T, D), h and c (N, U), zero if not given -> hidden states (N, T, U), h and c after them.

    `reverse` takes the weights of the other direction; x is read from left to right all the same.
    """
    ending = "l0_reverse" if reverse else "l0"
    weights = (getattr(layer, f"{kind}_{ending}") for kind in ("weight_ih", "weight_hh"))
    of_input, of_state = cast(tuple[Tensor, Tensor], tuple(weights))
    bias = getattr(layer, f"bias_ih_{ending}") + getattr(layer, f"bias_hh_{ending}")
    rows, filled = x.size(0), -x.size(0) % FEW_ROWS
    if state is None:
        state = (x.new_zeros(rows, layer.hidden_size),) * 2
    h, c = (F.pad(part.float(), (0, 0, 0, filled)) for part in state)
    inputs = linear(F.pad(x, (0, 0, 0, 0, 0, filled)).transpose(0, 1), of_input, bias)
    hidden, c = _Recurrence.apply(inputs, of_state, h, c)  # type: ignore[no-untyped-call]
    hidden = hidden.transpose(0, 1)[:rows]
    return hidden, (hidden[:, -1].float(), c[:rows])
