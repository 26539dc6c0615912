"""The interface of models that find and score translations, one or an ensemble.

Dimensions: B sentences, S source tokens, T target tokens, L layers, H heads.
"""

import copy
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Self

from seq2seq_cli.config.models import ModelConfig, check_attends_to_source
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.settings import require
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.search.hypothesis import Hypothesis
from seq2seq_cli.search.request import ForcedPrefixes
from seq2seq_cli.search.shortlist import Shortlist

Sentences = Sequence[Sequence[int]]  # token ids of each


def check_shortlist(shortlist: Shortlist | None, configs: Iterable[ModelConfig]) -> None:
    """Raise InputError if models with these settings copy from the source and have a shortlist."""
    require(
        shortlist is None or not any(config.copy_attention for config in configs),
        "a shortlist does not have what model.copy_attention copies; translate without --shortlist",
    )


class SearchStoppedError(Exception):
    """A search ended early because its predictor was stopped."""

    def __init__(self) -> None:
        super().__init__("this search was told to stop")


class Predictor(ABC):
    """Predicts with one model, or with the weighted mean of the probabilities of several.

    Sources end with EOS. Raises InputError for weights that do not fit the models.
    """

    def __init__(self, count: int, weights: Sequence[float] = ()) -> None:
        """`weights` are one number for each of the `count` models, or none."""
        require(
            len(weights) in (0, count)
            and all(0 < weight < math.inf for weight in weights)
            and sum(weights) < math.inf,
            f"weights {','.join(f'{w:g}' for w in weights)}: one number above 0 for each run is "
            f"allowed, of a finite sum; runs: {count}",
        )
        self._stopped = threading.Event()
        weights = list(weights) or [1.0] * count
        total = sum(weights)
        self.log_weights = [math.log(weight) - math.log(total) for weight in weights]

    @property
    @abstractmethod
    def configs(self) -> tuple[ModelConfig, ...]:
        """The settings of the models."""

    @property
    @abstractmethod
    def attends_to_source(self) -> bool:
        """Whether all models attend to the source."""

    @abstractmethod
    def search(
        self,
        sources: Sentences,
        options: SearchOptions,
        prefixes: ForcedPrefixes = (),
        numbers: Sequence[int] | None = None,
    ) -> list[list[Hypothesis]]:
        """Find `n_best` translations of each source, best first, or as they are drawn.

        `prefixes` are what translations begin with, one for each source. `numbers` identify the
        sources when translations are drawn at random; without them their indices do. Raises
        NoNumbersError if the models' scores are not finite, and SearchStoppedError.
        """

    @abstractmethod
    def token_scores(self, sources: Sentences, targets: Sentences) -> list[list[float]]:
        """Compute the natural log-probability of each token of targets, which end with EOS.

        Takes the whole vocabulary, whatever the shortlist.
        """

    @abstractmethod
    def attention(self, sources: Sentences, targets: Sentences) -> list[Floats]:
        """Compute where models look in a source when they predict what follows each target token.

        Targets begin with BOS. Returns (T, S) for each pair, the mean over models, layers and
        heads, of those that align words by the settings of a model. Raises InputError for models
        without attention to the source.
        """

    @abstractmethod
    def attention_by_head(self, source: Sequence[int], target: Sequence[int]) -> Floats:
        """Compute the attention of each layer and head of the first model, (L, H, T, S).

        Otherwise as `attention`.
        """

    def check_attends(self, purpose: str) -> None:
        """Raise InputError, which begins with the purpose, unless all models attend."""
        for config in self.configs:
            check_attends_to_source(config, purpose)

    def stoppable(self) -> Self:
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
