"""The training loop: resumable at any update, validation as a callback.

A step reads from here to `objective` and `models`: batch -> hidden states -> fused loss ->
gradients -> optimizer.
"""

import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Protocol

import torch
from torch import Tensor

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.data.prefetch import Prefetcher
from seq2seq_cli.data.token_pairs import EndOfDataError, TrainingPairs
from seq2seq_cli.devices import autocast, return_memory
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.runs.checkpoints import (
    Checkpoint,
    ReportSums,
    TrainingState,
    ValidatedWeights,
    disk_error,
)
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tensors import load_weights, weights_of
from seq2seq_cli.training.averaging import MovingAverage, average
from seq2seq_cli.training.diagnosis import Course, Finding, Habits
from seq2seq_cli.training.memory import halves, in_parts, is_out_of_memory, release
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.optimization import (
    learning_rate,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
)

REPORT_EVERY = 50  # updates between lines of metrics.jsonl
SHOW_EVERY = 1.0  # seconds between redraws of a live display


@dataclass(frozen=True)
class Validation:
    """Figures of one validation. Loss is in nats a target token; scores are 0 to 100."""

    loss: float
    bleu: float
    chrf: float
    signatures: tuple[str, ...]
    translations: Habits
    samples: tuple[tuple[str, str, str], ...] = ()  # source, reference, hypothesis

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))

    def value(self, metric: str) -> float:
        """The stop metric, turned so that higher is better."""
        return -self.loss if metric == "loss" else float(getattr(self, metric))


@dataclass(frozen=True)
class Progress:
    """Figures of training since the last report. Loss is in nats a target token, unsmoothed."""

    update: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float  # target tokens, PAD not counted
    seconds: float  # of training so far, over all sittings
    target_tokens: int  # predicted so far
    best_bleu: float | None  # of the validations so far


class Listener(Protocol):
    """Who wants to know how training goes."""

    def progressed(self, progress: Progress) -> None: ...
    def ticked(self, progress: Progress) -> None: ...
    def validated(self, update: int, validation: Validation, *, is_best: bool) -> None: ...
    def said(self, message: str) -> None: ...
    def warned(self, message: str) -> None: ...


Validate = Callable[[TranslationModel], Validation]
Diagnose = Callable[[Course], Iterable[Finding]]


class InterruptedTrainingError(Exception):
    """A signal asked training to stop; the checkpoint is saved. Holds the signal's number."""


def refuse_other_data(state: TrainingState, data: str) -> None:
    """Raise InputError unless this is the fingerprint of the data that training began with."""
    if state.data != data:
        raise InputError(
            "the data is not what this run began with; give the same files, or --restart to begin "
            "anew"
        )


