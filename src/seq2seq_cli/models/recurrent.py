"""What both recurrent architectures share: layers of LSTM or GRU, and the encoder made of them.

Dimensions: B sentences, N decoder rows, S source, T target, D width, U units; see `base`.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seq2seq_cli.config import require
from seq2seq_cli.models.base import ModelConfig, Tree
from seq2seq_cli.models.layers import Dropout, Linear

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


@dataclass(frozen=True)
class RecurrentConfig(ModelConfig):
    """Settings of recurrent architectures; depths are in layers."""

    cell: Literal["lstm", "gru"] = "lstm"
    units: int = 512  # of a layer; a bidirectional one has half of them in each direction
    encoder_layers: int = 1
    decoder_layers: int = 1
    bidirectional: bool = True  # the encoder reads in both directions

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("units", "encoder_layers", "decoder_layers"):
            value = getattr(self, name)
            require(value >= 1, f"model.{name} = {value}: 1 or more is allowed")
        require(
            not self.bidirectional or self.units % 2 == 0,
            f"model.units = {self.units} cannot be halved between two directions; choose an even "
            "number or model.bidirectional = false",
        )


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
        length = x.size(1)
        for layer in self.layers:
            packed = pack_padded_sequence(
                self.dropout(x).float(), lengths.cpu(), batch_first=True, enforce_sorted=False
            )
            output, state = _run(layer, packed)
            x, _ = pad_packed_sequence(
                cast(PackedSequence, output), batch_first=True, total_length=length
            )
            last = (
                state[0] if isinstance(state, tuple) else state
            )  # (directions, B, U / directions)
        return x, last.transpose(0, 1).flatten(1)


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

    def start(self, last: Tensor) -> Tree:
        """The state before the first token, from the encoder's last output (B, U)."""
        parts = torch.split(torch.tanh(self.bridge(last).float()), self.units, dim=1)
        return tuple(
            tuple(part.contiguous() for part in parts[i : i + self.parts])
            for i in range(0, len(parts), self.parts)
        )

    def forward(self, x: Tensor, state: Tree) -> tuple[Tensor, Tree]:
        """(N, T, input width) -> outputs of the top layer (N, T, U), and the state after them."""
        after: list[Tree] = []
        for layer, before in zip(
            self.layers, cast(tuple[tuple[Tensor, ...], ...], state), strict=True
        ):
            h, *c = (part[None] for part in before)
            x, following = _run(layer, self.dropout(x).float(), (h, *c) if c else h)
            parts = following if isinstance(following, tuple) else (following,)
            after.append(tuple(part[0] for part in parts))
        return x, tuple(after)
