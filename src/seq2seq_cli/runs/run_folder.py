"""The run folder as a whole: create it, clear it, and read and write the model in it."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seq2seq_cli.config.models import ModelConfig, Vocabulary, model_config
from seq2seq_cli.config.settings import with_todays_names
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.messages import Warn
from seq2seq_cli.padding import Ids
from seq2seq_cli.runs.arrays import (
    check_shapes,
    is_never_known,
    label_of,
    load_arrays,
    opened,
    save_arrays,
)
from seq2seq_cli.runs.layout import (
    FINISHED,
    LOCK,
    METRICS,
    PACKED,
    RUN_CONFIG,
    SAVED_WEIGHTS,
    SHORTLIST,
    TENSORBOARD,
    TOKENIZERS,
    TRAINING,
    WANDB,
    WEIGHTS,
)
from seq2seq_cli.runs.lock import locked
from seq2seq_cli.runs.metrics import Metrics
from seq2seq_cli.runs.packed_weights import PackedWeights
from seq2seq_cli.runs.run_config import ConfigFile, RunConfig, RunFacts
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import PIECES
from seq2seq_cli.whole_files import replace_file

if TYPE_CHECKING:
    from torch import Tensor

    from seq2seq_cli.models import TranslationModel
    from seq2seq_cli.runs.checkpoints import Checkpoints
    from seq2seq_cli.runs.saved_weights import SavedWeights


class RunFolder:
    """Reads and writes one run folder; `layout` shows what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = ConfigFile(path)
        self.metrics = Metrics(path / METRICS)
        self.training = path / TRAINING

    @cached_property
    def saved_weights(self) -> "SavedWeights":
        """Weights that training put aside."""
        from seq2seq_cli.runs.saved_weights import SavedWeights

        return SavedWeights(self.training / SAVED_WEIGHTS)

    @cached_property
    def checkpoints(self) -> "Checkpoints":
        """The checkpoints, from which training resumes."""
        from seq2seq_cli.runs.checkpoints import Checkpoints

        return Checkpoints(self.training, self.saved_weights)

    # The folder

    def exists(self) -> bool:
        """Whether a training run began here."""
        return self.config.path.is_file()

    def is_own(self) -> bool:
        """Whether a run, of any version of this program, lies here and may be removed."""
        return self.config.is_of_a_run()

    def is_free(self) -> bool:
        """Whether a run may begin: nothing is here, or only what a run left that was cut short."""
        if not self.path.exists():
            return True
        own = {WEIGHTS, METRICS, SHORTLIST, LOCK, TRAINING, PACKED, TENSORBOARD, WANDB}
        own |= {*TOKENIZERS}
        return (
            self.path.is_dir()
            and not any(path.is_file() for path in self.training.rglob("*"))
            and all(
                entry.name in own or (entry.name.startswith(".") and entry.suffix == ".tmp")
                for entry in self.path.iterdir()
            )
        )

    @contextmanager
    def locked(self, warn: Warn) -> Iterator[None]:
        """Keep other trainings out of the folder, unless it is one that no run may begin in.

        Raises InputError, with who is training, if another process is.
        """
        if not (self.is_own() or self.is_free()):
            yield  # nothing is changed in a folder of something else
            return
        with locked(self.path, warn):
            yield

    def only_translates(self) -> bool:
        """Whether there are weights but no checkpoint: an average, or what was left of a run."""
        return (self.path / WEIGHTS).is_file() and not self.checkpoints.exist()

    def create(self, config: RunConfig, tokenizers: Tokenizers, facts: RunFacts) -> None:
        """Begin a run. The settings, which make it a run folder, are written last."""
        self.path.mkdir(parents=True, exist_ok=True)
        tokenizers.save(self.path)
        self.config.write(config, tokenizers, facts)

    def clear(self) -> None:
        """Remove all that a run wrote here, and nothing else.

        The order allows for a kill at any point: a model never outlives the checkpoint that
        training would resume from, and the file that makes this a run folder goes last.
        """
        self.unfinish()
        (self.path / WEIGHTS).unlink(missing_ok=True)
        folders = (PACKED, TENSORBOARD, WANDB)
        for folder in (self.training, *map(self.path.joinpath, folders)):
            shutil.rmtree(folder, ignore_errors=True)
        for name in (*TOKENIZERS, METRICS, SHORTLIST, RUN_CONFIG):
            (self.path / name).unlink(missing_ok=True)

    # The model

    def load_config(self) -> RunConfig:
        """Read the settings. Raises InputError if this is not a run folder or they are damaged."""
        return self.config.settings()

    def load_tokenizers(self) -> Tokenizers:
        """Read the tokenizers. Raises InputError if one is missing, damaged or another's."""
        return Tokenizers.load(
            self.path, self.config.hashes(), joint=self.config.vocabulary().joint
        )

    def load_plain_model(self) -> PlainModel:
        """Read the settings and weights to translate with; the weights are mapped.

        Raises InputError for a folder that is incomplete, damaged or mismatched.
        """
        return self._load_weights()[0]

    def load_packed_model(self, *, eight_bits: bool) -> PlainModel:
        """As `load_plain_model`, for kernels, with the layers that an earlier start has packed."""
        packed = PackedWeights.of(self.path, eight_bits=eight_bits)
        if packed is None:
            return self.load_plain_model()
        model, sha256 = self._load_weights(packed.are_whole)
        return replace(model, packed=packed.load(sha256), keep=partial(packed.save, sha256))

    def load_model(self) -> "TranslationModel":
        """As `load_plain_model`, as a model in PyTorch, in evaluation mode on the CPU."""
        return self.load_plain_model().in_torch()

    def load_model_and_hash(self) -> "tuple[TranslationModel, str]":
        """As `load_model`, with the SHA-256 of its weights: both of one file, also in training."""
        model, sha256 = self._load_weights()
        return model.in_torch(), sha256

    def weights_hash(self) -> str:
        """The SHA-256 that the weights were saved with. Raises InputError if they are damaged."""
        path = self._weights_path()
        with opened(path, "numpy") as (file, _):
            return str(label_of(file, path)["sha256"])

    def _weights_path(self) -> Path:
        """The file of the weights. Raises InputError if there is none."""
        path = self.path / WEIGHTS
        if not path.is_file():
            raise InputError(
                f"{path} is missing: training here has not reached its first validation yet, "
                "or the file was lost"
            )
        return path

    def _load_weights(
        self, is_known: Callable[[os.stat_result, str], bool] = is_never_known
    ) -> tuple[PlainModel, str]:
        """Read the model and the SHA-256 of its weights; `is_known` as for `load_arrays`."""
        config, vocabulary = self.load_config().model, self.config.vocabulary()
        path = self._weights_path()
        arrays, label = load_arrays(path, is_known)
        check_shapes(arrays.shapes(), weight_shapes(config, vocabulary), path)
        check_trained_settings(config, label, path)
        return PlainModel(config, vocabulary, arrays, arrays.release, arrays.stored), label[
            "sha256"
        ]

    def save_model(self, weights: "Mapping[str, Tensor]") -> None:
        """Replace the weights to translate with, labelled with the settings of the model."""
        from seq2seq_cli.runs.tensors import save_tensors

        save_tensors(self.path / WEIGHTS, weights, dataclasses.asdict(self.load_config().model))

    def save_model_one_by_one(
        self, shapes: Mapping[str, Sequence[int]], tensors: "Iterable[tuple[str, Tensor]]"
    ) -> None:
        """As `save_model`, of tensors that come one after the other, sorted by name."""
        from seq2seq_cli.runs.tensors import save_one_by_one

        settings = dataclasses.asdict(self.load_config().model)
        save_one_by_one(self.path / WEIGHTS, shapes, tensors, settings)

    def save_shortlist(self, translations: Ids, common: Ids) -> None:
        """Write the most likely translations (V, n) of source tokens, and common targets (m,)."""
        save_arrays(self.path / SHORTLIST, {"translations": translations, "common": common})

    def load_shortlist(self, vocabulary: Vocabulary) -> tuple[Ids, Ids]:
        """Read what `save_shortlist` wrote, for these vocabularies.

        Raises InputError if it is missing, damaged or does not fit.
        """
        path = self.path / SHORTLIST
        if not path.is_file():
            raise InputError(
                f"{path} is missing: the run was trained without one; leave out --shortlist"
            )
        arrays, _ = load_arrays(path)
        check_shortlist(arrays, vocabulary, path)
        return arrays["translations"], arrays["common"]

    # The end of training

    def save_finished(self, update: int, reason: str) -> None:
        """Record that training ended."""
        text = json.dumps({"update": update, "reason": reason}, indent=1)
        replace_file(self.training / FINISHED, text.encode())

    def unfinish(self) -> None:
        """Remove the record that training ended: it is resumed."""
        (self.training / FINISHED).unlink(missing_ok=True)

    def finished(self) -> tuple[int, str] | None:
        """The update and the reason with which training ended, or None."""
        try:
            values = json.loads((self.training / FINISHED).read_text(encoding="utf-8"))
            return int(values["update"]), str(values["reason"])
        except (OSError, ValueError, KeyError):
            return None


