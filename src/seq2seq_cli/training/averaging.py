"""Means of weights: a moving one in training, of those put aside there, and of whole runs."""

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
from seq2seq_cli.runs.layout import SHORTLIST, WEIGHTS
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tensors import load_tensors, read_label

Weights = dict[str, Tensor]


def average(weights: Iterable[Weights]) -> Weights:
    """The mean of weights, tensor by tensor; only two of them are in memory at a time."""
    sums: Weights = {}
    count = 0
    for each in weights:
        count += 1
        for name, tensor in each.items():
            sums[name] = sums[name].add_(tensor) if name in sums else tensor.double()
    return {name: total.div_(count).float() for name, total in sums.items()}


class MovingAverage:
    """An exponential moving average of a model's weights (Polyak and Juditsky 1992).

    After n updates at most n / 10 of them count: the decay begins low and rises to the one wanted
    as (1 + n) / (10 + n), so that it soon forgets the weights of the beginning.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.parameters = dict(model.named_parameters())
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def follow(self, updates: int) -> None:
        """Move towards the model's weights, which have had so many updates."""
        step = 1 - min(self.decay, (1 + updates) / (10 + updates))
        torch._foreach_lerp_(list(self.weights.values()), list(self.parameters.values()), step)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """Put the average into the model for a while; then its own weights return."""
        own = {name: p.detach().clone() for name, p in self.parameters.items()}
        try:
            self._fill(self.weights)
            yield
        finally:
            self._fill(own)

    @torch.no_grad()
    def _fill(self, weights: Mapping[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(weights[name])

    def tensors(self) -> Weights:
        """The average by name, on the CPU."""
        return {name: tensor.cpu() for name, tensor in self.weights.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        for name, tensor in self.weights.items():
            tensor.copy_(tensors[name])


@dataclass(frozen=True)
class Choice:
    """Which of the weights that a run put aside are meant; at most one of these, none means all."""

    last: int = 0
    best: int = 0
    updates: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(
            sum((self.last > 0, self.best > 0, bool(self.updates))) <= 1,
            "--last, --best and --updates exclude each other; give one of them",
        )

    def __bool__(self) -> bool:
        return self != Choice()

    def of(self, run: RunFolder) -> list[int]:
        """The updates chosen, oldest first. Raises InputError for what the run has not."""
        there = run.saved_weights.updates()
        if not there:
            raise InputError(
                f"{run.path} has put no weights aside; training does with training.average = "
                '"best" or "last", as many as training.average_count'
            )
        if self.best:
            value = {
                entry.update: entry.value for entry in run.checkpoints.load_state().saved_weights
            }
            ranked = sorted((u for u in there if u in value), key=lambda u: -value[u])
            return sorted(self._enough(run, ranked, self.best, "validated ")[: self.best])
        if self.last:
            return self._enough(run, there, self.last)[-self.last :]
        missing = [update for update in self.updates if update not in there]
        if missing:
            raise InputError(
                f"{run.path} has no weights of update {missing[0]:,}; those of {_listed(there)} "
                "are there"
            )
        return sorted(set(self.updates)) or there

    @staticmethod
    def _enough(run: RunFolder, found: list[int], wanted: int, kind: str = "") -> list[int]:
        require(
            len(found) >= wanted,
            f"{run.path} has {len(found)} {kind}weights put aside ({_listed(sorted(found))}), "
            f"{wanted} are asked for; training keeps as many as training.average_count",
        )
        return found


def _listed(updates: Sequence[int]) -> str:
    return "updates " + ", ".join(f"{update:,}" for update in updates) if updates else "none"


def average_runs(runs: Sequence[Path], output: Path, choice: Choice) -> list[Path]:
    """Write the mean of weights as a new run folder, which appears when it is whole.

    Of each run the weights chosen that it put aside; without a choice, all of those of a single
    run, and of several runs the weights that they translate with. Returns the files averaged.
    Raises InputError where the models or their vocabularies differ.
    """
    folders = [RunFolder(run) for run in runs]
    for folder in folders:  # the first with itself: so it is one
        check_same_model(folders[0], folder)
    if len(folders) > 1 and not choice:
        files = [folder.path / WEIGHTS for folder in folders]
    else:
        files = [f.saved_weights.path(update) for f in folders for update in choice.of(f)]
    mean = average(_alike(files))
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
    """Two runs that began with other random weights and none with the other's, if there are such.

    A mean of weights that never were the same means nothing.
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
    """Raise InputError, naming the setting, where weights of two runs do not mean the same."""
    model = one.load_config().model
    for name, value, others in model.differences(other.load_config().model):
        raise InputError(
            f"{one.path} and {other.path} are different models: model.{name} is "
            f"{toml_value(value)} and {toml_value(others)}; only equal ones can be averaged"
        )
    require(
        _hashes(one) == _hashes(other),
        f"{one.path} and {other.path} have different tokenizers, so that their embeddings are of "
        "different words; only runs that share theirs can be averaged",
    )


def _hashes(run: RunFolder) -> dict[str, str]:
    return {name: each.sha256 for name, each in run.load_tokenizers().files().items()}


def _alike(files: Sequence[Path]) -> Iterable[Weights]:
    """Read weights one after the other; raises InputError where names or shapes differ."""
    shapes = None
    for file in files:
        weights = load_tensors(file)
        found = {name: tensor.shape for name, tensor in weights.items()}
        require(
            shapes is None or shapes == found,
            f"{file} and {files[0]} hold tensors of different names or shapes",
        )
        shapes = found
        yield weights


def _write(run: RunFolder, like: RunFolder, weights: Weights, files: Sequence[Path]) -> None:
    """A run folder to translate with; metrics.jsonl says what it is the average of."""
    run.create(like.load_config(), like.load_tokenizers())
    run.metrics.append({"kind": "average", "weights": [str(file) for file in files]})
    if (like.path / SHORTLIST).is_file():
        run.save_shortlist(*like.load_shortlist())
    run.save_model(weights)
    run.load_model()  # refuses what would not load
