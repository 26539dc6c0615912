"""The recurrent encoder-decoder with attention: every output looks at all hidden states.

Dimensions: B sentences, N decoder rows, S source, T target, D width, U units; see `base`.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from seq2seq_cli.models.attention import ScoreName, attention
from seq2seq_cli.models.base import TranslationModel, Tree, Vocabulary
from seq2seq_cli.models.layers import Dropout, source_mask
from seq2seq_cli.models.recurrent import Decoder, Encoder, RecurrentConfig, initialise


@dataclass(frozen=True)
class AttentionRnnConfig(RecurrentConfig):
    """Settings of the RNN with attention."""

    architecture: Literal["attention-rnn"] = "attention-rnn"
    score: ScoreName = "general"
    input_feeding: bool = False  # the last attended vector is read with the next token


class AttentionRnn(TranslationModel):
    """Bahdanau et al. 2015 and Luong et al. 2015.

    Memory: keys (B, S, U), values (B, S, U), mask (B, S).
    State: the decoder's, see `recurrent.Decoder`, and with input feeding the last features (N, D).
    Without input feeding attention runs over all T at once, after the recurrence.
    """

    Config = AttentionRnnConfig

    def __init__(self, config: AttentionRnnConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.input_feeding = config.input_feeding
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, config.width * (2 if config.input_feeding else 1))
        self.attention = attention(config.score, config.units)
        self.features = nn.Linear(2 * config.units, config.width)
        self.dropout = Dropout(config.dropout)
        initialise(self)

    def encode(self, source: Tensor) -> tuple[Tree, Tree]:
        mask = source_mask(source)
        encoded, last = self.encoder(self.source_embedding(source), mask.sum(dim=1))
        encoded = self.dropout(encoded)
        state = self.decoder.start(last)
        feed = encoded.new_zeros(encoded.size(0), self.features.out_features)
        memory = (self.attention.keys(encoded), encoded, mask)
        return memory, (state, feed) if self.input_feeding else state

    def decode(self, target: Tensor, state: Tree, memory: Tree) -> tuple[Tensor, Tree]:
        x = self.target_embedding(target)
        if not self.input_feeding:
            hidden, state = self.decoder(x, state)
            return self._attend(hidden, memory), state
        state, feed = cast(tuple[Tree, Tensor], state)
        steps = []
        for token in x.split(1, dim=1):
            hidden, state = self.decoder(torch.cat((token, feed[:, None]), dim=2), state)
            step = self._attend(hidden, memory)
            feed = step[:, 0]
            steps.append(step)
        return torch.cat(steps, dim=1), (state, feed)

    def _attend(self, hidden: Tensor, memory: Tree) -> Tensor:
        """Decoder outputs (N, T, U) -> attended features (N, T, D)."""
        keys, values, mask = cast(tuple[Tensor, Tensor, Tensor], memory)
        query = hidden.reshape(keys.size(0), -1, hidden.size(2))  # beams are further queries
        context = self.attention.attend(query, keys, values, mask)
        joined = torch.cat((context.reshape(hidden.shape), hidden), dim=2)
        return torch.tanh(self.features(self.dropout(joined)))
