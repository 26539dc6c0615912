"""The run folder: everything a trained model is, and all that training needs to go on.

    RUN/
      config.toml             effective settings, vocabulary sizes, hashes of the tokenizers
      tokenizer.model         or source.model and target.model
      model.safetensors       the weights to translate with
      metrics.jsonl           a line for each report of training
      shortlist.safetensors   the likeliest translations of each source token
      training/
        update-00001000/      the last checkpoint: weights, optimizer, random and loop state
        weights/              weights that may yet be averaged
        finished.json         why and when training ended

Nothing is pickled, so reading a stranger's folder runs none of his code. A file or checkpoint
directory appears in one step (temporary name, fsync, rename): a kill leaves the old or the new.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from seq2seq_cli.config.settings import (
    RUN_CONFIG,
    DataConfig,
    Table,
    TrainingConfig,
    check_run_folder,
    check_sections,
    parse_toml,
    require,
    settings_from,
    to_toml,
)
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.models import ModelConfig, TranslationModel, Vocabulary, build, model_config
from seq2seq_cli.text import replace_file, sync_directory
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.tokenization.settings import TokenizerSettings

WEIGHTS = "model.safetensors"
METRICS = "metrics.jsonl"
SHORTLIST = "shortlist.safetensors"
TOKENIZERS = ("tokenizer.model", "source.model", "target.model")
TRAINING = "training"
LABEL = "seq2seq"  # the one metadata entry of our safetensors files, JSON
SECTIONS = ("data", "tokenizer", "model", "training")


@dataclass(frozen=True)
class RunConfig:
    """The settings of a run: what the user chose, with all defaults filled in."""

    data: DataConfig
    tokenizer: TokenizerSettings
    model: ModelConfig
    training: TrainingConfig

    def __post_init__(self) -> None:
        dropouts = ", ".join(f"model.{name}" for name in self.model.DROPOUTS)
        require(
            not self.training.r_drop or self.model.drops or self.training.word_dropout > 0,
            f"training.r_drop = {self.training.r_drop} draws two passes together that drop other "
            f"things, and nothing is dropped; set one of {dropouts} and training.word_dropout "
            "above 0",
        )
        require(
            bool(self.training.guided_alignment) == bool(self.data.alignments),
            "training.guided_alignment, a weight above 0, and data.alignments, files in Pharaoh "
            "format, belong together: give both or none",
        )

    @classmethod
    def from_tables(cls, tables: Mapping[str, Table]) -> "RunConfig":
        """Read the four sections. Raises InputError for what is unknown or does not fit."""
        check_sections(tables, SECTIONS)
        return cls(
            data=settings_from(DataConfig, "data", tables.get("data", {})),
            tokenizer=settings_from(TokenizerSettings, "tokenizer", tables.get("tokenizer", {})),
            model=model_config(tables.get("model", {})),
            training=settings_from(TrainingConfig, "training", tables.get("training", {})),
        )

    def tables(self) -> dict[str, Table]:
        """The settings as the sections of a TOML file."""
        return {section: dataclasses.asdict(getattr(self, section)) for section in SECTIONS}


@dataclass(frozen=True)
class Tokenizers:
    """The tokenizer of each side; a joint vocabulary is one object on both."""

    source: Tokenizer
    target: Tokenizer

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(len(self.source), len(self.target), self.source is self.target)

    def files(self) -> dict[str, Tokenizer]:
        """File name in the run folder -> tokenizer."""
        if self.source is self.target:
            return {"tokenizer.model": self.source}
        return {"source.model": self.source, "target.model": self.target}


@dataclass(frozen=True)
class Validated:
    """Weights that were validated after this update: the value of the stop metric, and the loss."""

    update: int
    value: float
    loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Greater is better. The loss decides between equals, as while BLEU is still 0."""
        return self.value, -self.loss


@dataclass
class Window:
    """Sums over the updates since the last report."""

    loss: float = 0.0
    tokens: int = 0
    seconds: float = 0.0


@dataclass
class TrainingState:
    """Where training stands: together with weights, optimizer and random state, all of it."""

    data: str = ""  # fingerprint of all tokenised pairs
    update: int = 0
    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    seconds: float = 0.0  # of training, over all sittings
    target_tokens: int = 0  # predicted so far
    validated: int = 0  # the last update that was validated
    best: Validated | None = None
    without_better: int = 0  # validations since the best one
    best_bleu: float | None = None  # to show, whatever the stop metric is
    kept: list[Validated] = field(default_factory=list)  # whose weights are in training/weights
    snapshots: list[int] = field(default_factory=list)  # updates of other weights there
    window: Window = field(default_factory=Window)
    train_loss: float | None = None  # of the last report

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "TrainingState":
        values = json.loads(text)
        best = values.pop("best")
        kept = [Validated(**entry) for entry in values.pop("kept")]
        window = Window(**values.pop("window", {}))
        return cls(best=Validated(**best) if best else None, kept=kept, window=window, **values)


