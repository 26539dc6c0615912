"""The targets of a batch while they are predicted, token by token.

Dimensions: B sentences still searched, K hypotheses of each, N rows of hypotheses, H heads,
S source tokens, V columns of logits.
"""

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.models import State, TranslationModel, capture_attention, reorder_state
from seq2seq_cli.models.copying import normalised, with_copies
from seq2seq_cli.models.quantization import select_outputs
from seq2seq_cli.search.request import ForcedPrefixes, Request
from seq2seq_cli.search.shortlist import Shortlist
from seq2seq_cli.symbols import PAD


class Ensemble(Protocol):
    """Models that predict together, one or several; see `torch_predictor`."""

    models: tuple[TranslationModel, ...]
    log_weights: list[float]  # one of each model
    shortlist: Shortlist | None
    captures_attention: bool

    def check_not_stopped(self) -> None: ...


class Decoding:
    """Memory and state of every model while the targets of a batch are predicted.

    At first there is one hypothesis of each sentence, the empty one.
    """

    def __init__(
        self,
        predictor: Ensemble,
        source: Tensor,
        prefix_tokens: Sequence[Sequence[int]] | None = None,
    ) -> None:
        """Read (B, S) ids. `prefix_tokens` of a sentence are on its shortlist anyway."""
        self._predictor = predictor
        # (V,), the token of each column of logits; None: column and token have the same number
        self.column_tokens: Tensor | None = None
        self._absent: Tensor | None = None  # (B, V), columns that are not on a sentence's list
        # Where models looked in the last step, if it is captured: (N, S), the mean over all heads
        self.attention = torch.empty(0)
        self.device = source.device
        self._models = predictor.models
        self._outputs: list[nn.Module] = [model.output for model in self._models]
        if predictor.shortlist is not None:
            columns, absent = predictor.shortlist.of(source.tolist(), prefix_tokens)
            self.column_tokens = torch.from_numpy(columns).to(self.device)
            self._absent = torch.from_numpy(absent).to(self.device)
            self._outputs = [
                select_outputs(model.output, self.column_tokens) for model in self._models
            ]
        self._source = source  # (B, S), which is copied from
        memories, states = zip(*(model.encode(source) for model in self._models), strict=True)
        self._memories: tuple[State, ...] = memories
        self._states: tuple[State, ...] = states

    def step(self, tokens: Tensor) -> Tensor:
        """Read the next token (N,) of every hypothesis; return logits (N, V) of the one after it.

        Those of an ensemble are log-probabilities. Raises SearchStoppedError.
        """
        self._predictor.check_not_stopped()
        hidden, attention = self._decode(tokens)
        logits = [
            cast(Tensor, output(own)).float()
            for output, own in zip(self._outputs, hidden, strict=True)
        ]
        for i, model in enumerate(self._models):
            if model.copy_gate is not None:
                source = self._source.repeat_interleave(len(tokens) // len(self._source), dim=0)
                gate = model.copy_gate(hidden[i]).float()
                logits[i] = with_copies(logits[i], gate, normalised(attention[i]), source)
        if self._absent is not None:
            for own in logits:
                by_sentence = own.view(self._absent.size(0), -1, own.size(1))
                by_sentence.masked_fill_(self._absent[:, None], -torch.inf)
        if len(logits) == 1:
            return logits[0]
        weighted = [
            own.log_softmax(dim=1) + weight
            for own, weight in zip(logits, self._predictor.log_weights, strict=True)
        ]
        return torch.stack(weighted).logsumexp(dim=0)

    def _decode(self, tokens: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Read the next token (N,) with every model; return the hidden states (N, D) of each.

        And its attention (N, S), which is empty if nobody asks for it.
        """
        hidden, states, attention = [], [], []
        layers: list[Tensor] = []
        for i, model in enumerate(self._models):
            inputs = tokens[:, None], self._states[i], self._memories[i]
            looked = torch.empty(0)
            if self._predictor.captures_attention or model.copy_gate is not None:
                with capture_attention(model, aligning=True) as captured:
                    own, state = model.decode(*inputs)
                # (B, H, K, S) of each layer, which is called once
                by_layer = [calls[0].float().mean(dim=1).flatten(0, 1) for calls in captured]
                looked = torch.stack(by_layer).mean(dim=0)
                layers += by_layer
            else:
                own, state = model.decode(*inputs)
            hidden.append(own[:, 0])
            states.append(state)
            attention.append(looked)
        if self._predictor.captures_attention:
            self.attention = torch.stack(layers).mean(dim=0)
        self._states = tuple(states)
        return hidden, attention

    def reorder(self, rows: Tensor) -> None:
        """Go on in row i with the state of row rows[i], which is of the same sentence."""
        self._states = cast(tuple[State, ...], reorder_state(self._states, rows))

    def keep(self, sentences: Tensor, rows: Tensor) -> None:
        """Go on with these sentences only, in row i with the state of row rows[i]."""
        self._memories = cast(tuple[State, ...], reorder_state(self._memories, sentences))
        self._source = self._source.index_select(0, sentences)
        if self._absent is not None:
            self._absent = self._absent.index_select(0, sentences)
        self.reorder(rows)

    def lists(self) -> list[frozenset[int]] | None:
        """The tokens on the list of each sentence (B) at first; None if there is no shortlist."""
        if self.column_tokens is None or self._absent is None:
            return None
        return [frozenset(self.column_tokens[~absent].tolist()) for absent in self._absent]

    def columns_of(self, tokens: Tensor) -> Tensor:
        """Find the columns of tokens that are on every list."""
        return (
            tokens
            if self.column_tokens is None
            else torch.searchsorted(self.column_tokens, tokens.contiguous())
        )

    def tokens_of(self, columns: Tensor) -> Tensor:
        """Find the tokens of columns."""
        return columns if self.column_tokens is None else self.column_tokens[columns]


def request_for(source: Tensor, options: SearchOptions, prefixes: ForcedPrefixes = ()) -> Request:
    """Work out the limits for ids (B, S)."""
    return Request.of((source != PAD).sum(dim=1).tolist(), options, prefixes)


def begin(predictor: Ensemble, source: Tensor, request: Request) -> tuple[Decoding, Request]:
    """Begin to predict the targets of ids (B, S).

    The prefixes of the request become those that a shortlist has.
    """
    tokens = request.prefix_tokens
    decoding = Decoding(predictor, source, tokens)
    lists = None if tokens is None else decoding.lists()
    return decoding, request if lists is None else request.within(lists)
