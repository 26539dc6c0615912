"""Whether a run begins or continues, and its complete configuration, decided in one place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import torch

from seq2seq_cli.config import auto
from seq2seq_cli.config.data import DataConfig, check_language_code
from seq2seq_cli.config.models import check_attends_to_source
from seq2seq_cli.config.settings import Table, require, toml_value
from seq2seq_cli.config.training import BleuTokenizer, TrainingConfig
from seq2seq_cli.data.contents import InputFiles
from seq2seq_cli.data.parallel import marked_languages
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import check_input
from seq2seq_cli.messages import Warn, ignore_warning
from seq2seq_cli.models import Vocabulary, build
from seq2seq_cli.runs.checkpoints import ScheduleEnd, TrainingState
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import PIECES
from seq2seq_cli.text import read_lines
from seq2seq_cli.tokenization.extension import read_pieces
from seq2seq_cli.tokenization.language_tags import language_tag
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.training.fine_tuning import PretrainedRun, extended

# Settings whose files may be elsewhere when a run continues: their content decides.
PATHS = {
    "data": (
        "source",
        "target",
        "valid_source",
        "valid_target",
        "alignments",
        "source_tokenizer",
        "target_tokenizer",
    ),
    "training": ("init_from", "add_pieces"),
}

# Limits that a user may raise to train a finished run further.
LIMITS = ("max_updates", "max_epochs", "max_minutes", "patience", "stop_score")

# Who gets the figures of training, which changes nothing in it.
TRACKERS = ("tensorboard", "wandb")


class AlreadyFinishedError(Exception):
    """The run needs no training: its message says since when."""


@dataclass(frozen=True)
class RunPlan:
    """How a run is to be trained, as far as this is known before its text is read."""

    run: RunFolder
    config: RunConfig  # complete, but for what is chosen by the text, the device, the weights
    is_resumed: bool
    tokenizers: Tokenizers | None  # None if they are to be learned
    pretrained: PretrainedRun | None  # the run whose weights the model begins with
    state: TrainingState | None  # of the checkpoint that training continues from
    schedule_end: ScheduleEnd | None = None  # of a new run, if minutes limit its schedule
    finished: str = ""  # what to say of a run at its end, once its data was compared

    def check_data(self, fingerprint: str, files: InputFiles, warn: Warn) -> None:
        """Compare the data, of this fingerprint, with what training began with.

        Raises InputError if it differs, and AlreadyFinishedError if it does not and the run is at
        its end. Warns if only the later part of a stream has changed.
        """
        if self.state is not None:
            changed = files.changed(self.state.files)
            if self.state.data != fingerprint:
                which = ": what has changed is " + ", ".join(changed) if changed else ""
                raise InputError(
                    f"the data is not what this run began with{which}; give the same files, or "
                    "--restart to begin again"
                )
            if changed and self.config.data.stream:
                warn(
                    f"{', '.join(changed)}: not what this run began with, though its first portion "
                    "is the same; training continues with what it is now"
                )
        if self.finished:
            raise AlreadyFinishedError(self.finished)


def continues(run: RunFolder, *, restart: bool) -> bool:
    """Whether training in this folder continues the run that is there."""
    return run.exists() and not restart


def resolve(config: RunConfig, path: Path, *, restart: bool) -> RunPlan:
    """Decide whether a run begins or continues, and complete its configuration.

    Raises InputError if the folder holds another run or something else, and AlreadyFinishedError
    if the run is at its end.
    """
    run = RunFolder(path)
    config = with_languages(with_form_of_before(config, run, restart=restart))
    plan = (_resumed if continues(run, restart=restart) else _fresh)(config, run)
    if plan.tokenizers is not None:
        check_languages(config, plan.tokenizers)
    return plan


def with_form_of_before(config: RunConfig, run: RunFolder, *, restart: bool) -> RunConfig:
    """The settings with what the run, or the one it begins from, says of EOS and tags.

    A model is read as it was trained. Settings that say something else stay.
    """
    before = None
    if continues(run, restart=restart):
        before = run
    elif config.training.init_from:
        before = RunFolder(Path(config.training.init_from))
    if before is None or not before.exists():
        return config
    data, default = before.load_config().data, DataConfig()
    found = {
        name: getattr(data, name)
        for name in ("source_eos", "source_prefix", "language_tags")
        if getattr(config.data, name) == getattr(default, name)
    }
    return replace(config, data=replace(config.data, **found))


def with_languages(config: RunConfig) -> RunConfig:
    """The settings with the languages that targets are marked with.

    Raises InputError if the validation text is marked otherwise.
    """
    data = config.data
    found, valid = marked_languages(data.target), marked_languages(data.valid_target)
    require(
        set(valid) <= set(found) and bool(valid) == bool(found),
        f"the targets are marked as being in {', '.join(found) or 'no language'}, those of the "
        f"validation text in {', '.join(valid) or 'none'}; mark them alike, as in de=valid.de",
    )
    require(
        not (found and config.data.alignments),
        "data.alignments cannot be used with targets that are marked with their language",
    )
    own: tuple[str, ...] = ()
    if data.language_tags != "source":
        own = marked_languages(data.source, "source")
        _check_both_sides(data, own, found)
        own = (*own, *filter(None, [data.source_language]))
    known = tuple(dict.fromkeys((*config.tokenizer.languages, *found, *own)))
    return replace(config, tokenizer=replace(config.tokenizer, languages=known))


def _check_both_sides(data: DataConfig, own: Sequence[str], into: Sequence[str]) -> None:
    """Raise InputError unless the language of each side is known."""
    shown = f"data.language_tags = {toml_value(data.language_tags)}"
    require(
        bool(into),
        f"{shown} begins targets with the tag of their language; mark them, as in de=train.de",
    )
    valid = marked_languages(data.valid_source, "source")
    require(
        bool(own or data.source_language) and bool(valid or data.source_language),
        f"{shown} needs the language of each source; mark them, as in en=train.en and en=valid.en, "
        "or name it with data.source_language",
    )
    require(
        not own or set(valid) <= {*own, data.source_language},
        f"the sources are marked as being in {', '.join(own)}, those of the validation text in "
        f"{', '.join(valid)}; mark them alike",
    )


def with_batch_tokens(config: RunConfig, tokens: int | Literal["auto"]) -> RunConfig:
    """The settings with this number of tokens in a batch instead of "auto"."""
    return replace(config, training=replace(config.training, batch_tokens=tokens))


def with_bleu_tokenizer(config: RunConfig, name: BleuTokenizer) -> RunConfig:
    """The settings with this tokenizer of validation's BLEU instead of "auto"."""
    return replace(config, training=replace(config.training, bleu_tokenize=name))


