"""Recurrent cells, and a decoder of cells with attention (recurrent.cpp).

Dimensions: N rows of hypotheses, T target tokens, D width, U units.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2seq_cli.kernels.inference.decoding import Decoder, TargetEmbedding
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.prototypes import fields


class _RecurrentSettings(ctypes.Structure):
    _fields_ = fields("""
        int32_t width, units, cell_states, input_feeding, float16_keys_values;
        float scale;
    """)


class _CellWeights(ctypes.Structure):
    _fields_ = fields("const void *from_input, *from_state;")


_kernels = Functions("""
    void cell_step(const void *from_input, const void *from_state, const float *x, int32_t rows,
                   float *hidden, float *cell);
    void *recurrent_decoder_new(const RecurrentSettings *settings, const CellWeights *cells,
                                int32_t count, const void *output);
""")


class Cell(nn.Module):
    """A layer of LSTM or GRU in one direction that runs token by token, called like nn.LSTM."""

    def __init__(self, from_input: Linear, from_state: Linear) -> None:
        super().__init__()
        self.from_input, self.from_state = from_input, from_state

    def forward(
        self, x: Tensor, state: Tensor | tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """Read (N, T, inputs) from the state h, or h and c, (1, N, units) each.

        Returns (N, T, units) and the state after it.
        """
        states = state if isinstance(state, tuple) else (state,)
        own = [each[0].clone(memory_format=torch.contiguous_format) for each in states]
        outputs = []
        for token in x.unbind(dim=1):
            token = token.contiguous()
            _kernels().cell_step(
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
    """Settings of a decoder with attention by dot products."""

    width: int
    units: int
    cell_states: int  # 1, h; in an LSTM 2, h and c
    input_feeding: bool  # whether the last hidden state is read with a token (Luong 2015)
    dtype: torch.dtype  # of keys and values: float32 or float16
    scale: float  # of the dot products

    def as_struct(self) -> _RecurrentSettings:
        return _RecurrentSettings(
            width=self.width,
            units=self.units,
            cell_states=self.cell_states,
            input_feeding=self.input_feeding,
            float16_keys_values=self.dtype == torch.float16,
            scale=self.scale,
        )


def recurrent_decoder(
    settings: RecurrentSettings, embedding: TargetEmbedding, cells: Sequence[Cell], output: Linear
) -> Decoder:
    """Make a decoder of layers of cells, and attention to the source on top.

    Its cache has h and, in an LSTM, c of each layer, (N, U) each, and with input feeding the last
    hidden state, one after the other.
    """
    array = (_CellWeights * len(cells))(
        *(
            _CellWeights(from_input=cell.from_input.handle, from_state=cell.from_state.handle)
            for cell in cells
        )
    )
    handle = _kernels().recurrent_decoder_new(
        ctypes.byref(settings.as_struct()), array, len(cells), output.handle
    )
    return Decoder(handle, embedding, tuple(cells), output)
