"""What training needs to resume: checkpoints, and weights saved to be averaged."""

import dataclasses
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq_cli.data.contents import Hashes
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.whole_files import replace_file, sync_directory

if TYPE_CHECKING:
    from torch import Tensor

# What a checkpoint holds beside its state: two files, or a folder of shards
WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"
SHARDS = "shards"
SHARDED_WEIGHTS = "weights/"  # what names of weights begin with there

# Names in state.json as older versions wrote them -> names of today.
OLDER_NAMES = {
    "validated": "last_validation",
    "without_better": "without_improvement",
    "kept": "saved_weights",
    "window": "since_report",
}


@dataclass(frozen=True)
class ValidatedWeights:
    """The weights after an update, with the value of the stop metric and the validation loss."""

    update: int
    value: float
    loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Greater is better. The loss decides between equal values, as while BLEU is still 0."""
        return self.value, -self.loss


@dataclass
class ReportSums:
    """Sums over the updates since the last report."""

    loss: float = 0.0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class ScheduleEnd:
    """The update at which a linear schedule ends, so that it ends within a limit of minutes."""

    update: int
    minutes: float


@dataclass
class TrainingState:
    """Where training stands, apart from the weights, the optimizer and the random state."""

    data: str = ""  # fingerprint of all tokenised pairs
    files: Hashes = field(default_factory=dict)  # of the text; older checkpoints have none
    update: int = 0
    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    seconds: float = 0.0  # of training, over all sittings
    target_tokens: int = 0  # predicted so far
    last_validation: int = 0  # its update
    best: ValidatedWeights | None = None
    without_improvement: int = 0  # since the best one
    best_bleu: float | None = None  # for display, whatever the stop metric is
    saved_weights: list[ValidatedWeights] = field(default_factory=list)  # in training/weights
    snapshots: list[int] = field(default_factory=list)  # updates of weights there, not validated
    since_report: ReportSums = field(default_factory=ReportSums)
    train_loss: float | None = None  # in the last report
    schedule_end: ScheduleEnd | None = None  # None: at max_updates
    processes: int = 1  # that trained together

    def to_json(self) -> str:
        """The content of state.json."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "TrainingState":
        """Read state.json, of older versions too. Raises ValueError, KeyError or TypeError."""
        values = {OLDER_NAMES.get(name, name): value for name, value in json.loads(text).items()}
        best, end = values.pop("best"), values.pop("schedule_end", None)
        return cls(
            best=ValidatedWeights(**best) if best else None,
            schedule_end=ScheduleEnd(**end) if end else None,
            saved_weights=[ValidatedWeights(**entry) for entry in values.pop("saved_weights")],
            since_report=ReportSums(**values.pop("since_report", {})),
            **values,
        )


@dataclass(frozen=True)
class Checkpoint:
    """The content of one checkpoint directory."""

    weights: "dict[str, Tensor]"
    optimizer: "dict[str, Tensor]"  # also random states as random/…, moving averages as average/…
    state: TrainingState