def with_pretrained_hash(config: RunConfig, sha256: str) -> RunConfig:
    """The settings with the hash of the weights that training begins with."""
    return replace(config, training=replace(config.training, init_sha256=sha256))


def check_languages(config: RunConfig, tokenizers: Tokenizers) -> None:
    """Raise InputError if a tokenizer lacks the tag of a language that its side has."""
    data, own = config.data, config.tokenizer.languages
    into: tuple[str, ...] = ()
    if data.language_tags != "source":
        into = marked_languages(data.target)
        own = (*marked_languages(data.source, "source"), *filter(None, [data.source_language]))
    for side, languages, tokenizer in (
        ("source", own, tokenizers.source),
        ("target", into, tokenizers.target),
    ):
        for language in languages:
            require(
                language in tokenizer.tags,
                f"the {side} tokenizer has no symbol {language_tag(language)}; learn one with "
                f"`seq2seq tokenizer train --language {language}`, add it to a pretrained run with "
                f"--add-language {language}, or give none",
            )


# A run that begins


def _fresh(config: RunConfig, run: RunFolder) -> RunPlan:
    # Of new runs alone, since those of before may have anything.
    language = config.data.source_language
    check_language_code(language, f"data.source_language = {toml_value(language)}")
    pretrained = _pretrained(config, run)
    tokenizers = given_tokenizers(config)
    check_model(config, tokenizers)
    require(
        run.is_own() if run.exists() else run.is_free(),
        f"{run.path} exists and is not a run folder; choose another --output (nothing was changed)",
    )
    return RunPlan(run, config, False, tokenizers, pretrained, state=None)