def check_shortlist(arrays: Mapping[str, Ids], vocabulary: Vocabulary, path: Path) -> None:
    """Raise InputError unless a shortlist has target ids for each source token, all in range."""
    lists = [arrays.get("translations"), arrays.get("common")]
    fits = all(
        each is not None
        and np.issubdtype(each.dtype, np.integer)
        and each.ndim == dimensions
        and np.all((each >= 0) & (each < vocabulary.target))
        for each, dimensions in zip(lists, (2, 1), strict=True)
    )
    fits = fits and len(arrays["translations"]) == vocabulary.source
    if not fits or not np.isin(np.arange(len(PIECES)), arrays["common"]).all():
        raise InputError(f"{path} does not fit the vocabularies of the run; leave out --shortlist")


def check_trained_settings(config: ModelConfig, label: Mapping[str, Any], path: Path) -> None:
    """Raise InputError where config.toml differs from the settings that weights were trained with.

    Shapes do not tell all of them, such as the number of heads. `path` is the file of the weights,
    and its label holds the settings. Those that only training uses may differ.
    """
    try:
        trained = model_config(with_todays_names({"model": label["model"] or {}})["model"])
    except InputError as error:
        raise InputError(f"{path} does not fit config.toml: {error}") from None
    for name, value, given in trained.differences(config):
        raise InputError(
            f"{path} does not fit config.toml: the weights were trained with model.{name} = "
            f"{value!r}, the file says {given!r}; put it back"
        )