@dataclass(frozen=True)
class Checkpoint:
    """What one checkpoint directory holds."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]  # also random states, as random/…, a moving average, as average/…
    state: TrainingState


def weights_of(model: TranslationModel) -> dict[str, Tensor]:
    """The weights by name, each shared one once."""
    return {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and bytes of tensors."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        sha.update(name.encode())
        sha.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], settings: Table | None = None) -> None:
    """Write tensors in one step, with their hash and the model's settings, if given, as a label."""
    # One label, not two: safetensors writes them in random order, and runs are to be alike.
    label = json.dumps({"sha256": digest(tensors), "model": settings})
    replace_file(path, safetensors_bytes(dict(tensors), metadata={LABEL: label}))


def read_label(path: Path) -> Table:
    """What `save_tensors` noted beside the tensors. Raises InputError if it is another's file."""
    try:
        with safe_open(path, framework="pt") as file:
            label = json.loads((file.metadata() or {})[LABEL])
        return {"sha256": str(label["sha256"]), "model": label["model"]}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path} carries no hash of its weights; it was written by another program"
        ) from None


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors. Raises InputError if the file is missing, damaged or not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        expected = read_label(path)["sha256"]
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if digest(tensors) != expected:
        raise InputError(f"{path} is damaged: its weights do not have the hash it was saved with")
    return tensors