@dataclass
class Trainer:
    """Trains one model in one run folder, from wherever its last checkpoint stands."""

    model: TranslationModel
    pairs: TrainingPairs
    config: TrainingConfig
    run: RunFolder
    validate: Validate
    diagnose: Diagnose
    listener: Listener
    device: torch.device
    precision: torch.dtype
    data: str  # fingerprint of all data: training resumes only on what it began with
    tags: tuple[int, ...] = ()  # ids of the tags of languages

    def __post_init__(self) -> None:
        self.model.to(self.device)
        self.state = TrainingState(data=self.data)
        self.optimizer = make_optimizer(self.model, self.config)
        self.objective = Objective(self.config, self.precision, self.tags)
        decay = self.config.ema_decay
        self.moving = MovingAverage(self.model, decay) if decay else None
        self.losses: list[tuple[int, float]] = []  # updates and loss of each validation
        self.warned: set[str] = set()  # names of what this sitting was told of
        self.saved: TrainingState | None = None
        self.signal: int | None = None
        self.prefetcher = Prefetcher(self.pairs, self.config, pin_memory=self.device.type == "cuda")
        self.shown = 0.0
        self.clock = time.monotonic()

    # The loop

    def train(self) -> str:
        """Train to the end; returns why it ended.

        Raises InterruptedTrainingError after a signal, and Seq2seqError where the loss is no number
        or the disk is full; the last good checkpoint stays whole.
        """
        try:
            self._resume()
            with self._signals():
                return self._loop()
        except OSError as error:
            raise disk_error(error, self.saved) from error

    def _loop(self) -> str:
        """Validate, save and update, each when it is due, until there is a reason to end."""
        try:
            while True:
                if self._validation_due():
                    self._validate()
                if self._snapshot_due():
                    self._put_aside()
                if self._checkpoint_due():
                    self._save()
                reason = self.end_reason()
                if reason:
                    self._save()
                    return self._finish(reason)
                if self.signal is not None:
                    raise InterruptedTrainingError(self.signal)
                self.update()
        except InterruptedTrainingError:
            self._save()
            raise
        except EndOfDataError as end:
            self._save()
            return self._finish(str(end))

    def end_reason(self) -> str | None:
        """Why training is at its end, or None if it is not."""
        config, state = self.config, self.state
        if 0 < config.max_updates <= state.update:
            return f"{config.max_updates:,} updates were done"
        if 0 < config.max_epochs <= state.epoch:
            return f"{config.max_epochs:,} epochs were done"
        if 0 < config.max_minutes * 60 <= state.seconds:
            return f"{config.max_minutes:g} minutes were over"
        if 0 < config.patience <= state.without_improvement:
            return f"{config.stop_metric} had not got better in {config.patience} validations"
        return None

    def update(self) -> None:
        """One step of the optimizer over `accumulate` batches."""
        batches = self._next_batches()
        tokens = sum(batch.target_tokens() for batch in batches)
        rate = learning_rate(self.config, self.state.update + 1)
        set_learning_rate(self.optimizer, rate)
        loss = self._gradients(batches, tokens)
        limit = self.config.clip_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self._refuse_non_finite(loss, float(norm))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.state.update += 1
        if self.moving is not None:
            self.moving.follow(self.state.update)
        self.state.target_tokens += tokens
        self._count(loss, tokens, rate, float(norm))

    def _gradients(self, batches: Sequence[Batch], tokens: int) -> float:
        """Add up the gradients of batches; returns their summed plain loss.

        A batch that memory does not hold is split in two, and all begun anew: the failed pass may
        have added a part of its gradients.
        """
        parts, losses = self._parts(batches), list[Tensor]()
        while len(losses) < len(parts):
            batch = parts[len(losses)]
            loss = self._fitting(batch, tokens)
            if loss is not None:
                losses.append(loss)
                continue
            release(self.device)
            self._tell_of_split(batch)
            parts[len(losses) : len(losses) + 1] = halves(batch)
            losses.clear()
            self.optimizer.zero_grad()
        return float(sum(torch.stack(losses).tolist()))  # the one wait for the device

    def _parts(self, batches: Sequence[Batch]) -> list[Batch]:
        """What is computed at a time: on a CPU parts of a batch, which stay in its caches."""
        tokens = self.config.part_tokens
        if not tokens or self.device.type != "cpu":
            return list(batches)
        if self.config.r_drop:  # there are two passes at once
            tokens = max(1, tokens // 2)
        if self.precision == torch.float32:
            tokens = max(1, tokens // 2)
        return [part for batch in batches for part in in_parts(batch, tokens)]

    def _fitting(self, batch: Batch, tokens: int) -> Tensor | None:
        """As `_accumulate`, or None where memory does not hold the batch."""
        try:
            return self._accumulate(batch, tokens)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _tell_of_split(self, batch: Batch) -> None:
        """Report the first batch that does not fit; raise Seq2seqError if it is a single pair."""
        pairs, length = len(batch.source), max(batch.source.size(1), batch.target.size(1))
        if pairs == 1:
            raise Seq2seqError(
                f"a pair of {length:,} tokens alone does not fit into memory; set a lower "
                "data.max_length, or training.recompute_layers = true"
            )
        if "memory" not in self.warned:
            self.warned.add("memory")
            self.listener.said(
                f"update {self.state.update + 1:,}: {pairs:,} pairs of up to {length:,} tokens "
                "do not fit into memory; such batches are computed in parts, which gives the same "
                "gradients in more time. A lower training.batch_tokens avoids it, or "
                "training.recompute_layers = true"
            )

    def _accumulate(self, batch: Batch, tokens: int) -> Tensor:
        """Add a batch's gradients, as its share of `tokens`; returns its summed plain loss."""
        loss, plain = self.objective(self.model, batch.to(self.device))
        (loss / tokens).backward()  # type: ignore[no-untyped-call]
        return plain

    def _refuse_non_finite(self, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        last = self.saved.update if self.saved else 0
        raise Seq2seqError(
            f"the loss of update {self.state.update + 1:,} is no finite number (loss {loss}, "
            f"gradient norm {norm}); the checkpoint of update {last:,} is whole. Try a lower "
            f"training.learning_rate (now {self.config.learning_rate}), a longer "
            "training.warmup_updates, or training.precision = float32"
        )

    def _next_batches(self) -> list[Batch]:
        """The batches of one update, which never spans two epochs."""
        state = self.state
        batches = self.prefetcher.take(state.epoch, state.batch)
        state.batch += len(batches)
        if state.batch >= len(self.prefetcher):
            state.epoch, state.batch = state.epoch + 1, 0
        return batches

    def _count(self, loss: float, tokens: int, rate: float, norm: float) -> None:
        """Keep time and report every so many updates."""
        now = time.monotonic()
        window = self.state.since_report
        self.state.seconds += now - self.clock
        window.seconds += now - self.clock
        self.clock = now
        window.loss += loss
        window.tokens += tokens
        due = self.state.update % REPORT_EVERY == 0 or self.end_reason() is not None
        if not due and now < self.shown + SHOW_EVERY:
            return
        self.shown = now
        progress = Progress(
            update=self.state.update,
            epoch=self.state.epoch + self.state.batch / max(1, len(self.prefetcher)),
            loss=window.loss / window.tokens,
            learning_rate=rate,
            gradient_norm=norm,
            tokens_per_second=window.tokens / max(window.seconds, 1e-9),
            seconds=self.state.seconds,
            target_tokens=self.state.target_tokens,
            best_bleu=self.state.best_bleu,
        )
        if not due:
            self.listener.ticked(progress)
            return
        self.state.since_report = ReportSums()
        self.state.train_loss = progress.loss
        self.run.metrics.append({"kind": "training", **vars(progress)})
        self.listener.progressed(progress)

    # Validation and the end

    def _validation_due(self) -> bool:
        state = self.state
        return (
            state.update % self.config.validate_every == 0 and state.update > state.last_validation
        )

    def _snapshot_due(self) -> bool:
        every, update = self.config.average_every, self.state.update
        return 0 < every <= update and update % every == 0 and update not in self.state.snapshots

    def _checkpoint_due(self) -> bool:
        return self.state.update % self.config.checkpoint_every == 0

    def _put_aside(self) -> None:
        """Put the weights aside whatever they are worth; the oldest such make room."""
        state = self.state
        self.run.saved_weights.save(state.update, self._weights())
        state.snapshots = [*state.snapshots, state.update][-self.config.average_count :]

    def _weights(self) -> dict[str, Tensor]:
        """The weights that are worth keeping: their moving average where there is one."""
        return self.moving.tensors() if self.moving is not None else weights_of(self.model)

    def _validate(self) -> None:
        """Validate; put the weights aside if they may be averaged; note whether they are best."""
        state = self.state
        with self.moving.in_model() if self.moving is not None else nullcontext():
            validation = self._figures()
        entry = self._entry(validation)
        weights = self._weights()
        is_best = state.best is None or entry.rank > state.best.rank
        state.last_validation = state.update
        state.best_bleu = max(validation.bleu, state.best_bleu or 0.0)
        state.without_improvement = 0 if is_best else state.without_improvement + 1
        if is_best:
            state.best = entry
            self.run.save_model(weights)
        state.saved_weights = self._worth_keeping([*state.saved_weights, entry])
        if entry in state.saved_weights:
            self.run.saved_weights.save(state.update, weights)
        self._report_validation(validation, self._faults(validation), is_best=is_best)

    def _faults(self, validation: Validation) -> list[Finding]:
        """What the figures so far say is wrong."""
        self.losses.append((self.state.update, validation.loss))
        course = Course(
            epoch=self.state.epoch + self.state.batch / max(1, len(self.prefetcher)),
            warmup_updates=self.config.warmup_updates,
            losses=tuple(self.losses),
            train_loss=self.state.train_loss,
            bleu=validation.bleu,
            chrf=validation.chrf,
            translations=validation.translations,
        )
        return list(self.diagnose(course))

    def _figures(self) -> Validation:
        """Run the validation callback; a signal ends it at once, the model unchanged."""
        self.model.eval()
        try:
            with autocast(self.device, self.precision):
                return self.validate(self.model)
        finally:
            self.model.train()
            return_memory()  # decoding takes other shapes of it than training
            now = time.monotonic()
            self.state.seconds += now - self.clock
            self.clock = now

    def _report_validation(
        self, validation: Validation, faults: Sequence[Finding], *, is_best: bool
    ) -> None:
        record = {
            "kind": "validation",
            "update": self.state.update,
            "loss": validation.loss,
            "perplexity": validation.perplexity,
            "bleu": validation.bleu,
            "chrf": validation.chrf,
            "signatures": validation.signatures,
            "repeated": validation.translations.repeated,
            "copied": validation.translations.copied,
            "faults": [fault.name for fault in faults],
            "is_best": is_best,
            "seconds": self.state.seconds,
            "target_tokens": self.state.target_tokens,
        }
        self.run.metrics.append(record)
        self.listener.validated(self.state.update, validation, is_best=is_best)
        for fault in faults:
            if fault.name not in self.warned:
                self.listener.warned(fault.sentence)
                self.warned.add(fault.name)

    def _worth_keeping(self, entries: list[ValidatedWeights]) -> list[ValidatedWeights]:
        """The validated weights that the final average may need, and the best one, oldest first."""
        best = max(entries, key=lambda entry: entry.rank)  # the first of equals, as above
        averaged = self._to_average(entries)
        return [entry for entry in entries if entry == best or entry.update in averaged]

    def _to_average(self, entries: list[ValidatedWeights]) -> list[int]:
        """The updates whose weights are averaged, when these are the validated ones."""
        config = self.config
        if config.average == "last":
            if config.average_every:
                return list(self.state.snapshots)
            return [entry.update for entry in entries[-config.average_count :]]
        if config.average == "best":
            best = sorted(entries, key=lambda entry: entry.rank, reverse=True)
            return [entry.update for entry in best[: config.average_count]]
        return []

    def _finish(self, reason: str) -> str:
        """Leave the best weights in the run folder: one validation's, or an average of several."""
        state = self.state
        candidates = list(state.saved_weights)
        choices: list[tuple[ValidatedWeights, str, dict[str, Tensor]]] = []
        if state.last_validation < state.update:
            entry = self._final_candidate("the last weights", self._weights())
            choices.append(entry)
            candidates.append(entry[0])
            self.run.saved_weights.save(state.update, entry[2])
        if state.best is not None:
            best = self.run.saved_weights.load(state.best.update)
            choices.append((state.best, f"update {state.best.update:,}", best))
        averaged = self._to_average(candidates)
        if len(averaged) > 1:
            mean = average(self.run.saved_weights.load(update) for update in averaged)
            updates = ", ".join(f"{update:,}" for update in averaged)
            choices.append(self._final_candidate(f"the average of updates {updates}", mean))
        chosen, name, weights = max(choices, key=lambda choice: choice[0].rank)
        self.run.save_model(weights)
        self.run.save_finished(state.update, reason)
        metric = self.config.stop_metric
        self.listener.said(f"kept {name}: {metric} {abs(chosen.value):.2f} on validation data")
        return reason

    def _final_candidate(
        self, name: str, weights: dict[str, Tensor]
    ) -> tuple[ValidatedWeights, str, dict[str, Tensor]]:
        """Validate weights beside the training state, which stays as it is."""
        current = weights_of(self.model)
        current = {key: value.clone() for key, value in current.items()}
        load_weights(self.model, weights, self.run.path)
        validation = self._figures()
        load_weights(self.model, current, self.run.path)
        self.listener.said(
            f"{name}: loss {validation.loss:.3f}, BLEU {validation.bleu:.2f}, "
            f"chrF {validation.chrf:.2f}"
        )
        return self._entry(validation), name, weights

    def _entry(self, validation: Validation) -> ValidatedWeights:
        value = validation.value(self.config.stop_metric)
        return ValidatedWeights(self.state.update, value, validation.loss)

    # Checkpoints

    def _save(self) -> None:
        """Write a checkpoint unless this update has one."""
        if self.saved is not None and self.saved.update == self.state.update:
            return
        optimizer = optimizer_tensors(self.model, self.optimizer)
        if self.moving is not None:
            optimizer |= {f"average/{name}": w for name, w in self.moving.tensors().items()}
        optimizer["random/cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            optimizer["random/cuda"] = torch.cuda.get_rng_state(self.device)
        elif self.device.type == "mps":
            optimizer["random/mps"] = torch.mps.get_rng_state()
        optimizer = {name: tensor.cpu() for name, tensor in optimizer.items()}
        self.run.checkpoints.save(Checkpoint(weights_of(self.model), optimizer, self.state))
        self.saved = TrainingState.from_json(self.state.to_json())

    def _resume(self) -> None:
        """Go to where the last checkpoint stands; without one, this is the beginning."""
        checkpoint = self.run.checkpoints.load()
        if checkpoint is None:
            self.run.metrics.clear()
        else:
            refuse_other_data(checkpoint.state, self.state.data)
            self.state = checkpoint.state
            self.saved = TrainingState.from_json(self.state.to_json())
            load_weights(self.model, checkpoint.weights, self.run.path)
            self._restore(checkpoint.optimizer)
            self.run.metrics.truncate(self.state.update, self.state.last_validation)
            self.losses = self.run.metrics.validation_losses()
            self.listener.said(f"going on from update {self.state.update:,}")
        self.model.train()
        self.clock = time.monotonic()

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        random = {name: value for name, value in tensors.items() if name.startswith("random/")}
        moving = {name: value for name, value in tensors.items() if name.startswith("average/")}
        rest = {name: value for name, value in tensors.items() if name not in random | moving}
        load_optimizer_tensors(self.model, self.optimizer, rest)
        if self.moving is not None:
            self.moving.load({name.removeprefix("average/"): w for name, w in moving.items()})
        torch.set_rng_state(random["random/cpu"])
        if self.device.type == "cuda" and "random/cuda" in random:
            torch.cuda.set_rng_state(random["random/cuda"], self.device)
        elif self.device.type == "mps" and "random/mps" in random:
            torch.mps.set_rng_state(random["random/mps"])

    # Signals

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM save first: between two updates, or out of a validation at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self.signal is not None:  # asked twice: the user means now
                raise KeyboardInterrupt
            self.signal = number
            if not self.model.training:
                raise InterruptedTrainingError(number)

        before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