class SavedWeights:
    """Weights of several updates, saved so that they can be averaged or be the best."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, update: int) -> Path:
        """The file with the weights of an update."""
        return self.folder / f"update-{update:08d}.safetensors"

    def save(self, update: int, weights: "Mapping[str, Tensor]") -> None:
        """Save the weights of an update."""
        from seq2seq_cli.runs.tensors import save_tensors

        self.folder.mkdir(parents=True, exist_ok=True)
        save_tensors(self.path(update), weights)

    def save_one_by_one(
        self,
        update: int,
        shapes: Mapping[str, Sequence[int]],
        tensors: "Iterable[tuple[str, Tensor]]",
    ) -> None:
        """As `save`, of tensors that come one after the other, sorted by name."""
        from seq2seq_cli.runs.tensors import save_one_by_one

        self.folder.mkdir(parents=True, exist_ok=True)
        save_one_by_one(self.path(update), shapes, tensors)

    def load(self, update: int) -> "dict[str, Tensor]":
        """Read the weights of an update. Raises InputError if they are missing or damaged."""
        from seq2seq_cli.runs.tensors import load_tensors

        return load_tensors(self.path(update))

    def updates(self) -> list[int]:
        """The updates whose weights are saved, oldest first."""
        names = [
            path.stem.removeprefix("update-") for path in self.folder.glob("update-*.safetensors")
        ]
        return sorted(int(name) for name in names if name.isdecimal())

    def remove_all_but(self, updates: set[int]) -> None:
        """Remove the weights of all other updates."""
        needed = {self.path(update) for update in updates}
        for path in self.folder.glob("*"):
            if path not in needed:
                path.unlink(missing_ok=True)


class Checkpoints:
    """Reads and writes the checkpoints of one run; only the last one stays."""

    def __init__(self, folder: Path, saved_weights: SavedWeights) -> None:
        self.folder = folder
        self.saved_weights = saved_weights

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove the one before and saved weights that it does not need.

        It is written under a temporary name and renamed, so that it is complete or not there.
        """
        from seq2seq_cli.runs.tensors import save_tensors

        with self.replaced(checkpoint.state) as folder:
            save_tensors(folder / WEIGHTS, checkpoint.weights)
            save_tensors(folder / OPTIMIZER, checkpoint.optimizer)

    @contextmanager
    def replaced(self, state: TrainingState) -> Iterator[Path]:
        """As `save`; the block writes the tensors into the folder that this yields."""
        final = self._path(state.update)
        temporary = self.folder / f".{final.name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            yield temporary
            replace_file(temporary / "state.json", state.to_json().encode())
            temporary.rename(final)
            sync_directory(self.folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self._remove_stale(state)

    def exist(self) -> bool:
        """Whether there is one to resume from."""
        return any(self.folder.glob("update-*"))

    def load(self) -> Checkpoint | None:
        """Read the last checkpoint, if there is one. Raises InputError if it is damaged."""
        from seq2seq_cli.runs.tensors import load_tensors

        found = self.last()
        if found is None:
            return None
        path, state = found
        if (path / SHARDS).is_dir():
            return _of_shards(path / SHARDS, state)
        return Checkpoint(load_tensors(path / WEIGHTS), load_tensors(path / OPTIMIZER), state)

    def last(self) -> tuple[Path, TrainingState] | None:
        """The folder and the state of the last checkpoint, if there is one; no others stay.

        Raises InputError if it is damaged.
        """
        path = self._last()
        if path is None:
            return None
        state = _read_state(path)
        self._remove_stale(state)  # left where a kill came right after the rename
        return path, state

    def load_state(self) -> TrainingState:
        """Read where training stands. Raises InputError without a complete checkpoint."""
        path = self._last()
        if path is None:
            raise InputError(f"{self.folder} holds no checkpoint; it was lost or removed")
        return _read_state(path)

    def _path(self, update: int) -> Path:
        return self.folder / f"update-{update:08d}"

    def _last(self) -> Path | None:
        return max(self.folder.glob("update-*"), default=None)

    def _remove_stale(self, state: TrainingState) -> None:
        current = self._path(state.update)
        for pattern in ("update-*", ".update-*"):
            for path in self.folder.glob(pattern):
                if path != current:
                    shutil.rmtree(path, ignore_errors=True)
        validated = {entry.update for entry in state.saved_weights}
        self.saved_weights.remove_all_but(validated | {*state.snapshots})


def _of_shards(folder: Path, state: TrainingState) -> Checkpoint:
    """Read a checkpoint that several processes wrote."""
    from seq2seq_cli.runs.shards import load_whole

    weights, others = dict[str, "Tensor"](), dict[str, "Tensor"]()
    for name, tensor in load_whole(folder).items():
        if name.startswith(SHARDED_WEIGHTS):
            weights[name.removeprefix(SHARDED_WEIGHTS)] = tensor
        else:
            others[name] = tensor
    return Checkpoint(weights, others, state)


def _read_state(checkpoint: Path) -> TrainingState:
    path = checkpoint / "state.json"
    try:
        return TrainingState.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; --restart begins again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}); --restart begins again") from None


def disk_error(error: OSError, state: TrainingState | None) -> Seq2seqError:
    """The message for a failed write; `state` is that of the last checkpoint, if there is one."""
    last = f"the checkpoint of update {state.update:,} is complete; " if state else ""
    return Seq2seqError(
        f"cannot write to the run folder: {error.strerror or error}; {last}make room and run the "
        "same command again to resume"
    )
