"""Recurrent layers: PyTorch's own, and for training in bfloat16 an LSTM as one autograd function.

PyTorch's own run in float32, since most CPUs have no bfloat16 kernel for them; processors with
bfloat16 instructions multiply several times faster than that.

Dimensions: B sentences, N rows, S or T tokens, D width of the input, U units.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.dispatch import engine, trains_in_bfloat16
from seq2seq_cli.kernels.autograd.products import linear, product_over_rows

FEW_ROWS = 32  # sentences are a multiple of this many, for the reason of `products.FEW_ROWS`


def run_in_float32(layer: nn.Module, x: Tensor | PackedSequence, *state: object) -> tuple[Any, Any]:
    """Run a layer of PyTorch with float32 inputs, and without autocast."""
    with torch.autocast(x.data.device.type, enabled=False):
        output, state_after = layer(x, *state)
    return output, state_after


class _Recurrence(torch.autograd.Function):
    """The recurrence of an LSTM, from token to token.

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
        for t in range(length):
            torch.mm(hidden[t], weight.t(), out=gates[t])
            training.lstm_cell(gates[t], inputs[t], cells[t], cells[t + 1], hidden[t + 1])
        ctx.save_for_backward(gates, cells, hidden, weight)
        return hidden[1:], cells[-1].clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gates, cells, hidden, weight = ctx.saved_tensors
        grad_hidden, grad_cell = grad_outputs[0].contiguous(), grad_outputs[1].contiguous().clone()
        grad_carried = torch.zeros_like(hidden[0])
        grad_gates = torch.empty_like(gates)
        for t in reversed(range(len(gates))):
            cell = gates[t], cells[t], cells[t + 1]
            training.lstm_cell_backward(
                *cell, grad_hidden[t], grad_carried, grad_cell, grad_gates[t]
            )
            torch.mm(grad_gates[t], weight, out=grad_carried)
        grad_weight = product_over_rows(grad_gates.flatten(0, 1), hidden[:-1].flatten(0, 1))
        return grad_gates, grad_weight, grad_carried.float(), grad_cell


def _has_kernel(layer: nn.Module, x: Tensor) -> bool:
    return isinstance(layer, nn.LSTM) and trains_in_bfloat16(x) and engine(x) == "kernel"


def _lstm(
    layer: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor] | None = None, *, reverse: bool = False
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """(N, T, D), h and c (N, U), zero by default -> hidden states (N, T, U), h and c after them.

    `reverse` takes the weights of the other direction; x is still read from left to right.
    """
    suffix = "l0_reverse" if reverse else "l0"
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    input_weight, state_weight, *biases = (getattr(layer, f"{name}_{suffix}") for name in names)
    rows, filled = x.size(0), -x.size(0) % FEW_ROWS
    if state is None:
        state = (x.new_zeros(rows, layer.hidden_size),) * 2
    h, c = (F.pad(each.float(), (0, 0, 0, filled)) for each in state)
    tokens = F.pad(x, (0, 0, 0, 0, 0, filled)).transpose(0, 1)
    inputs = linear(tokens, input_weight, biases[0] + biases[1])
    hidden, c = _Recurrence.apply(inputs, state_weight, h, c)  # type: ignore[no-untyped-call]
    hidden = hidden.transpose(0, 1)[:rows]
    return hidden, (hidden[:, -1].float(), c[:rows])


def recurrent_layer(
    layer: nn.Module, x: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a layer of LSTM or GRU from left to right over x (N, T, D), beginning with a state.

    The state is h and, in an LSTM, c, (N, U) each. Returns outputs (N, T, U) and the state after
    them.
    """
    if _has_kernel(layer, x):
        return _lstm(cast(nn.LSTM, layer), x, cast(tuple[Tensor, Tensor], state))
    h, *rest = (each[None] for each in state)
    x, after = run_in_float32(layer, x.float(), (h, *rest) if rest else h)
    return x, tuple(each[0] for each in (after if isinstance(after, tuple) else (after,)))


class _Permuted(torch.autograd.Function):
    """Rows of (B, S, D) in another order, which is its own inverse."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return x.flatten(0, 1).index_select(0, order).view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        grad_output = grad_outputs[0]
        return grad_output.flatten(0, 1).index_select(0, order).view_as(grad_output), None


Reader = Callable[[Tensor], Tensor]  # (B, S, D) -> outputs (B, S, U), from left to right


def read_in_directions(
    readers: Sequence[Reader], x: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Read sentences (B, S, D) of lengths (B,) from left to right, and from right to left if there
    is a second reader, which begins at the end of each sentence.

    Returns the outputs of both side by side, (B, S, U), zero at PAD, and the last of each, (B, U).
    """
    count, longest = x.shape[:2]
    position = torch.arange(longest, device=x.device)
    real = position < lengths[:, None]
    outputs = [readers[0](x)]
    for reader in readers[1:]:
        mirrored = torch.where(real, lengths[:, None] - 1 - position, position)
        order = mirrored + longest * torch.arange(count, device=x.device)[:, None]
        order = order.flatten()
        read = reader(_Permuted.apply(x, order))  # type: ignore[no-untyped-call]
        outputs.append(_Permuted.apply(read, order))  # type: ignore[no-untyped-call]
    joined = torch.cat(outputs, dim=2).masked_fill(~real[..., None], 0.0)
    units = joined.size(2) // len(readers)
    ends = joined[torch.arange(count, device=x.device), lengths - 1, :units]
    return joined, torch.cat((ends, joined[:, 0, units:]), dim=1)


def read_sentences(layer: nn.RNNBase, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Run a layer of LSTM or GRU, in one direction or both, over sentences (B, S, D).

    Their lengths are (B,). Returns outputs (B, S, U), zero at PAD, and the last ones of each
    direction, (B, U).
    """
    if _has_kernel(layer, x):
        lstm = cast(nn.LSTM, layer)
        directions = (False, True) if layer.bidirectional else (False,)
        readers = [partial(_outputs, lstm, reverse=reverse) for reverse in directions]
        return read_in_directions(readers, x, lengths)
    packed = pack_padded_sequence(x.float(), lengths.cpu(), batch_first=True, enforce_sorted=False)
    output, state = run_in_float32(layer, packed)
    padded, _ = pad_packed_sequence(
        cast(PackedSequence, output), batch_first=True, total_length=x.size(1)
    )
    last = state[0] if isinstance(state, tuple) else state  # (directions, B, U / directions)
    return padded, last.transpose(0, 1).flatten(1)


def _outputs(layer: nn.LSTM, x: Tensor, *, reverse: bool) -> Tensor:
    return _lstm(layer, x, reverse=reverse)[0]
