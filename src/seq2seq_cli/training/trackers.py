"""Further receivers of the figures of metrics.jsonl: TensorBoard, Weights & Biases."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.events import EventFile, Record, figures
from seq2seq_cli.runs.layout import EVENTS, WANDB
from seq2seq_cli.runs.metrics import Follower
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.whole_files import replace_file

PROJECT = "seq2seq-cli"  # unless WANDB_PROJECT names another
OFFLINE = "offline"


def check_trackers(config: TrainingConfig) -> None:
    """Raise InputError, before text is read, for a package that is not installed."""
    if config.wandb:
        _import_wandb()


def trackers(config: TrainingConfig, run: RunFolder) -> list[Follower]:
    """All that the settings ask for."""
    found: list[Follower] = []
    if config.tensorboard:
        found.append(EventFile(run.path / EVENTS))
    if config.wandb:
        found.append(WandbRun(run.path))
    return found


def _import_wandb() -> Any:
    try:
        import wandb
    except ImportError:
        raise InputError(
            "training.wandb needs the package wandb: pip install 'seq2seq-cli[wandb]'; "
            "training.tensorboard and `seq2seq inspect curves` do without"
        ) from None
    return wandb


class WandbRun:
    """A run of Weights & Biases, in the folder `wandb` of the run folder.

    It is offline unless the user chooses with WANDB_MODE=online, so that nothing is sent without a
    login. A resumed training writes another offline folder of the same run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run: Any = None

    def restart(self, records: Sequence[Record]) -> None:
        """Begin or continue; figures from before that were recorded are not sent again."""
        wandb = _import_wandb()
        self.run = wandb.init(
            id=self._id(is_new=not records),
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=self.path.name,
            dir=str(self.path),
            mode=os.environ.get("WANDB_MODE", OFFLINE),
            resume="allow",
            settings=wandb.Settings(console="off", silent=True, disable_git=True),
        )

    def _id(self, *, is_new: bool) -> str:
        """The name by which sessions of one training are one run, kept beside them."""
        path = self.path / WANDB / "id"
        if is_new or not path.is_file():
            path.parent.mkdir(exist_ok=True)
            replace_file(path, uuid4().hex[:8].encode())
        return path.read_text()

    def append(self, record: Record) -> None:
        """Log the figures of a record at its update."""
        self.run.log(figures(record), step=record["update"])

    def close(self) -> None:
        """Finish writing."""
        if self.run is not None:
            self.run.finish()
