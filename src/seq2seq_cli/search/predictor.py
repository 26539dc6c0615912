"""What models say comes next: one model or several, over the whole vocabulary or a shortlist.

Dimensions: B sentences still searched, N rows of hypotheses, S source tokens, V columns of logits.
"""

import copy
import math
import threading
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from seq2seq_cli.config.settings import require
from seq2seq_cli.inference import InferenceModel, SearchModel, prepare_for_search, select_outputs
from seq2seq_cli.kernels.inference.beams import Beams, Search
from seq2seq_cli.kernels.inference.decoding import KVCache
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.models import (
    State,
    TranslationModel,
    capture_attention,
    reorder_state,
    source_attentions,
)
from seq2seq_cli.search.shortlist import Shortlist
from seq2seq_cli.symbols import PAD


class SearchStoppedError(Exception):
    """A search did not go on, since its predictor was told to stop."""

    def __init__(self) -> None:
        super().__init__("this search was told to stop")


class Predictor:
    """One model, or an ensemble: the weighted mean of the models' probabilities.

    Raises InputError for weights that do not fit the models, and where attention is to be followed
    in models that have none.
    """

    def __init__(
        self,
        models: Sequence[TranslationModel],
        weights: Sequence[float] = (),
        shortlist: Shortlist | None = None,
        *,
        follows_attention: bool = False,
    ) -> None:
        require(
            len(weights) in (0, len(models))
            and all(0 < weight < math.inf for weight in weights)
            and sum(weights) < math.inf,
            f"--weights {','.join(f'{w:g}' for w in weights)}: one number above 0 for each run is "
            f"allowed, of a finite sum; runs: {len(models)}",
        )
        self.models = tuple(models)
        self._compiled: tuple[SearchModel, ...] | None = None
        self._stopped = threading.Event()
        each = list(weights) or [1.0] * len(models)
        self.log_weights = [float(torch.tensor(weight / sum(each)).log()) for weight in each]
        self.shortlist = shortlist
        self.follows_attention = follows_attention
        for model in models if follows_attention else ():
            require(
                bool(source_attentions(model)),
                f"--coverage-penalty goes by attention to the source, which the architecture "
                f"{model.config.architecture} does not have; leave it out",
            )

    @property
    def device(self) -> torch.device:
        return next(self.models[0].parameters()).device

    @torch.inference_mode()
    def token_scores(self, source: Tensor, target: Tensor) -> Tensor:
        """The natural log-probability of each token of targets (B, T + 1), BOS first and then EOS,
        given (B, S) ids: (B, T), 0 where the token is PAD. Over the whole vocabulary.
        """
        found = []
        for model, weight in zip(self.models, self.log_weights, strict=True):
            hidden = model(source, target[:, :-1])
            # Sentence by sentence: the logits of a whole batch would take much memory.
            scores = [model.output(each).float().log_softmax(dim=1) for each in hidden]
            gold = [s.gather(1, t[1:, None])[:, 0] for s, t in zip(scores, target, strict=True)]
            found.append(torch.stack(gold) + weight)
        return torch.stack(found).logsumexp(dim=0).masked_fill(target[:, 1:] == PAD, 0.0)

    def steps(self) -> tuple[SearchModel, ...]:
        """The models as search asks them: compiled, unless more is asked than compiled ones do."""
        if self.follows_attention or torch.is_autocast_enabled(self.device.type):
            return self.models
        if self._compiled is None:
            self._compiled = tuple(prepare_for_search(model) for model in self.models)
        return self._compiled

    def stoppable(self) -> "Predictor":
        """The same models; `stop` ends the searches with this one, and no others."""
        own = copy.copy(self)
        own._stopped = threading.Event()
        return own

    def stop(self) -> None:
        """Let no search go on, in any thread: each raises SearchStoppedError at its next step."""
        self._stopped.set()

    def check_going(self) -> None:
        """Raise SearchStoppedError where `stop` was called."""
        if self._stopped.is_set():
            raise SearchStoppedError

    def begin(self, source: Tensor, rows: int, forced: Tensor | None = None) -> "Decoding":
        """Read (B, S) ids, to predict the targets of so many hypotheses of each.

        `forced` (B, any) are tokens that a shortlist must not leave out, PAD where there is none.
        """
        return Decoding(self, source, rows, forced)


