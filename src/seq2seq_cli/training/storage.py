"""How the tensors of a training get into its run folder and back.

"Weights" are those of this process here: all of a model, or of a sharded one its shards, on the
CPU. All processes call the same methods in the same order.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from seq2seq_cli.models import TranslationModel
from seq2seq_cli.models.shards import own_shard
from seq2seq_cli.runs.arrays import check_shapes, load_arrays
from seq2seq_cli.runs.checkpoints import OPTIMIZER, SHARDED_WEIGHTS, SHARDS, WEIGHTS, Checkpoint
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.shards import check_shards, load_shards, save_index, save_shards
from seq2seq_cli.runs.tensors import load_one_by_one, load_weights, weights_of
from seq2seq_cli.runs.training_state import TrainingState
from seq2seq_cli.training.averaging import MovingAverage, Weights, average
from seq2seq_cli.training.checkpointing import (
    AVERAGE,
    RANDOM,
    restore_training_tensors,
    training_tensors,
)
from seq2seq_cli.training.distributed import ProcessGroup, losses_noticed
from seq2seq_cli.training.optimization import optimizer_tensors
from seq2seq_cli.training.sharding import shard_of, whole_model, whole_tensor


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Whole tensors, which rank 0 writes and reads."""

    model: TranslationModel
    optimizer: torch.optim.Optimizer
    moving_average: MovingAverage | None
    run: RunFolder
    processes: ProcessGroup

    def current(self) -> Weights:
        """The weights worth saving: their moving average, if there is one."""
        if self.moving_average is not None:
            return self.moving_average.tensors()
        return weights_of(self.model)

    def whole_model(self) -> AbstractContextManager[TranslationModel]:
        """The model with the weights that it has now, to validate in a block."""
        return nullcontext(self.model)

    def save(self, update: int, weights: Weights) -> None:
        """Save the weights of an update, to be averaged."""
        if self.processes.may_write:
            self.run.saved_weights.save(update, weights)

    def save_model(self, weights: Weights) -> None:
        """Save the weights to translate with."""
        if self.processes.may_write:
            self.run.save_model(weights)

    def load(self, update: int) -> Weights:
        """Read the saved weights of an update."""
        return self.processes.from_first(lambda: self.run.saved_weights.load(update))

    def average(self, updates: list[int]) -> Weights:
        """The mean of the saved weights of these updates."""
        return self.processes.from_first(
            lambda: average(self.run.saved_weights.load(update) for update in updates)
        )

    def save_checkpoint(self, state: TrainingState) -> None:
        """Write a checkpoint."""
        if self.processes.may_write:
            tensors = training_tensors(self.model, self.optimizer, self.moving_average)
            self.run.checkpoints.save(Checkpoint(weights_of(self.model), tensors, state))

    def load_checkpoint(self) -> TrainingState | None:
        """Go to where the last checkpoint stands, if there is one."""
        checkpoint = self.processes.from_first(self.run.checkpoints.load)
        if checkpoint is None:
            return None
        load_weights(self.model, checkpoint.weights, self.run.path)
        restore_training_tensors(
            checkpoint.optimizer, self.model, self.optimizer, self.moving_average
        )
        return checkpoint.state


