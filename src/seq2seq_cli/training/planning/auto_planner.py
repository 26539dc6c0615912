"""The preset auto applied: settings by the text, and a schedule laid over the time there is.

Speed is measured by updates whose results are thrown away, before training begins. The plan that
follows from it is part of the run's settings, so a run that continues has the same one.
"""

import math
import time
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from typing import cast

import torch

from seq2seq_cli.config import auto
from seq2seq_cli.config.models import TransformerConfig, Vocabulary
from seq2seq_cli.config.settings import Table
from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.devices import return_memory
from seq2seq_cli.messages import counted
from seq2seq_cli.models import TranslationModel, build
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.training_state import ScheduleEnd
from seq2seq_cli.training.memory import (
    checkpoint_activations,
    computed_batches,
    fitting_batch_tokens,
    is_out_of_memory,
    release_memory,
)
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.optimization import make_optimizer, set_learning_rate
from seq2seq_cli.training.progress import Listener

NOT_MEASURED = 2  # first updates, which are slower
MEASURED = 30  # updates at most
MEASURED_SECONDS = 10.0  # at most, or a share of the limit of minutes
MEASURED_SHARE = 0.03
USED = 0.97  # share of the limit of minutes that is planned for
LARGE = 10_000_000  # target tokens from which it is a question of hours whether a size can be had
MOST_HOURS = 48.0  # of a training without a limit: a model that takes longer is too large