class Decoding:
    """The targets of a batch while they are predicted, token by token."""

    def __init__(
        self, predictor: Predictor, source: Tensor, rows: int, forced: Tensor | None
    ) -> None:
        self._predictor = predictor
        self.columns: Tensor | None = None  # the token of each column of logits; None: its number
        self._absent: Tensor | None = None  # (B, V), columns not on a sentence's own list
        # Where the last step looked, if that is followed: (N, S), the mean over all heads
        self.attended = torch.empty(0)
        self._models = predictor.steps()
        self._outputs = [model.output for model in self._models]
        if predictor.shortlist is not None:
            self.columns, self._absent = predictor.shortlist.of(source, forced)
            self._outputs = [select_outputs(model.output, self.columns) for model in self._models]
        memories, states = zip(*(model.encode(source) for model in self._models), strict=True)
        self._memories: tuple[State, ...] = memories
        # Whether rows may be of any sentence: memory is then one of each row and costs as little.
        self.reads_rows_apart = all(isinstance(memory, EncoderMemory) for memory in memories)
        places = torch.arange(source.size(0), device=source.device).repeat_interleave(rows)
        self._states: tuple[State, ...] = cast(tuple[State, ...], reorder_state(states, places))

    def step(self, tokens: Tensor) -> Tensor:
        """Read the next token (N,) of every hypothesis; logits (N, V) of the one after it.

        Those of an ensemble are log-probabilities. Raises SearchStoppedError.
        """
        self._predictor.check_going()
        found, states = [], []
        attended: list[Tensor] = []
        for place, model in enumerate(self._models):
            given = tokens[:, None], self._states[place], self._memories[place]
            if self._predictor.follows_attention:
                with capture_attention(self._predictor.models[place]) as captured:
                    hidden, state = model.decode(*given)
                # (B, H, K, S) of each layer, which is called once
                attended += [calls[0].float().mean(dim=1).flatten(0, 1) for calls in captured]
            else:
                hidden, state = model.decode(*given)
            states.append(state)
            logits: Tensor = self._outputs[place](hidden[:, 0])
            found.append(logits.float())
        if attended:
            self.attended = torch.stack(attended).mean(dim=0)
        self._states = tuple(states)
        if self._absent is not None:
            for logits in found:
                each = logits.view(self._absent.size(0), -1, logits.size(1))
                each.masked_fill_(self._absent[:, None], -torch.inf)
        if len(found) == 1:
            return found[0]
        parts = [
            logits.log_softmax(dim=1) + weight
            for logits, weight in zip(found, self._predictor.log_weights, strict=True)
        ]
        return torch.stack(parts).logsumexp(dim=0)

    def took_all_steps(self, beams: Beams) -> bool:
        """Search to the end where one model that is compiled as a whole predicts; whether it is.

        Raises SearchStoppedError.
        """
        model, memory, state = self._models[0], self._memories[0], self._states[0]
        if len(self._models) > 1 or not isinstance(model, InferenceModel):
            return False
        output, past, sources = cast(
            tuple[Linear, KVCache, EncoderMemory], (self._outputs[0], state, memory)
        )
        whole = Search(beams, model.decoder, output, past, sources, self.columns, self._absent)
        while whole.run():
            self._predictor.check_going()
        return True

    def reorder(self, rows: Tensor) -> None:
        """Let row i go on with the state of row rows[i] of the same sentence."""
        self._states = cast(tuple[State, ...], reorder_state(self._states, rows))

    def keep(self, sentences: Tensor, rows: Tensor) -> None:
        """Go on with these sentences only; row i of them with the state of row rows[i].

        Where rows are read apart, `sentences` may be those of each row.
        """
        self._memories = cast(tuple[State, ...], reorder_state(self._memories, sentences))
        if self._absent is not None:
            self._absent = self._absent.index_select(0, sentences)
        self._states = cast(tuple[State, ...], reorder_state(self._states, rows))

    def column_of(self, tokens: Tensor) -> Tensor:
        """The columns of tokens that are on every list."""
        return tokens if self.columns is None else torch.searchsorted(self.columns, tokens)

    def columns_of(self, tokens: Sequence[int]) -> list[int]:
        """The same of a list."""
        return self.column_of(torch.tensor(tokens, dtype=torch.int64)).tolist()
