"""Recurrent cells, and a decoder with attention that is made of them (recurrent.cpp).

Dimensions: N rows of hypotheses, T target tokens, D width, U units.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2seq_cli.kernels.inference.decoding import Decoder, TargetEmbedding
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.library import INT, POINTER, declaring


class _Settings(ctypes.Structure):
    _fields_ = (
        ("width", INT),
        ("units", INT),
        ("parts", INT),
        ("feeding", INT),
        ("halves", INT),
        ("scale", ctypes.c_float),
    )


class _CellParts(ctypes.Structure):
    _fields_ = (("from_input", POINTER), ("from_state", POINTER))


_compiled = declaring(
    {
        "cell_step": (None, POINTER, POINTER, POINTER, INT, POINTER, POINTER),
        "attending_decoder_new": (POINTER, POINTER, POINTER, INT, POINTER),
    }
)


class Cell(nn.Module):
    """A layer of LSTM or GRU in one direction that runs token by token, called like torch's own."""

    def __init__(self, from_input: Linear, from_state: Linear) -> None:
        super().__init__()
        self.from_input, self.from_state = from_input, from_state

    def forward(
        self, x: Tensor, state: Tensor | tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """(N, T, inputs) and h, or h and c, (1, N, units) -> (N, T, units), the state after."""
        parts = state if isinstance(state, tuple) else (state,)
        own = [part[0].clone(memory_format=torch.contiguous_format) for part in parts]
        outputs = []
        for token in x.unbind(dim=1):
            token = token.contiguous()
            _compiled().cell_step(
                self.from_input.handle,
                self.from_state.handle,
                token.data_ptr(),
                token.size(0),
                own[0].data_ptr(),
                own[1].data_ptr() if len(own) > 1 else None,
            )
            outputs.append(own[0].clone())
        after = (own[0][None], own[1][None]) if len(own) > 1 else own[0][None]
        return torch.stack(outputs, dim=1), after


@dataclass(frozen=True)
class RecurrentSettings:
    """Of a decoder with attention by dot products."""

    width: int
    units: int
    parts: int  # of a cell's state: h, and in an LSTM c
    feeding: bool  # whether the last hidden state is read with a token
    kept: torch.dtype  # of keys and values: float32 or float16
    scale: float  # of the dot products

    def as_struct(self) -> _Settings:
        return _Settings(
            self.width,
            self.units,
            self.parts,
            self.feeding,
            self.kept == torch.float16,
            self.scale,
        )


def attending_decoder(
    settings: RecurrentSettings, embedding: TargetEmbedding, cells: Sequence[Cell], output: Linear
) -> Decoder:
    """Layers of cells, attention to the source, and hidden states of both.

    It keeps h and, in an LSTM, c of each layer, (N, U) each, and the last hidden state where it is
    fed, one after the other.
    """
    array = (_CellParts * len(cells))(
        *(_CellParts(cell.from_input.handle, cell.from_state.handle) for cell in cells)
    )
    handle = _compiled().attending_decoder_new(
        ctypes.byref(settings.as_struct()), array, len(cells), output.handle
    )
    return Decoder(handle, embedding, tuple(cells), output)
