"""The RNN with attention by dot products, compiled for search on a CPU.

Dimensions: B sentences, S source tokens; see `models.base`.
"""

from typing import cast

import torch
from torch import Tensor

from seq2seq_cli.config.models import AttentionRnnConfig
from seq2seq_cli.inference.base import InferenceModel
from seq2seq_cli.inference.linear import pack, with_packed_layers
from seq2seq_cli.kernels.inference.decoding import KVCache, PositionTables, TargetEmbedding
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory
from seq2seq_cli.kernels.inference.recurrent import Cell, RecurrentSettings, attending_decoder
from seq2seq_cli.models.attention import DotAttention
from seq2seq_cli.models.attention_rnn import AttentionRnn
from seq2seq_cli.models.base import State, TranslationModel


class AttentionRnnInference(InferenceModel):
    """An RNN with attention to all of the source."""

    model_class = AttentionRnn

    @classmethod
    def supports(cls, model: TranslationModel) -> bool:
        """Exclude attention that is not by dot products, or is to a window of the source."""
        return (
            isinstance(model, AttentionRnn)
            and isinstance(model.attention, DotAttention)
            and model.attention.window is None
        )

    def __init__(self, model: TranslationModel) -> None:
        model = cast(AttentionRnn, with_packed_layers(model, eight_bits=False))
        config = cast(AttentionRnnConfig, model.config)
        self.model = model
        self.output = pack(model.output)
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
        embedding = TargetEmbedding(model.target_embedding.weight, lambda count: PositionTables())
        self.decoder = attending_decoder(settings, embedding, cells, pack(model.features))

    def encode(self, source: Tensor) -> tuple[State, State]:
        memory, state = self.model.encode(source)
        keys, values, mask = cast(tuple[Tensor, Tensor, Tensor], memory)
        both = torch.stack((keys[mask], values[mask]), dim=1).to(self.kept)
        before, _, feed = cast(tuple[tuple[tuple[Tensor, ...], ...], State, Tensor], state)
        kept = [part.reshape(-1) for layer in before for part in layer]
        if self.model.input_feeding:
            kept.append(feed.reshape(-1))
        sources = EncoderMemory.of([both], mask.sum(dim=1, dtype=torch.int32))
        return sources, KVCache.of(torch.cat(kept), source.size(0))
