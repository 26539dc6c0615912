"""The RNN with attention by dot products, compiled for search on a CPU.

Dimensions: B sentences, N decoder rows, S source tokens, D width, U units; see `models.base`.
"""

from typing import cast

import torch
from torch import Tensor

from seq2seq_cli.models.attention import DotAttention
from seq2seq_cli.models.attention_rnn import AttentionRnn, AttentionRnnConfig
from seq2seq_cli.models.base import TranslationModel, Tree
from seq2seq_cli.models.compiled.linear import packed, with_linear_layers
from seq2seq_cli.native.read import Sources
from seq2seq_cli.native.recurrent import AttendingDecoder, Cell, RecurrentSettings


class CompiledAttentionRnn:
    """An RNN with attention to all of the source, whose decoder reads a token of each row at once.

    Memory: `native.read.Sources`, of float16 with 8-bit weights. State: h and, in an LSTM, c of
    each layer, (N, U) each, then the last features (N, D), where they are fed.
    """

    @staticmethod
    def serves(model: TranslationModel) -> bool:
        """Whether this can stand for the model."""
        return (
            isinstance(model, AttentionRnn)
            and isinstance(model.attention, DotAttention)
            and model.attention.window is None
        )

    def __init__(self, model: TranslationModel) -> None:
        model = cast(AttentionRnn, with_linear_layers(model, eight_bits=False))
        config = cast(AttentionRnnConfig, model.config)
        self.model = model
        self.output = packed(model.output)
        self.kept = torch.float16 if self.output.eight_bits else torch.float32
        settings = RecurrentSettings(
            config.width,
            config.units,
            model.decoder.parts,
            config.input_feeding,
            self.kept,
            cast(DotAttention, model.attention).scale,
        )
        cells = cast(list[Cell], list(model.decoder.layers))
        self.decoder = AttendingDecoder(settings, cells, packed(model.features))

    def encode(self, source: Tensor) -> tuple[Tree, Tree]:
        """Read (B, S) ids; return memory, and the state before the first token, B rows each."""
        memory, state = self.model.encode(source)
        keys, values, mask = cast(tuple[Tensor, Tensor, Tensor], memory)
        both = torch.stack((keys[mask], values[mask]), dim=1).to(self.kept)
        before, _, feed = cast(tuple[tuple[tuple[Tensor, ...], ...], Tree, Tensor], state)
        flat = [part for layer in before for part in layer]
        if self.model.input_feeding:
            flat.append(feed)
        return Sources.of([both], mask.sum(dim=1, dtype=torch.int32)), tuple(flat)

    def decode(self, target: Tensor, state: Tree, memory: Tree) -> tuple[Tensor, Tree]:
        """Read (N, 1) ids; return features (N, 1, D) and the state after them."""
        features, after = self.decoder.step(
            target[:, 0].contiguous(),
            self.model.target_embedding.weight,
            cast(tuple[Tensor, ...], state),
            cast(Sources, memory),
        )
        return features[:, None], after
