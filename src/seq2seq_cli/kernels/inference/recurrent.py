"""Recurrent cells, and a decoder of cells with attention (recurrent.cpp).

Dimensions: N rows of hypotheses, T target tokens, D width, U units.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    void *recurrent_decoder_new(const RecurrentSettings *settings, const CellWeights *cells,
                                int32_t count, const void *output);
""")


@dataclass(frozen=True)
class Cell:
    """The packed weights of a layer of LSTM or GRU in one direction."""

    from_input: Linear
    from_state: Linear


@dataclass(frozen=True)
class RecurrentSettings:
    """Settings of a decoder with attention by dot products."""

    width: int
    units: int
    cell_states: int  # 1, h; in an LSTM 2, h and c
    input_feeding: bool  # whether the last hidden state is read with a token (Luong 2015)
    dtype: type  # of keys and values: float32 or float16
    scale: float  # of the dot products

    def as_struct(self) -> _RecurrentSettings:
        return _RecurrentSettings(
            width=self.width,
            units=self.units,
            cell_states=self.cell_states,
            input_feeding=self.input_feeding,
            float16_keys_values=self.dtype == np.float16,
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
