"""What both recurrent architectures share: layers of LSTM or GRU, and the encoder made of them.

Dimensions: B sentences, N decoder rows, S source, T target, D width, U units; see `base`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seq2seq_cli.config.models import RecurrentConfig
from seq2seq_cli.kernels.autograd import lstm as fused_lstm
from seq2seq_cli.kernels.inference.recurrent import Cell
from seq2seq_cli.models.base import State
from seq2seq_cli.models.layers import Dropout, Linear

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


def initialise(model: nn.Module) -> None:
    """Glorot weights, orthogonal recurrence (Saxe 2014), open forget gates (Jozefowicz 2015)."""
    for name, parameter in model.named_parameters():
        if "embedding" in name:
            nn.init.normal_(parameter, std=parameter.size(1) ** -0.5)
        elif "weight_hh" in name:
            for gate in torch.split(parameter.data, parameter.size(1)):
                nn.init.orthogonal_(gate)
        elif parameter.dim() >= 2:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
    for module in model.modules():
        if isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if "bias_ih" in name:
                    forget = slice(module.hidden_size, 2 * module.hidden_size)
                    nn.init.ones_(parameter.data[forget])


def _run(layer: nn.Module, x: Tensor | PackedSequence, *state_before: object) -> tuple[Any, Any]:
    """Run a recurrent layer in float32: most CPUs have no bfloat16 kernel for it."""
    with torch.autocast(x.data.device.type, enabled=False):
        output, state = layer(x, *state_before)
    return output, state


class _Mirrored(torch.autograd.Function):
    """Rows of (B, S, D) at other places; done twice, they are where they were."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return x.flatten(0, 1).index_select(0, places).view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].flatten(0, 1).index_select(0, places).view_as(gradients[0]), None


Reads = Callable[[Tensor], Tensor]  # (B, S, D) -> (B, S, units), from left to right


def both_ways(forwards: Reads, backwards: Reads | None, x: Tensor, lengths: Tensor) -> Tensor:
    """Read (B, S, D) forwards, and each sentence backwards from its own end, if that is wanted.

    lengths (B,) -> outputs (B, S, U), zero at PAD.
    """
    count, longest = x.shape[:2]
    place = torch.arange(longest, device=x.device)
    real = place < lengths[:, None]
    outputs = [forwards(x)]
    if backwards is not None:
        mirrored = torch.where(real, lengths[:, None] - 1 - place, place)
        places = mirrored + longest * torch.arange(count, device=x.device)[:, None]
        places = places.flatten()
        read = backwards(_Mirrored.apply(x, places))  # type: ignore[no-untyped-call]
        outputs.append(_Mirrored.apply(read, places))  # type: ignore[no-untyped-call]
    return torch.cat(outputs, dim=2).masked_fill(~real[..., None], 0.0)


class CompiledLayer(nn.Module):
    """A layer of the encoder whose cells are compiled for inference, one for each direction."""

    def __init__(self, cells: Sequence[Cell], units: int, parts: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)
        self.units, self.parts = units, parts  # units of a direction; tensors of its state

    def reads(self, direction: int, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, units), from left to right."""
        state = tuple(x.new_zeros(1, x.size(0), self.units) for _ in range(self.parts))
        outputs, _ = self.cells[direction](x, state if self.parts > 1 else state[0])
        return cast(Tensor, outputs)


def _readers(layer: nn.Module, x: Tensor) -> list[Reads] | None:
    """What reads forwards and backwards, or None where that is torch's own layer."""
    if isinstance(layer, CompiledLayer):
        return [partial(layer.reads, direction) for direction in range(len(layer.cells))]
    if not fused_lstm.serves(layer, x):
        return None
    own = cast(nn.LSTM, layer)
    return [
        lambda y, reverse=reverse: fused_lstm.lstm(own, y, reverse=reverse)[0]  # type: ignore[misc]
        for reverse in (False, True)[: 2 if own.bidirectional else 1]
    ]


def _read(layer: nn.Module, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """(B, S, D) and lengths (B,) -> outputs (B, S, U), zero at PAD, and the last (B, U)."""
    readers = _readers(layer, x)
    if readers is not None:
        outputs = both_ways(readers[0], readers[1] if len(readers) > 1 else None, x, lengths)
        units = outputs.size(2) // len(readers)
        ends = outputs[torch.arange(x.size(0), device=x.device), lengths - 1, :units]
        return outputs, torch.cat((ends, outputs[:, 0, units:]), dim=1)
    packed = pack_padded_sequence(x.float(), lengths.cpu(), batch_first=True, enforce_sorted=False)
    output, state = _run(layer, packed)
    padded, _ = pad_packed_sequence(
        cast(PackedSequence, output), batch_first=True, total_length=x.size(1)
    )
    last = state[0] if isinstance(state, tuple) else state  # (directions, B, U / directions)
    return padded, last.transpose(0, 1).flatten(1)


class Encoder(nn.Module):
    """Recurrent layers over the source."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        directions = 2 if config.bidirectional else 1
        sizes = [config.width] + [config.units] * config.encoder_layers
        self.layers = nn.ModuleList(
            CELLS[config.cell](
                size,
                config.units // directions,
                batch_first=True,
                bidirectional=config.bidirectional,
            )
            for size in sizes[:-1]
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, D) and lengths (B,) -> outputs (B, S, U), zero at PAD, and the last (B, U)."""
        for layer in self.layers:
            x, last = _read(layer, self.dropout(x), lengths)
        return x, last


class Decoder(nn.Module):
    """Recurrent layers over the target.

    State: for each layer the tensors of its cell, h and, with LSTM, c, each (N, U).
    """

    def __init__(self, config: RecurrentConfig, input_width: int) -> None:
        super().__init__()
        self.parts = 2 if config.cell == "lstm" else 1
        self.units = config.units
        sizes = [input_width] + [config.units] * (config.decoder_layers - 1)
        self.layers = nn.ModuleList(
            CELLS[config.cell](size, config.units, batch_first=True) for size in sizes
        )
        self.bridge = Linear(config.units, len(sizes) * self.parts * config.units)
        self.dropout = Dropout(config.dropout)

    def start(self, last: Tensor) -> State:
        """The state before the first token, from the encoder's last output (B, U)."""
        parts = torch.split(torch.tanh(self.bridge(last).float()), self.units, dim=1)
        return tuple(
            tuple(part.contiguous() for part in parts[i : i + self.parts])
            for i in range(0, len(parts), self.parts)
        )

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(N, T, input width) -> outputs of the top layer (N, T, U), and the state after them."""
        after: list[State] = []
        for layer, before in zip(
            self.layers, cast(tuple[tuple[Tensor, ...], ...], state), strict=True
        ):
            x = self.dropout(x)
            if fused_lstm.serves(layer, x):
                h, c = before
                x, state_after = fused_lstm.lstm(cast(nn.LSTM, layer), x, (h, c))
                after.append(state_after)
                continue
            h, *rest = (part[None] for part in before)
            x, following = _run(layer, x.float(), (h, *rest) if rest else h)
            parts = following if isinstance(following, tuple) else (following,)
            after.append(tuple(part[0] for part in parts))
        return x, tuple(after)
