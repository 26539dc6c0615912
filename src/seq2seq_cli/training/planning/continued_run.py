"""The plan of a run that continues, and whether its settings and files are those it began with."""

import math
from dataclasses import fields, replace
from pathlib import Path

from seq2seq_cli.config import auto
from seq2seq_cli.config.settings import Table, require, toml_value
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.training.fine_tuning import PretrainedRun
from seq2seq_cli.training.planning.new_run import added_pieces, pretrained_run
from seq2seq_cli.training.planning.run_plan import (
    AlreadyFinishedError,
    RunPlan,
    with_batch_tokens,
    with_bleu_tokenizer,
    with_pretrained_hash,
)

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


def plan_continued_run(config: RunConfig, run: RunFolder) -> RunPlan:
    """Plan a run that continues with these settings from its last checkpoint.

    Raises InputError if it began with other ones or has no checkpoint, and AlreadyFinishedError if
    it is at its end.
    """
    old = run.load_config()
    config = with_automatic_settings_of(old, with_settings_of(old, config))
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
    return RunPlan(
        run=run,
        config=config,
        is_resumed=True,
        tokenizers=tokenizers,
        pretrained=pretrained_run(config, run) if state is None else None,
        state=state,
        finished=message,
    )


def with_automatic_settings_of(old: RunConfig, new: RunConfig) -> RunConfig:
    """The settings with what a run has for those that are "auto", or follow from its data."""
    if new.training.batch_tokens == "auto":
        new = with_batch_tokens(new, old.training.batch_tokens)
    if new.training.bleu_tokenize == "auto":
        new = with_bleu_tokenizer(new, old.training.bleu_tokenize)
    if new.training.init_from and not new.training.init_sha256:
        new = with_pretrained_hash(new, old.training.init_sha256)
    tokenizer = {
        each.name: getattr(old.tokenizer, each.name)
        for each in fields(new.tokenizer)
        if getattr(new.tokenizer, each.name) == "auto"
    }
    return replace(new, tokenizer=replace(new.tokenizer, **tokenizer))


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
