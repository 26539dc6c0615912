"""Checkpoints, from which training resumes: its state, and tensors beside it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.runs.saved_weights import SavedWeights
from seq2seq_cli.runs.training_state import TrainingState
from seq2seq_cli.whole_files import replace_file, sync_directory

if TYPE_CHECKING:
    from torch import Tensor

# What a checkpoint holds beside its state: two files, or a folder of shards
WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"
SHARDS = "shards"
SHARDED_WEIGHTS = "weights/"  # what names of weights begin with there


@dataclass(frozen=True)
class Checkpoint:
    """The content of one checkpoint directory."""

    weights: "dict[str, Tensor]"
    optimizer: "dict[str, Tensor]"  # also random states as random/…, moving averages as average/…
    state: TrainingState


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