def _pretrained(config: RunConfig, run: RunFolder) -> PretrainedRun | None:
    """The run that training begins from. Raises InputError if its weights are not those named."""
    training = config.training
    if not training.init_from:
        return None
    pretrained = PretrainedRun.at(training.init_from, run.path)
    pretrained.check(training.init_sha256, pretrained.sha256)
    return pretrained


def given_tokenizers(config: RunConfig) -> Tokenizers | None:
    """The tokenizers that the settings name, or those of the pretrained run, or None."""
    data = config.data
    if data.source_tokenizer:
        source = Tokenizer.load(Path(data.source_tokenizer))
        if data.target_tokenizer == data.source_tokenizer:
            return Tokenizers(source, source)
        target = Tokenizer.load(Path(data.target_tokenizer))
        before = _pretrained_tokenizers(config)
        if before is not None and before.is_joint and before.are(source, target):
            return before
        return Tokenizers(source, target)
    before, training = _pretrained_tokenizers(config), config.training
    return before and extended(before, added_pieces(training), training.add_languages)


def _pretrained_tokenizers(config: RunConfig) -> Tokenizers | None:
    if not config.training.init_from:
        return None
    return RunFolder(Path(config.training.init_from)).load_tokenizers()


def added_pieces(training: TrainingConfig) -> list[str]:
    """The pieces of training.add_pieces. Raises InputError for a file that cannot be used."""
    if not training.add_pieces:
        return []
    path = Path(training.add_pieces)
    check_input(path)
    return read_pieces(list(read_lines(path, ignore_warning)), str(path))


def check_model(config: RunConfig, tokenizers: Tokenizers | None) -> None:
    """Raise InputError if the model lacks a component to freeze, or the attention to guide."""
    training = config.training
    if not (training.freeze or training.guided_alignment):
        return
    joint = tokenizers.vocabulary.joint if tokenizers else config.data.joint_vocabulary
    with torch.device("meta"):  # without weights, and without drawing any
        model = build(config.model, Vocabulary(len(PIECES), len(PIECES), joint))
    model.freeze(training.freeze)
    if training.guided_alignment:
        guided = f"training.guided_alignment = {training.guided_alignment}"
        check_attends_to_source(model.config, guided)


# A run that continues


def _with_automatic_tokenizer_settings(config: RunConfig, old: RunConfig) -> RunConfig:
    """The settings with what "auto" was for the tokenizer that a run has."""
    before = {
        each.name: getattr(old.tokenizer, each.name)
        for each in fields(config.tokenizer)
        if getattr(config.tokenizer, each.name) == "auto"
    }
    return replace(config, tokenizer=replace(config.tokenizer, **before))


def _resumed(config: RunConfig, run: RunFolder) -> RunPlan:
    old = run.load_config()
    config = with_settings_of(old, config)
    if config.training.batch_tokens == "auto":
        config = with_batch_tokens(config, old.training.batch_tokens)
    config = _with_automatic_tokenizer_settings(config, old)
    if config.training.bleu_tokenize == "auto":
        config = with_bleu_tokenizer(config, old.training.bleu_tokenize)
    if config.training.init_from and not config.training.init_sha256:
        config = with_pretrained_hash(config, old.training.init_sha256)
    require(
        not run.only_translates(),
        f"{run.path} holds a model but no checkpoint to continue from; choose another --output, "
        "or --restart to begin again",
    )
    state = run.checkpoints.load_state() if run.checkpoints.exist() else None
    check_settings(old, config, run.path, paths_may_differ=state is not None)
    tokenizers = run.load_tokenizers()
    check_moved_files(old, config, run, tokenizers)
    finished = run.finished()
    message = ""
    if finished and not raises_limit(old.training, config.training):
        update, reason = finished
        message = (
            f"{run.path} is finished since update {update:,}: {reason}. Raise a limit to train "
            "further, or --restart to begin again"
        )
        if paths_of(old) == paths_of(config):
            raise AlreadyFinishedError(message)
    pretrained = _pretrained(config, run) if state is None else None
    return RunPlan(run, config, True, tokenizers, pretrained, state, finished=message)


