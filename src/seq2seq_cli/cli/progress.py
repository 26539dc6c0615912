"""Progress of training on stderr: a live line on a terminal, plain lines in a log, or nothing."""

import sys
from dataclasses import field
from typing import TYPE_CHECKING

from seq2seq_cli.cli import console
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.deferred import dataclass

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from seq2seq_cli.training.progress import Progress, Validation


def remaining_seconds(config: TrainingConfig, progress: "Progress") -> float | None:
    """Seconds to the limit that is reached first at the speed so far; None if no limit is set.

    The time includes validations, as far as there were any. It is never negative, since the last
    update and what follows it end after a limit of minutes.
    """
    shares = [
        done / limit
        for done, limit in (
            (float(progress.update), float(config.max_updates)),
            (progress.epoch, float(config.max_epochs)),
            (progress.seconds, config.max_minutes * 60),
        )
        if limit
    ]
    share = max(shares, default=0.0)
    return max(0.0, progress.seconds * (1 - share) / share) if share else None


def duration(seconds: float | None) -> str:
    """Seconds as h:mm:ss."""
    if seconds is None:
        return "-"
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"


def _perplexity(validation: "Validation") -> str:
    """The perplexity in few digits, however large it is."""
    value = validation.perplexity
    return f"{value:.2f}" if value < 1e6 else f"{value:.1e}"


@dataclass
class PlainListener:
    """Prints a line from time to time; for logs and pipes."""

    config: TrainingConfig

    def planned(self, config: TrainingConfig) -> None:
        """Receive the settings in full, once the text has been read."""
        self.config = config

    def progressed(self, progress: "Progress") -> None:
        """Print the figures of the updates since the last line."""
        console.note(self.line(progress))

    def ticked(self, progress: "Progress") -> None:
        """Print nothing: the next line will have these updates too."""

    def line(self, progress: "Progress") -> str:
        """The figures of some updates in one line."""
        best = "-" if progress.best_bleu is None else f"{progress.best_bleu:.2f}"
        return (
            f"update {progress.update:,}  epoch {progress.epoch:.2f}  loss {progress.loss:.3f}  "
            f"{progress.tokens_per_second:,.0f} tokens/s  "
            f"ETA {duration(remaining_seconds(self.config, progress))}  best BLEU {best}"
        )

    def validated(self, update: int, validation: "Validation", *, is_best: bool) -> None:
        """Print the figures and samples of a validation."""
        self.said(
            f"validation at update {update:,}: loss {validation.loss:.3f}  "
            f"perplexity {_perplexity(validation)}  BLEU {validation.bleu:.2f}  "
            f"chrF {validation.chrf:.2f}{'  (best)' if is_best else ''}"
        )
        self.said(f"  {'  '.join(validation.signatures)}")
        for source, reference, hypothesis in validation.samples:
            self.said(f"  source:     {source}")
            self.said(f"  reference:  {reference}")
            self.said(f"  hypothesis: {hypothesis}")

    def said(self, message: str) -> None:
        """Print a message as it is."""
        console.note(message)

    def warned(self, message: str) -> None:
        """Print a warning."""
        console.warn(message)

    def close(self) -> None:
        """Do nothing: nothing is open."""


@dataclass
class QuietListener(PlainListener):
    """Prints only warnings; everything still goes to metrics.jsonl."""

    def progressed(self, progress: "Progress") -> None:
        """Stay silent."""

    def said(self, message: str) -> None:
        """Stay silent."""


@dataclass
class TerminalListener(PlainListener):
    """Shows a live line at the bottom; messages scroll above it."""

    bar: "Bar | None" = field(default=None)

    def progressed(self, progress: "Progress") -> None:
        """Redraw the live line."""
        self.ticked(progress)

    def ticked(self, progress: "Progress") -> None:
        """Redraw the live line."""
        if self.bar is None:
            self.bar = self._open()
        self.bar.update(self.bar.task_ids[0], description=self.line(progress))

    def _open(self) -> "Bar":
        from rich.console import Console
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn

        # The description is the whole line; a bar would repeat the ETA.
        bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        bar.add_task("", total=None)
        bar.start()
        return bar

    def said(self, message: str) -> None:
        """Print above the live line."""
        if self.bar is None:
            console.note(message)
        else:
            self.bar.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def warned(self, message: str) -> None:
        """Print above the live line."""
        self.said(console.warning(message))

    def close(self) -> None:
        """Remove the live line."""
        if self.bar is not None:
            self.bar.stop()


def make_listener(config: TrainingConfig, *, quiet: bool) -> PlainListener:
    """The listener for this stderr, or the quiet one."""
    if quiet:
        return QuietListener(config)
    if sys.stderr.isatty():
        return TerminalListener(config)
    return PlainListener(config)
