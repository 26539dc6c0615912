"""Linear and recurrent layers with packed weights in a model that PyTorch runs."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import cast

from torch import Tensor, nn

from seq2seq_cli.inference.quantization import Int8Linear
from seq2seq_cli.inference.weights import check_weights
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.autograd.lstm import read_in_directions
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.inference.recurrent import Cell
from seq2seq_cli.models.base import TranslationModel
from seq2seq_cli.models.recurrent import Decoder as RecurrentDecoder
from seq2seq_cli.models.recurrent import Encoder as RecurrentEncoder


def with_packed_layers(model: TranslationModel, *, eight_bits: bool) -> TranslationModel:
    """Copy a model for inference, with packed linear and recurrent layers.

    Without kernels, 8-bit linear layers are FBGEMM's and all others stay as they are. Embeddings
    and norms always do. Raises NoNumbersError if weights are not finite.
    """
    check_weights(model)
    result = copy.deepcopy(model)
    has_kernels = kernels.can_compute()
    for module in list(result.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                setattr(module, name, _linear(child, eight_bits))
        if isinstance(module, RecurrentDecoder) and has_kernels:
            module.layers = nn.ModuleList(_cell(layer, eight_bits) for layer in module.layers)
        if isinstance(module, RecurrentEncoder) and has_kernels:
            module.layers = nn.ModuleList(_layer(layer, eight_bits) for layer in module.layers)
    return result


class PackedRecurrentLayer(nn.Module):
    """A recurrent layer of an encoder as packed cells, one for each direction."""

    def __init__(self, cells: Sequence[Cell], units: int, state_size: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)
        self.units, self.state_size = units, state_size  # of a direction; tensors of its state

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `read_in_directions`."""
        return read_in_directions([partial(self._read, cell) for cell in self.cells], x, lengths)

    def _read(self, cell: nn.Module, x: Tensor) -> Tensor:
        """(B, S, D) -> outputs (B, S, units), from left to right."""
        state = tuple(x.new_zeros(1, x.size(0), self.units) for _ in range(self.state_size))
        outputs, _ = cell(x, state if self.state_size > 1 else state[0])
        return cast(Tensor, outputs)


def _linear(layer: nn.Linear, eight_bits: bool) -> nn.Module:
    if kernels.can_compute():
        return Linear.pack(layer.weight, layer.bias, eight_bits=eight_bits)
    return Int8Linear(layer.weight, layer.bias) if eight_bits else layer


def _layer(layer: nn.Module, eight_bits: bool) -> PackedRecurrentLayer:
    """Pack a layer of an encoder, in one direction or in both."""
    if isinstance(layer, PackedRecurrentLayer):
        return layer
    rnn = cast(nn.RNNBase, layer)
    suffixes = ("l0", "l0_reverse") if rnn.bidirectional else ("l0",)
    cells = [_cell(rnn, eight_bits, suffix) for suffix in suffixes]
    return PackedRecurrentLayer(cells, rnn.hidden_size, 2 if isinstance(rnn, nn.LSTM) else 1)


def _cell(layer: nn.Module, eight_bits: bool, suffix: str = "l0") -> Cell:
    """Pack one direction of a layer of nn.LSTM or nn.GRU, whose weights end in `suffix`."""
    if isinstance(layer, Cell):
        return layer
    weights = dict(layer.named_parameters())
    from_input, from_state = (
        Linear.pack(
            weights[f"weight_{side}_{suffix}"],
            weights[f"bias_{side}_{suffix}"],
            eight_bits=eight_bits,
        )
        for side in ("ih", "hh")
    )
    return Cell(from_input, from_state)


def select_outputs(layer: nn.Module, outputs: Tensor) -> nn.Module:
    """Make a linear layer of the same kind with some of its outputs (any,), in their order.

    The layer has no bias.
    """
    if isinstance(layer, Linear):
        return layer.select_outputs(outputs)
    assert getattr(layer, "bias", None) is None, "an output layer has no bias"
    weight = cast(Tensor, layer.weight).index_select(0, outputs)
    if isinstance(layer, Int8Linear):
        return Int8Linear(weight, None)
    selected = nn.Linear(weight.size(1), weight.size(0), bias=False, device="meta")
    selected.weight = nn.Parameter(weight, requires_grad=False)
    return selected


def pack(layer: nn.Module) -> Linear:
    """Pack a linear layer for the encoders and decoders in kernels, unless it is packed."""
    if isinstance(layer, Linear):
        return layer
    linear = cast(nn.Linear, layer)
    return Linear.pack(linear.weight, linear.bias, eight_bits=False)