def with_settings_of(old: RunConfig, new: RunConfig) -> RunConfig:
    """The settings with what the preset auto once chose for those that it leaves open.

    training.max_updates stays open if a limit has changed beside which it was chosen.
    """
    tables, chosen = old.tables(), dict[str, Table]()
    for name in new.open_settings:
        section, _, key = name.partition(".")
        if key in tables[section]:
            chosen.setdefault(section, {})[key] = tables[section][key]
    before, now = old.training, new.training
    is_laid_anew = before.schedule == "linear" and (
        (before.max_epochs, before.max_minutes) != (now.max_epochs, now.max_minutes)
    )
    left_open = new.open_settings & (auto.LENGTH if is_laid_anew else frozenset())
    return replace(new.with_chosen(chosen), open_settings=left_open)


def paths_of(config: RunConfig) -> list[object]:
    """The values of all settings that name files which may have moved."""
    tables = config.tables()
    return [tables[section][key] for section, keys in PATHS.items() for key in keys]


def check_moved_files(
    old: RunConfig, new: RunConfig, run: RunFolder, tokenizers: Tokenizers
) -> None:
    """Raise InputError if a tokenizer or a pretrained run is elsewhere and is another one.

    Text is compared when it has been read. What is where it was is not read, and need not be there.
    """
    for side, own in (("source", tokenizers.source), ("target", tokenizers.target)):
        name = f"{side}_tokenizer"
        path = getattr(new.data, name)
        require(
            path == getattr(old.data, name) or Tokenizer.load(Path(path)).sha256 == own.sha256,
            f"data.{name} = {toml_value(path)} is not the tokenizer that {run.path} began with; "
            "give the same one, another --output, or --restart to begin again",
        )
    path = new.training.add_pieces
    require(
        path == old.training.add_pieces
        or set(added_pieces(new.training)) <= set(tokenizers.target.vocabulary),
        f"training.add_pieces = {toml_value(path)} has other pieces than {run.path} began with; "
        "give the same file, another --output, or --restart to begin again",
    )
    path, hash_of_old = new.training.init_from, old.training.init_sha256
    require(
        path == old.training.init_from or PretrainedRun.at(path, run.path).sha256 == hash_of_old,
        f"training.init_from = {toml_value(path)} does not hold the weights that {run.path} began "
        "with; give the same run, another --output, or --restart to begin again",
    )


def check_settings(
    old: RunConfig, new: RunConfig, path: Path, *, paths_may_differ: bool = False
) -> None:
    """Raise InputError with the differences if a run would continue with other settings.

    Files may be elsewhere if `paths_may_differ`; that there are such files may not change.
    """
    old_tables, new_tables = old.tables(), new.tables()
    differences = []
    for section, table in new_tables.items():
        for key, value in table.items():
            before = old_tables[section].get(key)
            if paths_may_differ and key in PATHS.get(section, ()) and before and value:
                continue
            # Neither changes the training, but for rounding.
            if section == "training" and (key == "shard" or key in TRACKERS):
                continue
            limit = section == "training" and key in LIMITS
            if limit and not (key == "max_updates" and new.training.schedule == "cosine"):
                continue
            if before != value:
                differences.append(
                    f"  {section}.{key}: {toml_value(before)} before, {toml_value(value)} now"
                )
    if differences:
        listing = "\n".join(differences)
        raise InputError(
            f"{path} began with other settings:\n{listing}\n"
            "Give the same ones to continue, another --output, or --restart to begin again"
        )


def raises_limit(old: TrainingConfig, new: TrainingConfig) -> bool:
    """Whether a limit lets training go further than before."""
    return any(_limit(new, name) > _limit(old, name) for name in LIMITS)


def _limit(config: TrainingConfig, name: str) -> float:
    """A limit as a number that grows with it; 0 is no limit."""
    value: float = getattr(config, name)
    is_loss = name == "stop_score" and config.stop_metric == "loss"
    return (-value if is_loss else value) if value else math.inf
