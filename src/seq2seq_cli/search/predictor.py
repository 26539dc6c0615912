"""One model or an ensemble, with a shortlist if there is one.

Dimensions: B sentences, S source tokens, T target tokens.
"""

import copy
import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq_cli.config.settings import require
from seq2seq_cli.inference import SearchModel, check_weights, prepare_for_search
from seq2seq_cli.models import TranslationModel, check_attends_to_source
from seq2seq_cli.search.shortlist import Shortlist
from seq2seq_cli.symbols import PAD


class SearchStoppedError(Exception):
    """A search ended early because its predictor was stopped."""

    def __init__(self) -> None:
        super().__init__("this search was told to stop")


class Predictor:
    """Predicts with one model, or with the weighted mean of the probabilities of several.

    With `captures_attention` search learns where the models look in the source. Raises InputError
    for weights that do not fit the models, and if there is no attention to capture; NoNumbersError
    if a model's own weights are not finite.
    """

    def __init__(
        self,
        models: Sequence[TranslationModel],
        weights: Sequence[float] = (),
        shortlist: Shortlist | None = None,
        *,
        captures_attention: bool = False,
    ) -> None:
        require(
            len(weights) in (0, len(models))
            and all(0 < weight < math.inf for weight in weights)
            and sum(weights) < math.inf,
            f"weights {','.join(f'{w:g}' for w in weights)}: one number above 0 for each run is "
            f"allowed, of a finite sum; runs: {len(models)}",
        )
        self.models = tuple(models)
        self._prepared: tuple[SearchModel, ...] | None = None
        self._stopped = threading.Event()
        weights = list(weights) or [1.0] * len(models)
        total = sum(weights)
        self.log_weights = [float(torch.tensor(weight / total).log()) for weight in weights]
        self.shortlist = shortlist
        self.captures_attention = captures_attention
        for model in models:
            check_weights(model)
        for model in models if captures_attention else ():
            check_attends_to_source(model, "a coverage penalty")

    @property
    def device(self) -> torch.device:
        return next(self.models[0].parameters()).device

    @torch.inference_mode()
    def token_scores(self, source: Tensor, target: Tensor) -> Tensor:
        """Compute the natural log-probability of each token of targets, given sources (B, S).

        Targets (B, T + 1) begin with BOS and end with EOS, then PAD. Returns (B, T), 0 where the
        token is PAD. Takes the whole vocabulary, whatever the shortlist.
        """
        by_model = []
        for model, weight in zip(self.models, self.log_weights, strict=True):
            hidden = model(source, target[:, :-1])
            # Sentence by sentence: the logits of a whole batch would take much memory.
            scores = [model.output(rows).float().log_softmax(dim=1) for rows in hidden]
            gold = [s.gather(1, t[1:, None])[:, 0] for s, t in zip(scores, target, strict=True)]
            by_model.append(torch.stack(gold) + weight)
        return torch.stack(by_model).logsumexp(dim=0).masked_fill(target[:, 1:] == PAD, 0.0)

    def search_models(self) -> tuple[SearchModel, ...]:
        """The models as search calls them, made ready at the first call.

        What captures attention, and runs in a lower precision by autocast, stays as it is.
        """
        if self.captures_attention or torch.is_autocast_enabled(self.device.type):
            return self.models
        if self._prepared is None:
            self._prepared = tuple(prepare_for_search(model) for model in self.models)
        return self._prepared

    def stoppable(self) -> "Predictor":
        """Copy the predictor, with the same models; `stop` ends only the searches of the copy."""
        copied = copy.copy(self)
        copied._stopped = threading.Event()
        return copied

    def stop(self) -> None:
        """End all searches, in any thread: each raises SearchStoppedError at its next step."""
        self._stopped.set()

    def check_not_stopped(self) -> None:
        """Raise SearchStoppedError if `stop` was called."""
        if self._stopped.is_set():
            raise SearchStoppedError
