"""The training loop, resumable at any update.

A step reads from here to `gradients`, `objective` and `models`: batch -> hidden states -> fused
loss -> gradients -> optimizer.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import torch

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.data.contents import Hashes
from seq2seq_cli.data.prefetch import Prefetcher
from seq2seq_cli.data.token_pairs import EndOfDataError, TrainingPairs
from seq2seq_cli.devices import autocast, return_memory, return_tensors
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.messages import counted
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.runs.checkpoints import disk_error
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.training_state import ScheduleEnd, TrainingState
from seq2seq_cli.training.averaging import MovingAverage
from seq2seq_cli.training.best_weights import BestWeights
from seq2seq_cli.training.diagnosis import Diagnosis, TrainingHistory
from seq2seq_cli.training.distributed import (
    LostProcessError,
    ProcessGroup,
    SharedClock,
    losses_noticed,
)
from seq2seq_cli.training.gradient_exchange import GradientExchange
from seq2seq_cli.training.gradients import Gradients
from seq2seq_cli.training.limits import end_reason, fit_schedule, is_validation_due, schedule_end
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.optimization import learning_rate, make_optimizer, set_learning_rate
from seq2seq_cli.training.progress import Listener, Reporter, UpdateFigures, Validate, Validation
from seq2seq_cli.training.sharding import shard, whole_tensor
from seq2seq_cli.training.signals import InterruptedTrainingError, StopSignals
from seq2seq_cli.training.storage import ShardedStorage, Storage
from seq2seq_cli.training.trackers import trackers

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Diagnose = Callable[[TrainingHistory], Iterable[Diagnosis]]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """All parts of one training: a model, its data and settings, and where results go."""

    model: TranslationModel
    pairs: TrainingPairs
    config: TrainingConfig
    run: RunFolder
    validate: Validate
    diagnose: Diagnose
    listener: Listener
    device: torch.device
    precision: torch.dtype
    data: str  # fingerprint of all data; whoever resumes has compared it (`RunPlan.check_data`)
    files: Hashes = field(default_factory=dict)  # of the text
    schedule_end: ScheduleEnd | None = None  # as planned, for training that begins
    language_tags: tuple[int, ...] = ()  # their token ids in the source
    target_tags: tuple[int, ...] = ()  # and in the target, if it has some
    processes: ProcessGroup = field(default_factory=ProcessGroup)


class Trainer:
    """Trains the model of an experiment from wherever its last checkpoint stands."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.config = config = experiment.config
        self.run, self.processes = experiment.run, experiment.processes
        exchange_precision = DTYPES[config.exchange_precision]
        self.is_sharded = config.shard and self.processes.world_size > 1
        if self.is_sharded:
            shard(experiment.model, experiment.device, exchange_precision)
            # Layers that are whole for a moment would leave holes as large as all other tensors.
            return_tensors()
            return_memory()  # that of the whole model
        self.model = model = experiment.model.to(experiment.device)
        self.state = TrainingState(
            data=experiment.data, files=experiment.files, schedule_end=experiment.schedule_end
        )
        if experiment.device.type == "cpu" and model.copy_gate is None and not self.is_sharded:
            model.use_sparse_gradients()
        self.optimizer = make_optimizer(model, config)
        self.moving_average = MovingAverage(model, config.ema_decay) if config.ema_decay else None
        self.storage = (ShardedStorage if self.is_sharded else Storage)(
            model=model,
            optimizer=self.optimizer,
            moving_average=self.moving_average,
            run=self.run,
            processes=self.processes,
        )
        self.clock = SharedClock(self.processes)
        self.reporter = Reporter(self.run, experiment.listener, self.processes, self.clock)
        self.gradients = self._gradients(exchange_precision)
        self.best_weights = BestWeights(
            model=model,
            moving_average=self.moving_average,
            config=config,
            storage=self.storage,
            reporter=self.reporter,
            figures=self._figures,
        )
        self.prefetcher = Prefetcher(
            experiment.pairs, config, pin_memory=experiment.device.type == "cuda"
        )
        self.losses: list[tuple[int, float]] = []  # updates and loss of each validation
        self.saved: TrainingState | None = None  # the state of the last checkpoint
        self.signals = StopSignals(is_alone=self.processes.world_size == 1)

    def _gradients(self, exchange_precision: torch.dtype) -> Gradients:
        """Make the sum of gradients; those of a sharded model are exchanged by its shards."""
        config, experiment = self.config, self.experiment
        exchanged = [] if self.is_sharded else list(self.model.parameters())
        return Gradients(
            model=self.model,
            objective=Objective(
                config, experiment.precision, experiment.language_tags, experiment.target_tags
            ),
            optimizer=self.optimizer,
            config=config,
            device=experiment.device,
            precision=experiment.precision,
            processes=self.processes,
            exchange=GradientExchange(self.processes, exchanged, exchange_precision),
            reporter=self.reporter,
            is_sharded=self.is_sharded,
        )

    def train(self) -> str:
        """Train to the end; returns why it ended.

        Raises InterruptedTrainingError after a signal, and Seq2seqError if the loss is not finite
        or the disk is full; the last checkpoint stays complete.
        """
        try:
            self._resume()
            with self.signals.handled(lambda: not self.model.training):  # validation stops at once
                return self._loop()
        except OSError as error:
            raise disk_error(error, self.saved) from error
        except LostProcessError:
            if self.signals.received:  # the launcher ends all, since one has failed
                raise LostProcessError("") from None
            last = self.saved.update if self.saved else 0
            raise LostProcessError(
                f"a process of this training has ended; the checkpoint of update {last:,} is "
                "complete, and the same command continues"
            ) from None
        finally:
            self.run.metrics.close()

    def _loop(self) -> str:
        """Validate, save and update, each when it is due, until there is a reason to end."""
        try:
            while True:
                if is_validation_due(self.config, self.state):
                    self._validate()
                if self.best_weights.is_snapshot_due(self.state):
                    self.best_weights.save_snapshot(self.state)
                if self.state.update % self.config.checkpoint_every == 0:
                    self._save()
                if reason := end_reason(self.config, self.state):
                    return self._finish(reason)
                self.signals.raise_if_received()
                self.update()
        except InterruptedTrainingError:
            self._save()
            raise
        except EndOfDataError as end:
            return self._finish(str(end))

    def update(self) -> None:
        """Take one step of the optimizer over `accumulate` batches; none if an epoch is empty.

        Several processes compute a share of the batches each, and all of them the same step.
        """
        state = self.state
        batches = self._next_batches()
        if not batches:
            return
        tokens = sum(batch.target_tokens() for batch in batches)
        rate = learning_rate(self.config, state.update + 1, schedule_end(self.config, state))
        set_learning_rate(self.optimizer, rate)
        loss = self._agree(self.gradients.add_up(batches, tokens, state.update))
        norm = self._clip()
        self._check_finite(loss, norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.update += 1
        if self.moving_average is not None:
            self.moving_average.follow(state.update)
        state.target_tokens += tokens
        figures = UpdateFigures(loss, tokens, rate, norm)
        reason = partial(end_reason, self.config, state)
        self.reporter.updated(state, figures, epoch=self._epoch(), end_reason=reason)

    def _clip(self) -> float:
        """Scale gradients down to `clip_norm`; returns their norm before, over all processes."""
        limit = self.config.clip_norm or math.inf
        with losses_noticed():
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
            return float(whole_tensor(norm))

    def _agree(self, loss: float) -> float:
        """Sum the loss over all processes, which agree on the time and on signals at once."""
        own = [loss, self.clock.own(), *self.signals.flags()]
        loss, now, *flags = self.processes.sums(own)
        self.clock.set(now)
        self.signals.agree(flags)
        return loss

    def _next_batches(self) -> list[Batch]:
        """The batches of one update, which never spans two epochs.

        There are none if an epoch has none, as a portion of a stream without a usable pair. An
        error of the data saves a checkpoint first: once the data is mended, training continues.
        """
        state = self.state
        try:
            batches = self.prefetcher.take(state.epoch, state.batch)
        except EndOfDataError:
            raise
        except InputError:
            self._save()
            raise
        state.batch += len(batches)
        if state.batch >= len(self.prefetcher):
            state.epoch, state.batch = state.epoch + 1, 0
        return batches

    def _epoch(self) -> float:
        """Epochs so far, fractions included."""
        return self.state.epoch + self.state.batch / max(1, len(self.prefetcher))

    def _check_finite(self, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        if not self.processes.may_write:
            self.processes.wait()  # for rank 0, which has the same loss and ends
        last = self.saved.update if self.saved else 0
        raise Seq2seqError(
            f"the loss of update {self.state.update + 1:,} is not finite (loss {loss}, gradient "
            f"norm {norm}); the checkpoint of update {last:,} is complete. Try a lower "
            f"training.learning_rate (now {self.config.learning_rate}), a longer "
            "training.warmup_updates, or training.precision = float32"
        )

    # Validation and the end

    def _validate(self) -> None:
        """Validate, save the weights if they are worth it, and report."""
        self.reporter.show(self.state, self._epoch())
        with self.best_weights.in_model():
            validation = self._figures()
        is_best = self.best_weights.add(self.state, validation)
        self.losses.append((self.state.update, validation.loss))
        diagnoses = list(self.experiment.diagnose(self._history(validation)))
        self.reporter.validated(self.state, validation, diagnoses, is_best=is_best)
        fit_schedule(self.config, self.state)

    def _figures(self) -> Validation:
        """Run the validation callback; a signal ends it at once, the model unchanged."""
        self.model.eval()
        try:
            with (
                self.storage.whole_model() as model,
                autocast(self.experiment.device, self.experiment.precision),
            ):
                return self.experiment.validate(model)
        finally:
            self.model.train()
            return_memory()  # decoding takes memory in other shapes than training
            self.clock.agree()
            self.reporter.add_time(self.state)

    def _history(self, validation: Validation) -> TrainingHistory:
        """The history of training so far, for the diagnosis."""
        return TrainingHistory(
            epoch=self._epoch(),
            warmup_updates=self.config.warmup_updates,
            losses=tuple(self.losses),
            train_loss=self.state.train_loss,
            bleu=validation.bleu,
            chrf=validation.chrf,
            translations=validation.translations,
        )

    def _finish(self, reason: str) -> str:
        """Save all, the best weights included, and note why training ended."""
        self.reporter.show(self.state, self._epoch())
        self._save()
        if self.is_sharded:  # make room for the weights that are compared
            self.optimizer.state.clear()
            return_memory()
        self._warn_of_warmup()
        self.best_weights.choose(self.state)
        if self.processes.may_write:
            self.run.save_finished(self.state.update, reason)
        return reason

    def _warn_of_warmup(self) -> None:
        """Say that training ended within its warm-up, unless that was known when it began."""
        updates, warmup = self.state.update, self.config.warmup_updates
        if updates < warmup and not 0 < self.config.max_updates <= warmup:
            self.reporter.warned_once(
                "warm-up",
                f"training ended after {counted(updates, 'update')}, within its warm-up of "
                f"{warmup:,}; set training.warmup_updates lower, or train longer",
            )

    # Checkpoints

    def _save(self) -> None:
        """Write a checkpoint unless this update has one."""
        if self.saved is not None and self.saved.update == self.state.update:
            return
        self.storage.save_checkpoint(self.state)
        self.saved = TrainingState.from_json(self.state.to_json())

    def _resume(self) -> None:
        """Go to where the last checkpoint stands; without one, training begins."""
        self._go_to_checkpoint()
        if self.processes.may_write:
            self.run.metrics.follow(trackers(self.config, self.run))

    def _go_to_checkpoint(self) -> None:
        state = self.storage.load_checkpoint()
        if state is None:
            if self.processes.may_write:
                self.run.metrics.clear()
        else:
            self.state = state
            self.saved = TrainingState.from_json(self.state.to_json())
            if self.processes.may_write:
                self.run.metrics.truncate(self.state.update, self.state.last_validation)
            self.losses = self.processes.from_first(self.run.metrics.validation_losses)
            self.reporter.said(f"continuing from update {self.state.update:,}")
            if self.state.processes != self.processes.world_size:
                before, now = self.state.processes, self.processes.world_size
                self.reporter.said(
                    f"processes: {now}, and {before} before; the training is the same but for "
                    "rounding"
                )
            end = self.state.schedule_end
            if end is None or end.minutes != self.config.max_minutes:  # another limit than before
                fit_schedule(self.config, self.state)
        self.state.processes = self.processes.world_size
        self.model.train()
        self.clock.agree()
        self.reporter.start_clock()
