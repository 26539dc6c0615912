"""What both recurrent architectures share: initial weights, encoder and decoder of LSTM or GRU.

Dimensions: B sentences, N decoder rows, S source, T target, D width, U units; see `base`.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from seq2seq_cli.config.models import RecurrentConfig
from seq2seq_cli.kernels import autograd
from seq2seq_cli.models.base import State
from seq2seq_cli.models.layers import Dropout, Linear, last_of

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
        return last_of(self.layer_outputs(x, lengths))

    def layer_outputs(self, x: Tensor, lengths: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """As `forward`, of each layer."""
        for layer in self.layers:
            read = self.dropout(x)
            if isinstance(layer, nn.RNNBase):
                x, last = autograd.read_sentences(layer, read, lengths)
            else:  # made ready for inference
                x, last = layer(read, lengths)
            yield x, last


class Decoder(nn.Module):
    """Recurrent layers over the target.

    State: for each layer the tensors of its cell, h and, with LSTM, c, each (N, U).
    """

    def __init__(self, config: RecurrentConfig, input_width: int) -> None:
        super().__init__()
        self.state_size = 2 if config.cell == "lstm" else 1
        self.units = config.units
        sizes = [input_width] + [config.units] * (config.decoder_layers - 1)
        self.layers = nn.ModuleList(
            CELLS[config.cell](size, config.units, batch_first=True) for size in sizes
        )
        self.bridge = Linear(config.units, len(sizes) * self.state_size * config.units)
        self.dropout = Dropout(config.dropout)

    def start(self, last: Tensor) -> State:
        """The state before the first token, from the encoder's last output (B, U)."""
        tensors = torch.split(torch.tanh(self.bridge(last).float()), self.units, dim=1)
        return tuple(
            tuple(each.contiguous() for each in tensors[i : i + self.state_size])
            for i in range(0, len(tensors), self.state_size)
        )

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(N, T, input width) -> outputs of the top layer (N, T, U), and the state after them."""
        after: list[State] = []
        outputs = x
        for each, layer_after in self.layer_outputs(x, state):
            outputs = each
            after.append(layer_after)
        return outputs, tuple(after)

    def layer_outputs(self, x: Tensor, state: State) -> Iterator[tuple[Tensor, State]]:
        """The outputs (N, T, U) of each layer, and its state after them."""
        states = cast(tuple[tuple[Tensor, ...], ...], state)
        for layer, before in zip(self.layers, states, strict=True):
            x, layer_after = autograd.recurrent_layer(layer, self.dropout(x), before)
            yield x, layer_after
