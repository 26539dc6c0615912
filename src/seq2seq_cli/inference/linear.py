"""Models whose linear and recurrent layers are compiled, for search on a CPU."""

import copy
from typing import cast

from torch import Tensor, nn

from seq2seq_cli.inference.quantization import Int8Linear
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.inference.recurrent import Cell
from seq2seq_cli.models.base import TranslationModel
from seq2seq_cli.models.recurrent import CompiledLayer
from seq2seq_cli.models.recurrent import Decoder as RecurrentDecoder
from seq2seq_cli.models.recurrent import Encoder as RecurrentEncoder


def with_packed_layers(model: TranslationModel, *, eight_bits: bool) -> TranslationModel:
    """A copy for inference whose linear layers are compiled, or FBGEMM's where nothing is.

    So are recurrent layers. Embeddings and norms stay as they are.
    """
    result = copy.deepcopy(model)
    for module in list(result.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                setattr(module, name, _linear(child, eight_bits))
        if isinstance(module, RecurrentDecoder) and kernels.can_compute():
            module.layers = nn.ModuleList(_cell(each, eight_bits) for each in module.layers)
        if isinstance(module, RecurrentEncoder) and kernels.can_compute():
            module.layers = nn.ModuleList(_layer(each, eight_bits) for each in module.layers)
    return result


def _layer(layer: nn.Module, eight_bits: bool) -> CompiledLayer:
    if isinstance(layer, CompiledLayer):
        return layer
    own = cast(nn.RNNBase, layer)
    endings = ("l0", "l0_reverse") if own.bidirectional else ("l0",)
    cells = [_cell(own, eight_bits, ending) for ending in endings]
    return CompiledLayer(cells, own.hidden_size, 2 if isinstance(own, nn.LSTM) else 1)


def _cell(layer: nn.Module, eight_bits: bool, ending: str = "l0") -> Cell:
    if isinstance(layer, Cell):
        return layer
    named = dict(layer.named_parameters())
    weights = [
        (named[f"weight_{part}_{ending}"], named[f"bias_{part}_{ending}"]) for part in ("ih", "hh")
    ]
    return Cell(*(Linear.pack(*each, eight_bits=eight_bits) for each in weights))


def _linear(layer: nn.Linear, eight_bits: bool) -> nn.Module:
    if kernels.can_compute():
        return Linear.pack(layer.weight, layer.bias, eight_bits=eight_bits)
    return Int8Linear(layer.weight, layer.bias) if eight_bits else layer


def select_outputs(layer: nn.Module, outputs: Tensor) -> nn.Module:
    """A linear layer of the same kind with only some of its outputs, in their order; no bias."""
    if isinstance(layer, Linear):
        return layer.select_outputs(outputs)
    assert getattr(layer, "bias", None) is None, "an output layer has no bias"
    weight = cast(Tensor, layer.weight).index_select(0, outputs)
    if isinstance(layer, Int8Linear):
        return Int8Linear(weight, None)
    narrow = nn.Linear(weight.size(1), weight.size(0), bias=False, device="meta")
    narrow.weight = nn.Parameter(weight, requires_grad=False)
    return narrow


def pack(layer: nn.Module) -> Linear:
    """A layer as compiled encoders and decoders take it."""
    if isinstance(layer, Linear):
        return layer
    linear = cast(nn.Linear, layer)
    return Linear.pack(linear.weight, linear.bias, eight_bits=False)
