"""The RNN with attention by dot products, for search in kernels.

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
from seq2seq_cli.kernels.inference.recurrent import Cell, RecurrentSettings, recurrent_decoder
from seq2seq_cli.models.attention import DotAttention
from seq2seq_cli.models.attention_rnn import AttentionRnn
from seq2seq_cli.models.base import State, TranslationModel


class AttentionRnnInference(InferenceModel):
    """An RNN with attention whose encoder runs in PyTorch, with cells and layers in kernels."""

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
        self.dtype = torch.float16 if self.output.eight_bits else torch.float32
        settings = RecurrentSettings(
            width=config.width,
            units=config.units,
            cell_states=model.decoder.state_size,
            input_feeding=config.input_feeding,
            dtype=self.dtype,
            scale=cast(DotAttention, model.attention).scale,
        )
        cells = cast(list[Cell], list(model.decoder.layers))
        embedding = TargetEmbedding(model.target_embedding.weight, lambda count: PositionTables())
        self.decoder = recurrent_decoder(settings, embedding, cells, pack(model.features))

    def encode(self, source: Tensor) -> tuple[State, State]:
        memory, state = self.model.encode(source)
        keys, values, mask = cast(tuple[Tensor, Tensor, Tensor], memory)
        keys_values = torch.stack((keys[mask], values[mask]), dim=1).to(self.dtype)
        cells, _, fed = cast(tuple[tuple[tuple[Tensor, ...], ...], State, Tensor], state)
        initial = [tensor.reshape(-1) for layer in cells for tensor in layer]
        if self.model.input_feeding:
            initial.append(fed.reshape(-1))
        return (
            EncoderMemory.of([keys_values], mask.sum(dim=1, dtype=torch.int32)),
            KVCache.of(torch.cat(initial), source.size(0)),
        )
