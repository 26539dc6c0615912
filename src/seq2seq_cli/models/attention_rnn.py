"""The recurrent encoder-decoder with attention: every output attends to all encoder outputs.

Dimensions: B sentences, N decoder rows, S source, T target, D width, U units; see `base`.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from seq2seq_cli.config.models import AttentionRnnConfig, Vocabulary
from seq2seq_cli.models.attention import SCORES
from seq2seq_cli.models.base import LayerStates, State, TranslationModel, name_layers
from seq2seq_cli.models.layers import Dropout, Linear, count_more, no_tokens_read, source_mask
from seq2seq_cli.models.recurrent import Decoder, Encoder, initialise


class AttentionRnn(TranslationModel):
    """Bahdanau et al. 2015 and Luong et al. 2015.

    Memory: keys (B, S, U), values (B, S, U), mask (B, S).
    State: the decoder's, see `recurrent.Decoder`; the count of tokens read, where the scope is
    local-m; and the last hidden state (N, D), where it is fed.
    Without input feeding attention runs over all T at once, after the recurrence.
    """

    Config = AttentionRnnConfig
    attends_to_source = AttentionRnnConfig.attends_to_source

    def __init__(self, config: AttentionRnnConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.input_feeding = config.input_feeding
        self.counts = config.scope == "local-m"
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, config.width * (2 if config.input_feeding else 1))
        self.attention = SCORES[config.score](config)
        self.features = Linear(2 * config.units, config.width)
        self.dropout = Dropout(config.dropout)
        initialise(self)
        self.initialise_output()

    def units(self) -> Iterator[nn.Module]:
        """The encoder; a decoder may be called once for each token."""
        yield self.encoder

    def encode(self, source: Tensor) -> tuple[State, State]:
        mask = source_mask(source)
        encoded, last = self.encoder(self.source_embedding(source), mask.sum(dim=1))
        encoded = self.dropout(encoded)
        memory = (self.attention.keys(encoded), self.attention.values(encoded), mask)
        read = no_tokens_read(encoded) if self.counts else ()
        feed = encoded.new_zeros(encoded.size(0), self.features.out_features)
        return memory, (self.decoder.start(last), read, feed if self.input_feeding else ())

    def decode(self, target: Tensor, state: State, memory: State) -> tuple[Tensor, State]:
        before, read, feed = cast(tuple[State, Tensor, Tensor], state)
        first = read.size(1) if self.counts else 0
        x = self.target_embedding(target)
        if self.input_feeding:
            hidden, before, feed = self._feed(x, before, feed, memory, first)
        else:
            decoder_hidden, before = self.decoder(x, before)
            hidden = self._attend(decoder_hidden, memory, first)
        return hidden, (before, count_more(read, target.size(1)) if self.counts else (), feed)

    def _feed(
        self, x: Tensor, before: State, feed: Tensor, memory: State, first: int
    ) -> tuple[Tensor, State, Tensor]:
        """Read (N, T, D) token by token, each with the hidden state of the token before."""
        steps = []
        after = before
        for _, step, step_after in self._fed_steps(x, before, feed, memory, first):
            steps.append(step)
            after = step_after
        return torch.cat(steps, dim=1), after, steps[-1][:, 0]

    def _fed_steps(
        self, x: Tensor, before: State, feed: Tensor, memory: State, first: int
    ) -> Iterator[tuple[list[Tensor], Tensor, State]]:
        """For each token the outputs (N, 1, U) of all layers, the hidden state and the state."""
        for index, token in enumerate(torch.split(x, 1, dim=1)):
            read = torch.cat((token, feed[:, None]), dim=2)
            outputs, after = zip(*self.decoder.layer_outputs(read, before), strict=True)
            step = self._attend(outputs[-1], memory, first + index)
            feed, before = step[:, 0], after
            yield list(outputs), step, before

    def layer_states(self, source: Tensor, target: Tensor) -> LayerStates:
        """As the base class says."""
        embedded = self.source_embedding(source)
        lengths = source_mask(source).sum(dim=1)
        layers = [each for each, _ in self.encoder.layer_outputs(embedded, lengths)]
        memory, state = self.encode(source)
        before, _, feed = cast(tuple[State, Tensor, Tensor], state)
        x = self.target_embedding(target)
        if self.input_feeding:
            steps = [outputs for outputs, _, _ in self._fed_steps(x, before, feed, memory, 0)]
            outputs = [torch.cat(each, dim=1) for each in zip(*steps, strict=True)]
        else:
            outputs = [each for each, _ in self.decoder.layer_outputs(x, before)]
        hidden, _ = self.decode(target, state, memory)
        return LayerStates(name_layers(embedded, layers), name_layers(x, outputs, hidden))

    def _attend(self, decoder_hidden: Tensor, memory: State, first: int) -> Tensor:
        """Decoder outputs (N, T, U) at positions first, first + 1, … -> hidden states (N, T, D)."""
        keys, values, mask = cast(tuple[Tensor, Tensor, Tensor], memory)
        rows, length, units = decoder_hidden.shape
        query = decoder_hidden.reshape(keys.size(0), -1, units)  # rows of a beam are more queries
        position = torch.arange(first, first + length, device=decoder_hidden.device)
        position = position.repeat(rows // keys.size(0))
        context = self.attention(query, keys, values, mask, position)
        joined = torch.cat((context.reshape(decoder_hidden.shape), decoder_hidden), dim=2)
        return torch.tanh(self.features(self.dropout(joined)))