class ShardedStorage(Storage):
    """Tensors of a sharded model: checkpoints in shards, weights in whole files.

    Whole weights are gathered and written, or read and divided, tensor by tensor.
    """

    def whole_model(self) -> AbstractContextManager[TranslationModel]:
        return whole_model(self.model)

    @property
    def _parameters(self) -> dict[str, Any]:
        """The sharded parameters, sorted by name."""
        return dict(sorted(self.model.named_parameters()))

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(each.shape) for name, each in self._parameters.items()}

    def save(self, update: int, weights: Weights) -> None:
        tensors = self._whole(weights)
        if self.processes.may_write:
            self.run.saved_weights.save_one_by_one(update, self._shapes, tensors)
        for _ in tensors:  # what other processes gather together with rank 0
            pass

    def save_model(self, weights: Weights) -> None:
        tensors = self._whole(weights)
        if self.processes.may_write:
            self.run.save_model_one_by_one(self._shapes, tensors)
        for _ in tensors:
            pass

    def _whole(self, weights: Weights) -> Iterator[tuple[str, Tensor]]:
        """Gather whole tensors one after the other, sorted by name."""
        from torch.distributed.tensor import DTensor

        for name, like in self._parameters.items():
            sharded = DTensor.from_local(
                weights[name].to(like.device),
                like.device_mesh,
                like.placements,
                shape=like.shape,
                stride=like.stride(),
            )
            yield name, whole_tensor(cast(Tensor, sharded))

    def load(self, update: int) -> Weights:
        path = self.run.saved_weights.path(update)
        return self._divided(path, self._parameters)

    def _divided(self, path: Path, like: Mapping[str, Tensor]) -> Weights:
        """The shards of tensors in a file that rank 0 reads, divided as these are."""
        if not self.processes.may_write:
            return {name: shard_of(None, each).cpu() for name, each in like.items()}
        found = Weights()
        for name, whole in zip(like, load_one_by_one(path, like), strict=True):
            shapes = {} if whole is None else {name: tuple(whole.shape)}
            check_shapes(shapes, {name: tuple(like[name].shape)}, path)
            found[name] = shard_of(whole, like[name]).cpu()
        return found

    def average(self, updates: list[int]) -> Weights:
        return average(self.load(update) for update in updates)

    def save_checkpoint(self, state: TrainingState) -> None:
        tensors = {f"{SHARDED_WEIGHTS}{n}": p.detach() for n, p in self._parameters.items()}
        tensors |= optimizer_tensors(self.model, self.optimizer)
        if self.moving_average is not None:
            tensors |= {f"{AVERAGE}{name}": w for name, w in self.moving_average.weights.items()}
        if self.processes.may_write:
            with self.run.checkpoints.replaced(state) as folder:
                hashes = self._save_shards(folder / SHARDS, tensors)
                save_index(folder / SHARDS, hashes)
        else:
            self._save_shards(None, tensors)
        self.processes.wait()

    def _save_shards(
        self, folder: Path | None, tensors: Mapping[str, Tensor]
    ) -> list[dict[str, str]]:
        """Write all shards; returns the hashes of the files of each process."""
        name = self.processes.from_first(lambda: str(folder))
        with losses_noticed():
            own = save_shards(Path(name), tensors, self.processes.rank)
        return self.processes.gather(own)

    def load_checkpoint(self) -> TrainingState | None:
        found = self.processes.from_first(self.run.checkpoints.last)
        if found is None:
            return None
        folder, state = found
        if self.processes.from_first((folder / SHARDS).is_dir):
            self._load_shards(folder / SHARDS)
        else:
            self._load_whole(folder)
        return state

    def _load_shards(self, folder: Path) -> None:
        shapes = check_shards(folder, self.processes.rank, self.processes.world_size)
        self.processes.wait()
        into: dict[str, Tensor] = {
            f"{SHARDED_WEIGHTS}{n}": p.detach() for n, p in self._parameters.items()
        }
        found = {name: shape for name, shape in shapes.items() if name.startswith(SHARDED_WEIGHTS)}
        check_shapes(found, {name: tuple(each.shape) for name, each in into.items()}, folder)
        if self.moving_average is not None:
            into |= {f"{AVERAGE}{name}": w for name, w in self.moving_average.weights.items()}
        states = {
            name: self._empty_state(name, shape)
            for name, shape in shapes.items()
            if not name.startswith((SHARDED_WEIGHTS, AVERAGE))
        }
        with losses_noticed():
            load_shards(folder, into | states)
        self._restore(states)

    def _load_whole(self, folder: Path) -> None:
        """Divide a checkpoint that was written whole, without sharding."""
        path = folder / WEIGHTS
        load_weights(self.model, self._divided(path, self._parameters), path)
        path = folder / OPTIMIZER
        shapes = self.processes.from_first(lambda: shapes_in(path))
        names = sorted(name for name in shapes if not name.startswith(RANDOM))
        sharded = {
            name: self._empty_state(name, shapes[name])
            for name in names
            if not name.startswith(AVERAGE)
        }
        if self.moving_average is not None:
            sharded |= {f"{AVERAGE}{name}": w for name, w in self.moving_average.weights.items()}
        scalars = {name: each for name, each in sharded.items() if each.dim() == 0}
        for name in scalars:
            del sharded[name]
        for name, own in self._divided(path, sharded).items():
            own_shard(sharded[name]).copy_(own)
        values = self.processes.from_first(
            lambda: [float(cast(Tensor, each)) for each in load_one_by_one(path, scalars)]
        )
        for each, value in zip(scalars.values(), values, strict=True):
            each.fill_(value)
        self._restore({n: t for n, t in (sharded | scalars).items() if not n.startswith(AVERAGE)})

    def _empty_state(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Room for a tensor of the optimizer, which has the shape of its parameter or none."""
        _, _, parameter_name = name.partition("/")
        parameter = self._parameters.get(parameter_name)
        if parameter is None or shape not in ((), tuple(parameter.shape)):
            expected = {} if parameter is None else {name: tuple(parameter.shape)}
            check_shapes({name: shape}, expected, self.run.path)
        assert parameter is not None
        if shape:
            return torch.zeros_like(parameter.detach())
        return torch.zeros((), device=parameter.device)

    def _restore(self, states: Mapping[str, Tensor]) -> None:
        """Give the optimizer its tensors."""
        parameters = self._parameters
        for full_name, value in states.items():
            key, name = full_name.split("/", 1)
            self.optimizer.state[parameters[name]][key] = value


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a file. Raises InputError if it is missing or damaged."""
    return load_arrays(path)[0].shapes()
