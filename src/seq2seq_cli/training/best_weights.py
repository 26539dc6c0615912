"""Which weights of a training are saved, which are averaged at its end, and which are the best."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.runs.tensors import load_weights, weights_of
from seq2seq_cli.runs.training_state import TrainingState, ValidatedWeights
from seq2seq_cli.training.averaging import MovingAverage, Weights
from seq2seq_cli.training.progress import Reporter, Validation
from seq2seq_cli.training.storage import Storage


@dataclass(frozen=True)
class Candidate:
    """Weights that the run may end with."""

    name: str  # as messages call them
    validated: ValidatedWeights
    weights: Weights
    validation: Validation | None = None  # at the end of training; None for that of an update


@dataclass(frozen=True, kw_only=True)
class BestWeights:
    """Saves snapshots and validated weights, and chooses what the run folder translates with.

    What is saved so far stands in the training state, which a checkpoint holds.
    """

    model: TranslationModel
    moving_average: MovingAverage | None
    config: TrainingConfig
    storage: Storage
    reporter: Reporter
    figures: Callable[[], Validation]  # validates the weights that the model now has

    def in_model(self) -> AbstractContextManager[None]:
        """Let the model have the weights worth saving in a block."""
        return self.moving_average.in_model() if self.moving_average is not None else nullcontext()

    def is_snapshot_due(self, state: TrainingState) -> bool:
        """Whether `average_every` asks for a snapshot that is not there yet."""
        every, update = self.config.average_every, state.update
        return 0 < every <= update and update % every == 0 and update not in state.snapshots

    def save_snapshot(self, state: TrainingState) -> None:
        """Save the current weights without validating them; the oldest snapshot makes room."""
        self.storage.save(state.update, self.storage.current())
        state.snapshots = [*state.snapshots, state.update][-self.config.average_count :]

    def add(self, state: TrainingState, validation: Validation) -> bool:
        """Save validated weights if the final average may need them; returns if they are best."""
        entry = self._entry(state, validation)
        weights = self.storage.current()
        is_best = state.best is None or entry.rank > state.best.rank
        state.last_validation = state.update
        state.best_bleu = max(validation.bleu, state.best_bleu or 0.0)
        state.without_improvement = 0 if is_best else state.without_improvement + 1
        if is_best:
            state.best = entry
            self.storage.save_model(weights)
        state.saved_weights = self._worth_saving(state, [*state.saved_weights, entry])
        if entry in state.saved_weights:
            self.storage.save(state.update, weights)
        return is_best

    def _worth_saving(
        self, state: TrainingState, entries: list[ValidatedWeights]
    ) -> list[ValidatedWeights]:
        """The best entry and those that the final average may need, oldest first."""
        best = max(entries, key=lambda entry: entry.rank)  # the first of equals, as in `add`
        averaged = self._to_average(state, entries)
        return [entry for entry in entries if entry == best or entry.update in averaged]

    def _to_average(self, state: TrainingState, entries: list[ValidatedWeights]) -> list[int]:
        """The updates whose weights are averaged if these are the validated ones."""
        config = self.config
        if config.average == "last":
            if config.average_every:
                return list(state.snapshots)
            return [entry.update for entry in entries[-config.average_count :]]
        if config.average == "best":
            best = sorted(entries, key=lambda entry: entry.rank, reverse=True)
            return [entry.update for entry in best[: config.average_count]]
        return []

    def choose(self, state: TrainingState) -> None:
        """Save the best weights as the model: those of one update, or an average of several."""
        candidates = list[Candidate]()
        entries = list(state.saved_weights)
        if state.last_validation < state.update:
            last = self._candidate(state, "the last weights", self.storage.current())
            candidates.append(last)
            entries.append(last.validated)
            self.storage.save(state.update, last.weights)
        if state.best is not None:
            best = self.storage.load(state.best.update)
            candidates.append(Candidate(f"update {state.best.update:,}", state.best, best))
        averaged = self._to_average(state, entries)
        if len(averaged) > 1:
            mean = self.storage.average(averaged)
            updates = ", ".join(f"{update:,}" for update in averaged)
            candidates.append(self._candidate(state, f"the average of updates {updates}", mean))
        chosen = max(candidates, key=lambda candidate: candidate.validated.rank)
        self.storage.save_model(chosen.weights)
        if chosen.validation is not None:
            self.reporter.chosen(state, chosen.name, chosen.validation)
        metric, value = self.config.stop_metric, abs(chosen.validated.value)
        self.reporter.said(f"saved {chosen.name}: {metric} {value:.2f} on validation data")

    def _candidate(self, state: TrainingState, name: str, weights: Weights) -> Candidate:
        """Validate weights beside the model's own, which return afterwards."""
        own = {key: value.clone() for key, value in weights_of(self.model).items()}
        load_weights(self.model, weights, self.storage.run.path)
        validation = self.figures()
        load_weights(self.model, own, self.storage.run.path)
        self.reporter.said(
            f"{name}: loss {validation.loss:.3f}, BLEU {validation.bleu:.2f}, "
            f"chrF {validation.chrf:.2f}"
        )
        return Candidate(name, self._entry(state, validation), weights, validation)

    def _entry(self, state: TrainingState, validation: Validation) -> ValidatedWeights:
        value = validation.value(self.config.stop_metric)
        return ValidatedWeights(state.update, value, validation.loss)