def load_weights(model: TranslationModel, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a model. Raises InputError where a name or a shape does not fit."""
    parameters = dict(model.named_parameters())
    for name in sorted(parameters.keys() ^ tensors.keys()):
        fault = "lacks" if name in parameters else "has an unknown"
        raise InputError(f"{path} does not fit config.toml: it {fault} tensor {name}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != tensors[name].shape:
                raise InputError(
                    f"{path} does not fit config.toml: {name} is {list(tensors[name].shape)}, "
                    f"{list(parameter.shape)} by the settings"
                )
            parameter.copy_(tensors[name])


def refuse_other_settings(config: ModelConfig, path: Path) -> None:
    """Raise InputError where config.toml has other settings than the weights were trained with.

    Such as the number of heads, which no shape tells. What only training uses may differ.
    """
    try:
        trained = model_config(read_label(path)["model"] or {})
    except InputError as error:
        raise InputError(f"{path} does not fit config.toml: {error}") from None
    for name, value, given in trained.differences(config):
        raise InputError(
            f"{path} does not fit config.toml: the weights were trained with model.{name} = "
            f"{value!r}, the file says {given!r}; put it back"
        )


class RunFolder:
    """Reads and writes one run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.training = path / TRAINING
        self.kept = self.training / "weights"

    # What translating needs

    def exists(self) -> bool:
        """Whether a training run began here."""
        return (self.path / RUN_CONFIG).is_file()

    def is_own(self) -> bool:
        """Whether the settings here are a run's, of any version, and may be removed."""
        try:
            tables = parse_toml((self.path / RUN_CONFIG).read_text(encoding="utf-8"), RUN_CONFIG)
        except (OSError, UnicodeDecodeError, InputError):
            return False
        return {"model", "training", "sha256"} <= tables.keys()

    def is_free(self) -> bool:
        """Whether a run may begin here: nothing is there, or what a run cut off at once left."""
        if not self.path.exists():
            return True
        own = {WEIGHTS, METRICS, SHORTLIST, TRAINING, *TOKENIZERS}
        return (
            self.path.is_dir()
            and not any(path.is_file() for path in self.training.rglob("*"))
            and all(
                entry.name in own or (entry.name.startswith(".") and entry.suffix == ".tmp")
                for entry in self.path.iterdir()
            )
        )

    def create(self, config: RunConfig, tokenizers: Tokenizers) -> None:
        """Begin a run: tokenizers first, the settings, which make it a run folder, last."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name, tokenizer in tokenizers.files().items():
            replace_file(self.path / name, tokenizer.model)
        self.save_config(config, tokenizers)

    def clear(self) -> None:
        """Remove all that a run wrote here, and nothing else.

        In an order that a kill may cut short: a model never outlives the checkpoint that it goes
        on from, and what makes the folder a run goes last.
        """
        self.unfinish()
        (self.path / WEIGHTS).unlink(missing_ok=True)
        shutil.rmtree(self.training, ignore_errors=True)
        for name in (*TOKENIZERS, METRICS, SHORTLIST, RUN_CONFIG):
            (self.path / name).unlink(missing_ok=True)

    def save_shortlist(self, translations: Tensor, common: Tensor) -> None:
        """Write the likeliest translations (V, n) of source tokens, and the common targets (m,)."""
        save_tensors(self.path / SHORTLIST, {"translations": translations, "common": common})

    def load_shortlist(self) -> tuple[Tensor, Tensor]:
        """What `save_shortlist` wrote. Raises InputError if it is missing or damaged."""
        path = self.path / SHORTLIST
        if not path.is_file():
            raise InputError(
                f"{path} is missing: the run was trained without one; leave out --shortlist"
            )
        tensors = load_tensors(path)
        return tensors["translations"], tensors["common"]

    def save_config(self, config: RunConfig, tokenizers: Tokenizers) -> None:
        """Write the settings and what the model carries of its tokenizers."""
        vocabulary = dataclasses.asdict(tokenizers.vocabulary)
        hashes = {name: tokenizer.sha256 for name, tokenizer in tokenizers.files().items()}
        text = to_toml({**config.tables(), "vocabulary": vocabulary, "sha256": _quoted(hashes)})
        replace_file(self.path / RUN_CONFIG, text.encode())

    def load_config(self) -> RunConfig:
        """The settings. Raises InputError if this is no run folder or they are damaged."""
        tables = self._config_tables()
        with self._config_named():
            return RunConfig.from_tables({name: tables[name] for name in SECTIONS})

    @contextmanager
    def _config_named(self) -> Iterator[None]:
        """Name the file in errors about its settings."""
        try:
            yield
        except InputError as error:
            raise InputError(f"{self.path / RUN_CONFIG}: {error}") from None

    def _config_tables(self) -> dict[str, Table]:
        check_run_folder(self.path)
        path = self.path / RUN_CONFIG
        try:
            tables = parse_toml(path.read_text(encoding="utf-8"), str(path))
        except UnicodeDecodeError:
            raise InputError(f"{path} is damaged: it is no UTF-8 text") from None
        sections = (*SECTIONS, "vocabulary", "sha256")
        with self._config_named():
            check_sections(tables, sections)
            for section in sections:
                require(section in tables, f"its section [{section}] is missing")
        return tables

    def load_tokenizers(self) -> Tokenizers:
        """The tokenizers. Raises InputError if one is missing, damaged or not the run's own."""
        hashes = self._config_tables()["sha256"]
        if set(hashes) not in ({"tokenizer.model"}, {"source.model", "target.model"}):
            raise InputError(
                f"{self.path / RUN_CONFIG} is damaged: its section [sha256] is incomplete"
            )
        loaded = {}
        for name, expected in hashes.items():
            path = self.path / name
            loaded[name] = Tokenizer.load(path)
            if loaded[name].sha256 != expected:
                raise InputError(f"{path} is not the tokenizer that this model was trained with")
        if "tokenizer.model" in loaded:
            return Tokenizers(loaded["tokenizer.model"], loaded["tokenizer.model"])
        return Tokenizers(loaded["source.model"], loaded["target.model"])

    def load_model(self) -> TranslationModel:
        """The model to translate with, in evaluation mode on the CPU.

        Raises InputError for a folder that is incomplete, damaged or mismatched.
        """
        config = self.load_config()
        table = self._config_tables()["vocabulary"]
        with self._config_named():
            for key in ("source", "target", "joint"):
                require(key in table, f"vocabulary.{key} is missing")
            model = build(config.model, settings_from(Vocabulary, "vocabulary", table))
        path = self.path / WEIGHTS
        if not path.is_file():
            raise InputError(
                f"{path} is missing: training here has not come to its first validation yet, "
                "or the file was lost"
            )
        load_weights(model, load_tensors(path), path)
        refuse_other_settings(config.model, path)
        return model.eval()

    def save_model(self, weights: Mapping[str, Tensor]) -> None:
        """Replace the weights to translate with; they carry the settings they belong to."""
        save_tensors(self.path / WEIGHTS, weights, dataclasses.asdict(self.load_config().model))

    # What training needs

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove the one before and the weights it no longer keeps."""
        final = self._checkpoint_path(checkpoint.state.update)
        temporary = self.training / f".{final.name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            save_tensors(temporary / "weights.safetensors", checkpoint.weights)
            save_tensors(temporary / "optimizer.safetensors", checkpoint.optimizer)
            replace_file(temporary / "state.json", checkpoint.state.to_json().encode())
            temporary.rename(final)
            sync_directory(self.training)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self._remove_stale(checkpoint.state)

    def _checkpoint_path(self, update: int) -> Path:
        return self.training / f"update-{update:08d}"

    def _remove_stale(self, state: TrainingState) -> None:
        current = self._checkpoint_path(state.update)
        for pattern in ("update-*", ".update-*"):
            for path in self.training.glob(pattern):
                if path != current:
                    shutil.rmtree(path, ignore_errors=True)
        updates = {*state.snapshots, *(entry.update for entry in state.kept)}
        wanted = {self.kept_path(update) for update in updates}
        for path in self.kept.glob("*"):
            if path not in wanted:
                path.unlink(missing_ok=True)

    def has_checkpoint(self) -> bool:
        """Whether there is one to go on from."""
        return any(self.training.glob("update-*"))

    def only_translates(self) -> bool:
        """Whether there are weights but no checkpoint: an average, or what was left of a run."""
        return (self.path / WEIGHTS).is_file() and not self.has_checkpoint()

    def load_state(self) -> TrainingState:
        """Where training stands here. Raises InputError without a whole checkpoint."""
        found = sorted(self.training.glob("update-*"))
        if not found:
            raise InputError(f"{self.training} holds no checkpoint; it was lost or removed")
        return self._read_state(found[-1])

    @staticmethod
    def _read_state(checkpoint: Path) -> TrainingState:
        path = checkpoint / "state.json"
        try:
            return TrainingState.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}); --restart begins anew") from None

    def load_checkpoint(self) -> Checkpoint | None:
        """The last checkpoint, or None. Raises InputError if it is damaged."""
        found = sorted(self.training.glob("update-*"))
        if not found:
            return None
        path = found[-1]
        state = self._read_state(path)
        checkpoint = Checkpoint(
            weights=load_tensors(path / "weights.safetensors"),
            optimizer=load_tensors(path / "optimizer.safetensors"),
            state=state,
        )
        self._remove_stale(state)  # which a kill after the last rename left
        return checkpoint

    def keep_weights(self, update: int, weights: Mapping[str, Tensor]) -> None:
        """Put weights aside, to be averaged."""
        self.kept.mkdir(parents=True, exist_ok=True)
        save_tensors(self.kept_path(update), weights)

    def kept_weights(self, update: int) -> dict[str, Tensor]:
        """Weights that were put aside."""
        return load_tensors(self.kept_path(update))

    def kept_updates(self) -> list[int]:
        """The updates whose weights were put aside, oldest first."""
        names = [
            path.stem.removeprefix("update-") for path in self.kept.glob("update-*.safetensors")
        ]
        return sorted(int(name) for name in names if name.isdecimal())

    def kept_path(self, update: int) -> Path:
        """Where the weights of an update are put aside."""
        return self.kept / f"update-{update:08d}.safetensors"

    # What is told

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        with (self.path / METRICS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")

    def truncate_metrics(self, state: TrainingState | None) -> None:
        """Drop half lines, and those of updates and validations that will be done again."""
        done = {"training": state.update, "validation": state.validated} if state else {}
        path = self.path / METRICS
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").split("\n"):
            try:
                record = json.loads(line)
                if record["update"] <= done.get(record["kind"], -1):
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue
        replace_file(path, "".join(f"{line}\n" for line in kept).encode())

    def validation_losses(self) -> list[tuple[int, float]]:
        """Update and loss of each validation in metrics.jsonl, which has no half lines."""
        path = self.path / METRICS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        records = map(json.loads, lines)
        return [(r["update"], r["loss"]) for r in records if r["kind"] == "validation"]

    def save_finished(self, update: int, reason: str) -> None:
        """Note that training came to its end."""
        text = json.dumps({"update": update, "reason": reason}, indent=1)
        replace_file(self.training / "finished.json", text.encode())

    def unfinish(self) -> None:
        """Forget that training came to its end: it goes on."""
        (self.training / "finished.json").unlink(missing_ok=True)

    def finished(self) -> tuple[int, str] | None:
        """The update and the reason with which training ended, or None."""
        try:
            values = json.loads((self.training / "finished.json").read_text(encoding="utf-8"))
            return int(values["update"]), str(values["reason"])
        except (OSError, ValueError, KeyError):
            return None


def _quoted(table: Mapping[str, str]) -> dict[str, str]:
    """File names as TOML keys: they hold a dot."""
    return {f'"{name}"': value for name, value in table.items()}


def disk_error(error: OSError, state: TrainingState | None) -> Seq2seqError:
    """A failed write as the user should read it."""
    last = f"the checkpoint of update {state.update:,} is whole; " if state else ""
    return Seq2seqError(
        f"cannot write to the run folder: {error.strerror or error}; {last}make room and run the "
        "same command again to go on"
    )
