"""Averages of weights: a moving average in training, of saved weights, and of whole runs."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor, nn

from seq2seq_cli.config.settings import require, toml_value
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import counted
from seq2seq_cli.models.shards import own_shard
from seq2seq_cli.runs.layout import SHORTLIST, WEIGHTS
from seq2seq_cli.runs.lock import holder
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tensors import load_tensors, read_label

Weights = dict[str, Tensor]


def average(weights: Iterable[Weights]) -> Weights:
    """The mean of weights, tensor by tensor, on the CPU: it is summed in float64, which MPS lacks.

    In memory are the sums and one set of weights, no more.
    """
    sums: Weights = {}
    count = 0
    for each in weights:
        count += 1
        for name, tensor in each.items():
            sums[name] = sums[name].add_(tensor.cpu()) if name in sums else tensor.cpu().double()
        del each, tensor  # before the next set is read
    return {name: sums.pop(name).div_(count).float() for name in list(sums)}


class MovingAverage:
    """An exponential moving average of a model's weights (Polyak and Juditsky 1992).

    The decay begins low and rises as (1 + n) / (10 + n), n being the number of updates, until it
    reaches `decay`; so the average soon forgets the first weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.parameters = dict(model.named_parameters())
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def follow(self, updates: int) -> None:
        """Move towards the model's weights after this number of updates."""
        step = 1 - min(self.decay, (1 + updates) / (10 + updates))
        averages, weights = (
            [own_shard(each) for each in tensors.values()]
            for tensors in (self.weights, self.parameters)
        )
        torch._foreach_lerp_(averages, weights, step)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """Let the model have the average in this block; then its own weights return."""
        own = {name: own_shard(p).clone() for name, p in self.parameters.items()}
        try:
            self._fill(self.weights)
            yield
        finally:
            self._fill(own)

    @torch.no_grad()
    def _fill(self, weights: Mapping[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            own_shard(parameter).copy_(own_shard(weights[name]))

    def tensors(self) -> Weights:
        """The average by name, on the CPU; of a sharded model, its shards."""
        return {name: own_shard(tensor).cpu() for name, tensor in self.weights.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
        for name, tensor in self.weights.items():
            tensor.copy_(tensors[name])


@dataclass(frozen=True)
class Selection:
    """Which of a run's saved weights are averaged: at most one of these is set, none means all."""

    last: int = 0
    best: int = 0
    updates: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(
            sum((self.last > 0, self.best > 0, bool(self.updates))) <= 1,
            "--last, --best and --updates exclude each other; give one of them",
        )

    def __bool__(self) -> bool:
        return self != Selection()

    def of(self, run: RunFolder) -> list[int]:
        """The selected updates, oldest first. Raises InputError if the run lacks one."""
        saved = run.saved_weights.updates()
        if not saved:
            raise InputError(
                f"{run.path} has no saved weights to average; training saves as many as "
                'training.average_count with training.average = "best" or "last"'
            )
        if self.best:
            value = {
                entry.update: entry.value for entry in run.checkpoints.load_state().saved_weights
            }
            ranked = sorted((u for u in saved if u in value), key=lambda u: -value[u])
            return sorted(self._enough(run, ranked, self.best, "validated ")[: self.best])
        if self.last:
            return self._enough(run, saved, self.last)[-self.last :]
        missing = [update for update in self.updates if update not in saved]
        if missing:
            raise InputError(
                f"{run.path} has no saved weights of update {missing[0]:,}, but those of "
                f"{_listed(saved)}"
            )
        return sorted(set(self.updates)) or saved

    @staticmethod
    def _enough(run: RunFolder, found: list[int], wanted: int, kind: str = "") -> list[int]:
        require(
            len(found) >= wanted,
            f"{run.path} has {counted(len(found), 'set')} of saved {kind}weights "
            f"({_listed(sorted(found))}), but {wanted} were asked for; training saves as many as "
            "training.average_count",
        )
        return found


def _listed(updates: Sequence[int]) -> str:
    return "updates " + ", ".join(f"{update:,}" for update in updates) if updates else "none"


def average_runs(runs: Sequence[Path], output: Path, selection: Selection) -> list[Path]:
    """Write the mean of weights as a new run folder, which appears when it is complete.

    Averages the selected saved weights of each run. Without a selection, averages all saved weights
    of a single run, or the weights that several runs translate with. Returns the averaged files.
    Raises InputError if the models or their vocabularies differ.
    """
    folders = [RunFolder(run) for run in runs]
    for folder in folders:  # the first with itself too: it must be a run
        check_same_model(folders[0], folder)
    if len(folders) > 1 and not selection:
        files = [folder.path / WEIGHTS for folder in folders]
    else:
        files = [f.saved_weights.path(update) for f in folders for update in selection.of(f)]
    mean = average(_with_same_shapes(files))
    temporary = output.absolute().with_name(f".{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        _write(RunFolder(temporary), folders[0], mean, files)
        temporary.rename(output)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return files


def began_apart(runs: Sequence[Path]) -> tuple[Path, Path] | None:
    """Two runs that began with different random weights, neither with those of the other, or None.

    The mean of weights that were never the same is not a useful model.
    """
    folders = [RunFolder(run) for run in runs]
    for one, other in combinations(folders, 2):
        first, second = one.load_config().training, other.load_config().training
        origins = [each.init_sha256 or f"seed {each.seed}" for each in (first, second)]
        files = [each.path / WEIGHTS for each in (one, other)]
        weights = [read_label(file)["sha256"] for file in files if file.is_file()]
        if origins[0] != origins[1] and not set(origins) & set(weights):
            return one.path, other.path
    return None


def check_same_model(one: RunFolder, other: RunFolder) -> None:
    """Raise InputError, naming the setting, if two runs hold different models."""
    model = one.load_config().model
    for name, value, others in model.differences(other.load_config().model):
        raise InputError(
            f"{one.path} and {other.path} are different models: model.{name} is "
            f"{toml_value(value)} and {toml_value(others)}; only equal ones can be averaged"
        )
    require(
        _hashes(one) == _hashes(other),
        f"{one.path} and {other.path} have different tokenizers, so that their embeddings are for "
        "different words; only runs that share theirs can be averaged",
    )


def _hashes(run: RunFolder) -> dict[str, str]:
    return {name: each.sha256 for name, each in run.load_tokenizers().files().items()}


def _load_while_training_goes_on(file: Path) -> Weights:
    """Read weights. Raises InputError that says so if a training has removed them meanwhile."""
    try:
        return load_tensors(file)
    except InputError:
        who = holder(file.parents[2])  # RUN/training/weights/FILE
        if who is None or file.exists():
            raise
        raise InputError(
            f"{file} is not needed any more by the training of {who} and was removed; give the "
            "command again, or wait for the end of training"
        ) from None


def _with_same_shapes(files: Sequence[Path]) -> Iterable[Weights]:
    """Read weights one file after the other; raises InputError if names or shapes differ."""
    shapes = None
    for file in files:
        weights = _load_while_training_goes_on(file)
        found = {name: tensor.shape for name, tensor in weights.items()}
        require(
            shapes is None or shapes == found,
            f"{file} and {files[0]} hold tensors of different names or shapes",
        )
        shapes = found
        yield weights


def _write(run: RunFolder, like: RunFolder, weights: Weights, files: Sequence[Path]) -> None:
    """Write a run folder to translate with; metrics.jsonl names the averaged files."""
    run.create(like.load_config(), like.load_tokenizers(), like.config.facts())
    run.metrics.append({"kind": "average", "weights": [str(file) for file in files]})
    if (like.path / SHORTLIST).is_file():
        run.save_shortlist(*like.load_shortlist(like.config.vocabulary()))
    run.save_model(weights)
    run.load_model()  # raises InputError if it cannot be loaded
