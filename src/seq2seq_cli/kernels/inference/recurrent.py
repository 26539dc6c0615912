"""Encoder and decoders of RNNs (recurrent_encoder.cpp, recurrent_decoder.cpp).

Dimensions: B sentences, N rows of hypotheses, D width, U units.
"""

import ctypes
import weakref
from collections.abc import Sequence

import numpy as np

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.arrays import Array, Counts, Floats, Tokens, address
from seq2seq_cli.kernels.inference.decoding import Decoder, KVCache, TargetEmbedding
from seq2seq_cli.kernels.inference.encoder_memory import Embedding, EncoderMemory, SourceTokens
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.prototypes import fields

# Numbered as in recurrent_attention.h. A score of queries and of projected keys is "dot".
SCORES = ("additive", "dot", "location-base", "content-base", "multi-head")


class _RecurrentSettings(ctypes.Structure):
    _fields_ = fields("""
        int32_t width, units, cell_states, directions, reverse_source, input_feeding;
        int32_t float16_keys_values;
    """)


class _RecurrentAttention(ctypes.Structure):
    _fields_ = fields("""
        int32_t score, heads, window;
        float scale;
        const void *query, *key, *value, *output, *centre;
        const float *score_weight, *centre_weight;
        float strength;
    """)


class _CellWeights(ctypes.Structure):
    _fields_ = fields("const void *from_input, *from_state;")


_kernels = Functions("""
    void *recurrent_encoder_new(const RecurrentSettings *settings, const CellWeights *cells,
                                int32_t count, const void *bridge, int32_t decoder_layers,
                                const RecurrentAttention *attention, const void *context);
    void recurrent_encoder_free(void *encoder);
    void recurrent_encoder_read(const void *encoder, const SourceTokens *source, float *initial);
    void *recurrent_decoder_new(const RecurrentSettings *settings, const CellWeights *cells,
                                int32_t count, const RecurrentAttention *attention,
                                int32_t every_step, const void *output);
""")


@dataclass(frozen=True)
class Cell:
    """The packed weights of a layer of LSTM or GRU in one direction."""

    from_input: Linear
    from_state: Linear


@dataclass(frozen=True)
class RecurrentSettings:
    """Settings of an encoder and its decoder."""

    width: int
    units: int
    cell_states: int  # 1, h; in an LSTM 2, h and c
    directions: int  # in which the encoder reads
    dtype: type  # of keys and values: float32 or float16
    reverse_source: bool = False  # whether tokens before EOS are read from last to first
    input_feeding: bool = False  # whether the last hidden state is read with a token (Luong 2015)

    def as_struct(self) -> _RecurrentSettings:
        return _RecurrentSettings(
            width=self.width,
            units=self.units,
            cell_states=self.cell_states,
            directions=self.directions,
            reverse_source=self.reverse_source,
            input_feeding=self.input_feeding,
            float16_keys_values=self.dtype == np.float16,
        )


@dataclass(frozen=True)
class Attention:
    """The settings and weights of attention to the source; see `models.attention`."""

    score: str  # one of `SCORES`
    scale: float = 1.0  # that dot products are multiplied with
    heads: int = 1
    window: int = 0  # source tokens that are seen on each side of a centre; 0 if all are
    query: Linear | None = None
    key: Linear | None = None  # None where keys are encoder outputs, or those of length 1
    value: Linear | None = None  # None where values are encoder outputs
    output: Linear | None = None
    score_weight: Floats | None = None  # (U,), of additive scores, and of the strength of cosines
    strength: float = 0.0  # the bias of the strength of cosines
    centre: Linear | None = None  # the layers that predict the centre of a window
    centre_weight: Floats | None = None  # (U,)

    @property
    def has_keys(self) -> bool:
        """Whether scores compare queries with something else than the values."""
        return self.key is not None or self.score == "content-base"

    def as_struct(self) -> _RecurrentAttention:
        return _RecurrentAttention(
            score=SCORES.index(self.score),
            heads=self.heads,
            window=self.window,
            scale=self.scale,
            query=_handle(self.query),
            key=_handle(self.key),
            value=_handle(self.value),
            output=_handle(self.output),
            centre=_handle(self.centre),
            score_weight=address(self.score_weight),
            centre_weight=address(self.centre_weight),
            strength=self.strength,
        )


def _handle(layer: Linear | None) -> int | None:
    return None if layer is None else layer.handle


class Encoder:
    """Layers of cells over the source, and what they leave for the decoder.

    That is, with attention, values and perhaps keys of each source token, (tokens, U) each; with a
    `context` layer, its outputs (B, 2 D) for the last outputs of each sentence; and the decoder's
    cache before the first token, computed by `bridge`.
    """

    def __init__(
        self,
        settings: RecurrentSettings,
        cells: Sequence[Cell],
        bridge: Linear,
        attention: Attention | None,
        context: Linear | None,
    ) -> None:
        """Take the directions of the first layer, then those of the next."""
        self.settings, self.attention, self.context = settings, attention, context
        self.owners = cells, bridge  # C++ points into them
        self.state_width = bridge.out_features + settings.width * settings.input_feeding
        self.handle = _kernels().recurrent_encoder_new(
            ctypes.byref(settings.as_struct()),
            _cell_weights(cells),
            len(cells),
            bridge.handle,
            bridge.out_features // (settings.cell_states * settings.units),
            None if attention is None else ctypes.byref(attention.as_struct()),
            _handle(context),
        )
        weakref.finalize(self, _kernels().recurrent_encoder_free, self.handle)

    def read(
        self, tokens: Tokens, lengths: Counts, embedding: Embedding
    ) -> tuple[EncoderMemory, KVCache]:
        """Read the sentences in `tokens` (any,), one after the other, with their `lengths`."""
        memory = EncoderMemory.of(self._room(len(tokens), len(lengths)), lengths)
        initial = np.empty(len(lengths) * self.state_width, dtype=np.float32)
        source = SourceTokens.of(tokens, memory, embedding, None)
        _kernels().recurrent_encoder_read(self.handle, ctypes.byref(source), address(initial))
        return memory, KVCache.of(initial, len(lengths))

    def _room(self, tokens: int, sentences: int) -> list[Array]:
        """Memory to be filled, for so many tokens of so many sentences."""
        if self.attention is not None:
            shape = tokens, self.settings.units
            count = 2 if self.attention.has_keys else 1
            return [np.empty(shape, dtype=self.settings.dtype) for _ in range(count)]
        if self.context is not None:
            return [np.empty((sentences, self.context.out_features), dtype=np.float32)]
        return []


def decoder(
    settings: RecurrentSettings,
    embedding: TargetEmbedding,
    cells: Sequence[Cell],
    attention: Attention | None,
    output: Linear,
    *,
    every_step: bool = False,
) -> Decoder:
    """Make a decoder of layers of cells, with attention to the source on top.

    Without attention it has a fixed context, which it reads with every token, or only as the
    initial state. Its cache has h and, in an LSTM, c of each layer, (N, U) each, and with input
    feeding the last hidden state (N, D), one after the other.
    """
    handle = _kernels().recurrent_decoder_new(
        ctypes.byref(settings.as_struct()),
        _cell_weights(cells),
        len(cells),
        None if attention is None else ctypes.byref(attention.as_struct()),
        every_step,
        output.handle,
    )
    return Decoder(handle, embedding, cells, attention, output)


def _cell_weights(cells: Sequence[Cell]) -> ctypes.Array[_CellWeights]:
    return (_CellWeights * len(cells))(
        *(
            _CellWeights(from_input=cell.from_input.handle, from_state=cell.from_state.handle)
            for cell in cells
        )
    )