@dataclass(frozen=True)
class Length:
    """How long a training is, and why."""

    updates: int
    reason: str
    is_by_minutes: bool = False


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Chooses the open settings of a run, by text that is tokenised."""

    config: RunConfig
    pairs: TokenPairs  # all training pairs, or the first piece of a stream
    valid_pairs: TokenPairs
    vocabulary: Vocabulary
    device: torch.device
    precision: torch.dtype
    listener: Listener
    batches: dict[int, int] = field(default_factory=dict)  # of an epoch, by their tokens

    def choose(self) -> tuple[RunConfig, ScheduleEnd | None]:
        """The settings with values for all open ones, each of which is said with its reason.

        Returns too where the schedule ends if the limit of minutes is the first to be reached.
        """
        planner, text = self, self._text
        if self._is_open("training.batch_tokens"):
            planner = planner._with("training", batch_tokens=auto.batch_tokens(text))
            planner._say(
                f"batches of {planner.config.training.batch_tokens:,} tokens, for "
                f"{text.target_tokens:,} target tokens in an epoch"
            )
        planner, length = planner._with_size()
        epochs = length.updates / planner._updates_per_epoch()
        if self._is_open("model.dropout"):
            dropout = auto.dropout(text, epochs)
            planner = planner._with("model", dropout=dropout)
            planner._say(f"dropout {dropout:g}, since {auto.dropout_reason(text, epochs)}")
        model = planner.config.model
        if isinstance(model, TransformerConfig) and self._is_open("training.learning_rate"):
            rate = auto.learning_rate(model.width)
            planner = planner._with("training", learning_rate=rate)
            planner._say(f"learning rate {rate:g}, for a width of {model.width}")
        config = planner._with_schedule(length).config
        end = None
        if length.is_by_minutes and config.training.schedule == "linear":
            end = ScheduleEnd(length.updates, config.training.max_minutes)
        return replace(config, open_settings=frozenset()), end

    def extend(self, old: RunConfig) -> RunConfig:
        """The settings of a run that continues under another limit of epochs or of minutes.

        More minutes are no more updates than were chosen, or given to an earlier command: that is
        said, since this command does not name them.
        """
        length, most = self._length(None), old.training.max_updates
        if old.training.max_epochs == self.config.training.max_epochs:
            if most:
                reason = length.reason if length.updates == most else "as the run has had them"
                self._say(
                    f"at most {counted(most, 'update')}, {reason}, however many minutes there are; "
                    "--max-updates N sets another limit and trains further"
                )
            return replace(self.config, open_settings=frozenset())
        planner = self._with("training", max_updates=length.updates)
        planner._say(f"{counted(length.updates, 'update')} in all, {length.reason}")
        return replace(planner.config, open_settings=frozenset())

    # Settings

    def _is_open(self, name: str) -> bool:
        return name in self.config.open_settings

    def _with(self, section: str, **values: object) -> "Planner":
        """With these values of settings that are open."""
        chosen: Table = {k: v for k, v in values.items() if self._is_open(f"{section}.{k}")}
        return replace(self, config=self.config.with_chosen({section: chosen}))

    def _say(self, message: str) -> None:
        self.listener.said(f"auto: {message}")

    def _with_size(self) -> "tuple[Planner, Length]":
        """With the largest model that text and time are enough for, and how long it trains."""
        is_open = bool(self.config.open_settings & (auto.MODEL - {"model.dropout"}))
        sizes = auto.sizes_for(self._text) if is_open else auto.SIZES[-1:]
        minutes = self.config.training.max_minutes
        for size in sizes:
            planner = self._sized(size) if is_open else self
            planner = planner._with_fitting_batches()
            hours = MOST_HOURS if size.least_tokens >= LARGE else 0.0
            is_measured = bool(minutes or hours)
            seconds = planner._seconds_per_update() if is_measured else None
            if is_measured and seconds is None and size is not sizes[-1]:
                continue  # it does not fit into memory
            length = planner._length(seconds)
            updates = length.updates
            if hours and seconds is not None:
                updates = min(updates, int(3600 * hours / seconds))
            tokens = updates * planner._tokens_per_update()
            is_by_time = length.is_by_minutes or updates < length.updates
            if tokens >= (size.least_tokens_in_time if is_by_time else size.least_tokens):
                break
        if is_open and isinstance(model := planner.config.model, TransformerConfig):
            planner._say(
                f"width {model.width}, {model.encoder_layers} + {model.decoder_layers} layers, for "
                f"{counted(self._text.pairs, 'pair')} and about {auto.rounded(tokens)} target "
                "tokens of training"
            )
        return planner, length

    def _sized(self, size: auto.Size) -> "Planner":
        planner = self._with("model", width=size.width)
        return planner._with("model", **auto.model_settings(size, planner.config.model.width))

    def _with_fitting_batches(self) -> "Planner":
        """With as many tokens in a batch as fit the device, if they are "auto"."""
        if self.config.training.batch_tokens != "auto":
            return self
        objective = Objective(self.config.training, self.precision)
        tokens = fitting_batch_tokens(self._model(), self.pairs, objective, self.device)
        self.listener.said(f"batches: {tokens:,} tokens")
        training = replace(self.config.training, batch_tokens=tokens)
        return replace(self, config=replace(self.config, training=training))

    def _with_schedule(self, length: Length) -> "Planner":
        """With a length, a warm-up, and a distance between validations."""
        updates, most = length.updates, self._length(None).updates
        warmup = auto.warmup(updates)
        every = auto.validate_every(updates, self._updates_of_validation())
        planner = self._with(
            "training", max_updates=most, warmup_updates=warmup, validate_every=every
        )
        training = planner.config.training
        warmup, every = training.warmup_updates, training.validate_every
        end = ", then falls to zero" if training.schedule == "linear" else ""
        about = "about " * length.is_by_minutes
        planner._say(
            f"{about}{counted(updates, 'update')}, {length.reason}; the learning rate rises for "
            f"{counted(warmup, 'update')}{end}; a validation every {every:,}"
        )
        return planner

    # Lengths

    @property
    def _text(self) -> auto.Text:
        # The end of a sentence is predicted too.
        tokens = int(self.pairs.target.lengths.sum()) + len(self.pairs)
        return auto.Text(len(self.pairs), tokens)

    def _updates_per_epoch(self) -> int:
        training = self.config.training
        tokens = cast(int, training.batch_tokens)
        if tokens not in self.batches:  # millions of pairs take a second
            order = epoch_batches(self.pairs, tokens, training.seed, epoch=0)
            self.batches[tokens] = len(order)
        return max(1, math.ceil(self.batches[tokens] / training.accumulate))

    def _tokens_per_update(self) -> float:
        return self._text.target_tokens / self._updates_per_epoch()

    def _length(self, seconds_per_update: float | None) -> Length:
        """How long training is to be: as the limits say, or as is usual for so much text."""
        training = self.config.training
        per_epoch = self._updates_per_epoch()
        lengths = []
        if training.max_epochs:
            given = counted(training.max_epochs, "epoch")
            lengths.append(Length(training.max_epochs * per_epoch, f"which are {given}"))
        if not self._is_open("training.max_updates"):
            lengths.append(Length(training.max_updates, "as given"))
        if not lengths:
            epochs = auto.usual_epochs(self._text)
            lengths.append(
                Length(
                    round(epochs * per_epoch), f"{counted(round(epochs), 'epoch')} of so much text"
                )
            )
        if training.max_minutes and seconds_per_update:
            updates = USED * 60 * training.max_minutes / seconds_per_update
            one = self._updates_of_validation()
            spent = one * auto.validations(updates, one)
            lengths.append(
                Length(
                    max(1, int(max(updates - spent, updates / 2))),
                    f"which fit into {counted(training.max_minutes, 'minute')} at "
                    f"{self._tokens_per_update() / seconds_per_update:,.0f} target tokens/s",
                    is_by_minutes=True,
                )
            )
        return min(lengths, key=lambda length: length.updates)

    def _updates_of_validation(self) -> float:
        """The updates that take as long as a validation: to translate takes as long as to train."""
        return float(self.valid_pairs.target.lengths.sum()) / self._tokens_per_update()

    # Speed

    def _model(self) -> TranslationModel:
        """A model of these settings, to be measured and thrown away."""
        model = build(self.config.model, self.vocabulary).to(self.device).train()
        if self.config.training.activation_checkpointing:
            checkpoint_activations(model)
        return model

    def _seconds_per_update(self) -> float | None:
        """Measure how long an update takes; None if a batch does not fit into memory."""
        try:
            return self._measure()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        finally:
            release_memory(self.device)
            return_memory()

    def _measure(self) -> float:
        """Train at a learning rate of zero for some seconds; returns the seconds of an update."""
        training = self.config.training
        objective = Objective(training, self.precision)
        model = self._model()
        optimizer = make_optimizer(model, training)
        set_learning_rate(optimizer, 0.0)
        seconds = MEASURED_SECONDS
        if training.max_minutes:
            seconds = min(seconds, MEASURED_SHARE * 60 * training.max_minutes)
        order = epoch_batches(self.pairs, cast(int, training.batch_tokens), training.seed, epoch=0)
        began, measured = time.monotonic(), 0
        for number, rows in enumerate(islice(cycle(order), NOT_MEASURED + MEASURED), start=1):
            batch = self.pairs.batch(rows)
            tokens = batch.target_tokens()
            for each in computed_batches([batch], training, self.device, self.precision):
                loss, _ = objective(model, each.to(self.device))
                (loss / tokens).backward()  # type: ignore[no-untyped-call]
            limit = training.clip_norm or math.inf
            float(torch.nn.utils.clip_grad_norm_(model.parameters(), limit))  # waits for the device
            optimizer.step()
            optimizer.zero_grad()
            if number <= NOT_MEASURED:
                began = time.monotonic()
                continue
            measured += tokens
            if number > NOT_MEASURED + 3 and time.monotonic() - began > seconds:
                break
        seconds_per_token = (time.monotonic() - began) / max(1, measured)
        return seconds_per_token * self._tokens_per_update()
