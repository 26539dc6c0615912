"""Progress of training: its figures, the time it takes, and the listener that receives both."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.runs.layout import REPORT_EVERY
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.training_state import ReportSums, TrainingState
from seq2seq_cli.training.diagnosis import Diagnosis
from seq2seq_cli.training.distributed import ProcessGroup
from seq2seq_cli.translation.faults import TranslationStatistics

REDRAW_EVERY = 1.0  # seconds between redraws of a live display
LINE_EVERY = 30.0  # seconds between lines of a log; the first ones come sooner


@dataclass(frozen=True)
class Validation:
    """Figures of one validation. The loss is in nats per target token; scores are 0 to 100."""

    loss: float
    bleu: float
    chrf: float
    signatures: tuple[str, ...]
    translations: TranslationStatistics
    samples: tuple[tuple[str, str, str], ...] = ()  # source, reference, hypothesis

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))

    def value(self, metric: str) -> float:
        """The stop metric, negated if need be so that higher is better."""
        return -self.loss if metric == "loss" else float(getattr(self, metric))


Validate = Callable[[TranslationModel], Validation]


@dataclass(frozen=True)
class Progress:
    """Figures of some updates. The loss, unsmoothed, is in nats per token."""

    update: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float  # target tokens without padding
    seconds: float  # of training so far, in all sessions together
    target_tokens: int  # predicted so far
    best_bleu: float | None  # of the validations so far


class Listener(Protocol):
    """Receives progress events from the trainer.

    `progressed` comes after the first update of a session, then by time (see `LineTimes`), before
    each validation and at the end, with the figures of all updates since it came last. `ticked`
    comes in between, about once a second, with the figures of the updates so far.
    """

    def planned(self, config: TrainingConfig) -> None: ...
    def progressed(self, progress: Progress) -> None: ...
    def ticked(self, progress: Progress) -> None: ...
    def validated(self, update: int, validation: Validation, *, is_best: bool) -> None: ...
    def said(self, message: str) -> None: ...
    def warned(self, message: str) -> None: ...


class SilentListener:
    """Ignores all events; the figures are in metrics.jsonl."""

    def planned(self, config: TrainingConfig) -> None:
        """Stay silent."""

    def progressed(self, progress: Progress) -> None:
        """Stay silent."""

    def ticked(self, progress: Progress) -> None:
        """Stay silent."""

    def validated(self, update: int, validation: Validation, *, is_best: bool) -> None:
        """Stay silent."""

    def said(self, message: str) -> None:
        """Stay silent."""

    def warned(self, message: str) -> None:
        """Stay silent."""


@dataclass(frozen=True)
class UpdateFigures:
    """Figures of one update. The loss is summed over the target tokens, in nats."""

    loss: float
    tokens: int
    learning_rate: float
    gradient_norm: float


@dataclass
class LineTimes:
    """When a log gets its lines: at once, then as late again as it is, then every 30 seconds."""

    begun: float
    next: float = -math.inf

    def is_due(self, now: float) -> bool:
        """Whether it is time for a line."""
        return now >= self.next

    def shown(self, now: float) -> None:
        """Note that there is a line now."""
        self.next = now + min(LINE_EVERY, max(REDRAW_EVERY, now - self.begun))


@dataclass
class Reporter:
    """Measures the time of training, and reports to metrics.jsonl and to the listener.

    The two have figures of their own: the records of a run do not depend on the time that it takes,
    and lines for the user do.
    """

    run: RunFolder
    listener: Listener
    processes: ProcessGroup
    now: Callable[[], float] = time.monotonic
    warned: set[str] = field(default_factory=set)  # names of the warnings of this session
    since_line: ReportSums = field(default_factory=ReportSums)
    last: UpdateFigures | None = None  # of the last update, until a line has shown it
    redrawn: float = -math.inf  # when the live display was last redrawn

    def __post_init__(self) -> None:
        self.start_clock()

    def start_clock(self) -> None:
        """Let the time of training begin now."""
        self.clock = self.now()
        self.lines = LineTimes(self.clock)

    def add_time(self, state: TrainingState) -> float:
        """Add the seconds since the last call to the time of training; returns them."""
        now = self.now()
        seconds, self.clock = now - self.clock, now
        state.seconds += seconds
        return seconds

    def updated(
        self,
        state: TrainingState,
        figures: UpdateFigures,
        *,
        epoch: float,
        end_reason: Callable[[], str | None],
    ) -> None:
        """Add up the figures of an update, and report those that are due.

        A record is due every so many updates and after the last one, a line by time.
        """
        seconds = self.add_time(state)
        for sums in (state.since_report, self.since_line):
            sums.seconds += seconds
            sums.loss += figures.loss
            sums.tokens += figures.tokens
        self.last = figures
        if state.update % REPORT_EVERY == 0 or end_reason() is not None:
            self._record(state, figures, epoch)
        if self.lines.is_due(self.clock):
            self.show(state, epoch)
        elif self.clock >= self.redrawn + REDRAW_EVERY and self.processes.may_write:
            self.redrawn = self.clock
            self.listener.ticked(_progress(state, self.since_line, figures, epoch))

    def _record(self, state: TrainingState, figures: UpdateFigures, epoch: float) -> None:
        """Write the figures of the updates since the last record to metrics.jsonl."""
        progress = _progress(state, state.since_report, figures, epoch)
        state.since_report = ReportSums()
        state.train_loss = progress.loss
        if self.processes.may_write:
            self.run.metrics.append({"kind": "training", **vars(progress)})

    def show(self, state: TrainingState, epoch: float) -> None:
        """Tell the listener the figures of all updates since it was last told, if there are any."""
        if self.last is None:
            return
        progress = _progress(state, self.since_line, self.last, epoch)
        self.since_line, self.last, self.redrawn = ReportSums(), None, self.clock
        self.lines.shown(self.clock)
        if self.processes.may_write:
            self.listener.progressed(progress)

    def validated(
        self,
        state: TrainingState,
        validation: Validation,
        diagnoses: Sequence[Diagnosis],
        *,
        is_best: bool,
    ) -> None:
        """Report a validation, and each diagnosis once in a session."""
        if not self.processes.may_write:
            return
        record = {
            "kind": "validation",
            "update": state.update,
            **_scores(validation),
            "repeated": validation.translations.repeated,
            "copied": validation.translations.copied,
            "faults": [diagnosis.name for diagnosis in diagnoses],
            "is_best": is_best,
            "seconds": state.seconds,
            "target_tokens": state.target_tokens,
        }
        self.run.metrics.append(record)
        self.listener.validated(state.update, validation, is_best=is_best)
        for diagnosis in diagnoses:
            self.warned_once(diagnosis.name, diagnosis.sentence)

    def chosen(self, state: TrainingState, name: str, validation: Validation) -> None:
        """Write the figures of the weights that training ends with, validated at its end."""
        if self.processes.may_write:
            record = {"kind": "final", "update": state.update, "weights": name}
            self.run.metrics.append({**record, **_scores(validation)})

    def said(self, message: str) -> None:
        """Pass a message on to the listener."""
        if self.processes.may_write:
            self.listener.said(message)

    def warned_once(self, name: str, message: str) -> None:
        """Pass a warning on to the listener, the first of its name in this session."""
        if self.processes.may_write and self.is_first(name):
            self.listener.warned(message)

    def is_first(self, name: str) -> bool:
        """Whether a warning is the first of its name in this session."""
        is_first = name not in self.warned
        self.warned.add(name)
        return is_first


def _scores(validation: Validation) -> dict[str, Any]:
    """The figures of a validation as metrics.jsonl has them."""
    return {
        "loss": validation.loss,
        "perplexity": validation.perplexity,
        "bleu": validation.bleu,
        "chrf": validation.chrf,
        "signatures": validation.signatures,
    }


def _progress(
    state: TrainingState, sums: ReportSums, figures: UpdateFigures, epoch: float
) -> Progress:
    """Where training stands, with the means of these sums and the figures of the last update."""
    return Progress(
        update=state.update,
        epoch=epoch,
        loss=sums.loss / sums.tokens,
        learning_rate=figures.learning_rate,
        gradient_norm=figures.gradient_norm,
        tokens_per_second=sums.tokens / max(sums.seconds, 1e-9),
        seconds=state.seconds,
        target_tokens=state.target_tokens,
        best_bleu=state.best_bleu,
    )
