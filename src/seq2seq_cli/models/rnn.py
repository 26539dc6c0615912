"""The recurrent encoder-decoder with a context vector of fixed length.

Dimensions: B sentences, N decoder rows, S source, T target, D width, U units; see `base`.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from seq2seq_cli.config.models import RnnConfig, Vocabulary
from seq2seq_cli.models.base import LayerStates, State, TranslationModel, name_layers
from seq2seq_cli.models.layers import Dropout, Linear, source_mask
from seq2seq_cli.models.recurrent import Decoder, Encoder, initialise


def reverse(source: Tensor, lengths: Tensor) -> Tensor:
    """Reverse the tokens of ids (B, S); EOS at the end of each, and PAD, keep their positions."""
    return source.gather(1, _mirrored(source, lengths))


def _mirrored(source: Tensor, lengths: Tensor) -> Tensor:
    """For each token of ids (B, S), where the one is that takes its position in `reverse`."""
    position = torch.arange(source.size(1), device=source.device).expand_as(source)
    mirrored = lengths[:, None] - 2 - position
    return torch.where(mirrored >= 0, mirrored, position)


class Rnn(TranslationModel):
    """Sutskever et al. 2014 (context as the initial state) and Cho et al. 2014 (at every step).

    The whole source sentence is squeezed into the encoder's last output, (B, U), whatever its
    length. Memory: what that context adds to inputs and to hidden states, (B, 1, D) each, if it
    comes at every step. State: the decoder's, see `recurrent.Decoder`.
    """

    Config = RnnConfig

    def __init__(self, config: RnnConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.reverse_source = config.reverse_source
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, config.width)
        self.features = Linear(config.units, config.width)
        self.every_step = config.context == "every-step"
        if self.every_step:
            # Cho's matrices for the context, applied here before the gates, so that they cost one
            # product for each sentence and not for each token.
            self.context_input = Linear(config.units, config.width, bias=False)
            self.context_features = Linear(config.units, config.width, bias=False)
        self.dropout = Dropout(config.dropout)
        initialise(self)
        self.initialise_output()

    def units(self) -> Iterator[nn.Module]:
        """The encoder; a decoder may be called once for each token."""
        yield self.encoder

    def encode(self, source: Tensor) -> tuple[State, State]:
        lengths = source_mask(source).sum(dim=1)
        if self.reverse_source:
            source = reverse(source, lengths)
        _, context = self.encoder(self.source_embedding(source), lengths)
        memory: State = ()
        if self.every_step:
            memory = self.context_input(context)[:, None], self.context_features(context)[:, None]
        return memory, self.decoder.start(context)

    def decode(self, target: Tensor, state: State, memory: State) -> tuple[Tensor, State]:
        x = self.target_embedding(target)
        if not self.every_step:
            decoder_hidden, state = self.decoder(x, state)
            return torch.tanh(self.features(self.dropout(decoder_hidden))), state
        rows = target.size(0)
        to_input, to_hidden = (_for_each(each, rows) for each in cast(tuple[Tensor, ...], memory))
        decoder_hidden, state = self.decoder(x + to_input, state)
        return torch.tanh(self.features(self.dropout(decoder_hidden)) + to_hidden), state

    def layer_states(self, source: Tensor, target: Tensor) -> LayerStates:
        """As the base class says; states of a reversed source are in the order of its tokens."""
        lengths = source_mask(source).sum(dim=1)
        order = _mirrored(source, lengths)
        embedded = self.source_embedding(source)
        read = self.source_embedding(reverse(source, lengths)) if self.reverse_source else embedded
        layers = [x for x, _ in self.encoder.layer_outputs(read, lengths)]
        if self.reverse_source:
            layers = [x.gather(1, order[..., None].expand_as(x)) for x in layers]
        memory, state = self.encode(source)
        x = self.target_embedding(target)
        to_input = cast(tuple[Tensor, ...], memory)[0] if self.every_step else torch.zeros_like(x)
        outputs = [each for each, _ in self.decoder.layer_outputs(x + to_input, state)]
        hidden, _ = self.decode(target, state, memory)
        return LayerStates(name_layers(embedded, layers), name_layers(x, outputs, hidden))


def _for_each(added: Tensor, rows: int) -> Tensor:
    """Repeat (B, 1, D) for each of so many decoder rows."""
    return added.repeat_interleave(rows // added.size(0), dim=0)
