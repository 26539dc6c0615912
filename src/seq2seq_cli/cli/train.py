"""`seq2seq train`: two text files in, a run folder out."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.options import parse_weights
from seq2seq_cli.cli.progress import PlainListener, make_listener
from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.docstrings import summary
from seq2seq_cli.config.presets import read as read_preset
from seq2seq_cli.config.settings import Table, merged, parse_assignment, parse_toml
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.text import STDIN, read_lines

if TYPE_CHECKING:
    from seq2seq_cli.runs.run_config import RunConfig

DEFAULT_PRESET = "transformer-small"
REQUIRED = "Required unless --config names them."
DATA, MODEL, LIMITS, MACHINE = "Data", "Model and training", "When to stop", "Machine"


def train(
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Source text: a file of lines, a column or field of a table (corpus.tsv:1, "
            "corpus.jsonl:en, corpus.parquet:en), or hf:NAME[:CONFIG]:SPLIT:FIELD of a Hugging "
            "Face data set. Several, and .gz, are fine. " + REQUIRED,
            rich_help_panel=DATA,
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Its translation: text k belongs to text k of --source, line by line. Marked as "
            "de=train.de, several languages are learned by one model. " + REQUIRED,
            rich_help_panel=DATA,
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            metavar="W,…",
            help=summary(DataConfig, "weights"),
            show_default="equal",
            rich_help_panel=DATA,
        ),
    ] = "",
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help=summary(DataConfig, "stream"),
            show_default="no",
            rich_help_panel=DATA,
        ),
    ] = None,
    valid_source: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{summary(DataConfig, 'valid_source')} {REQUIRED}", rich_help_panel=DATA
        ),
    ] = None,
    valid_target: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{summary(DataConfig, 'valid_target')} {REQUIRED}", rich_help_panel=DATA
        ),
    ] = None,
    source_tokenizer: Annotated[
        str | None,
        typer.Option(help=summary(DataConfig, "source_tokenizer"), rich_help_panel=DATA),
    ] = None,
    target_tokenizer: Annotated[
        str | None,
        typer.Option(help=summary(DataConfig, "target_tokenizer"), rich_help_panel=DATA),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Run folder to write (required).", rich_help_panel=DATA)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="See `seq2seq presets`.", show_default=DEFAULT_PRESET, rich_help_panel=MODEL
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of settings, which override the preset's.", rich_help_panel=MODEL
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            rich_help_panel=MODEL,
            help="One setting, over all files; may be repeated. See `seq2seq settings`.",
        ),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Begin with the weights of another run, its model settings and, unless others are "
            "given, its tokenizers.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help=summary(TrainingConfig, "seed"), rich_help_panel=MODEL),
    ] = None,
    batch_tokens: Annotated[
        str | None,
        typer.Option(
            help=summary(TrainingConfig, "batch_tokens"),
            show_default="the preset's",
            rich_help_panel=MODEL,
        ),
    ] = None,
    max_updates: Annotated[
        int | None,
        typer.Option(
            help=summary(TrainingConfig, "max_updates"),
            show_default="the preset's",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(
            help=summary(TrainingConfig, "max_epochs"),
            show_default="the preset's",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            help=summary(TrainingConfig, "max_minutes"),
            show_default="the preset's",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Remove the run in --output and begin again.", rich_help_panel=LIMITS
        ),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            envvar="SEQ2SEQ_CACHE",
            help="Folder where tokenised text is cached for later runs.",
            show_default="~/.cache/seq2seq-cli, for large corpora",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MACHINE)
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="CPU threads.", show_default="all", rich_help_panel=MACHINE
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")
    ] = False,
) -> None:
    """Train a translator from two text files, one sentence a line.

    The same command again continues from the last checkpoint. Ctrl-C saves first.

    \b
    seq2seq train --source train.en --target train.de \\
        --valid-source valid.en --valid-target valid.de --output runs/en-de
    seq2seq train --source corpus.tsv:1 --target corpus.tsv:2 …
    seq2seq train … --preset attention-rnn --max-minutes 30
    seq2seq train … --batch-tokens 2048 --set model.dropout=0.3
    """
    options: dict[str, Table] = {
        "data": {
            "source": source,
            "target": target,
            "weights": parse_weights(weights) or None,
            "stream": stream,
            "valid_source": valid_source,
            "valid_target": valid_target,
            "source_tokenizer": source_tokenizer,
            "target_tokenizer": target_tokenizer,
        },
        "training": {
            "init_from": init_from,
            "seed": seed,
            "batch_tokens": _number(batch_tokens),
            "max_updates": max_updates,
            "max_epochs": max_epochs,
            "max_minutes": max_minutes,
        },
    }
    if output is None:
        raise typer.BadParameter("name the run folder to write", param_hint="--output")
    tables = settings(preset, config, set_ or [], options, None if restart else output)
    run(
        tables,
        output,
        device=device,
        threads=threads,
        quiet=quiet,
        restart=restart,
        cache=cache,
    )


def _number(given: str | None) -> int | str | None:
    """The value of an option that takes a number or a word."""
    return int(given) if given and given.removeprefix("-").isdecimal() else given


def settings(
    preset: str | None,
    file: Path | None,
    assignments: list[str],
    options: dict[str, Table],
    resumed: Path | None = None,
) -> "RunConfig":
    """Merge preset, --config, --set and named options; later ones override earlier ones.

    Without a preset, a run that begins from another one takes its model settings, or its own if it
    continues in the folder `resumed`.
    """
    from seq2seq_cli.runs.run_config import RunConfig

    from_file = _settings_file(file) if file else {}
    assigned: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        section, key, value = parse_assignment(assignment)
        assigned.setdefault(section, {})[key] = value
    given = {
        section: {key: value for key, value in table.items() if value is not None}
        for section, table in options.items()
    }
    layers = merged(from_file, assigned, given)
    pretrained = layers.get("training", {}).get("init_from")
    is_complete = "architecture" in from_file.get("model", {})  # such a file needs no preset
    if preset or not (is_complete or pretrained):
        name = preset or DEFAULT_PRESET
        base = parse_toml(read_preset(name), f"preset {name}")
    else:
        base = _model_of(str(pretrained), resumed) if pretrained and not is_complete else {}
    _warn_of_unused_settings(assigned, layers)
    return RunConfig.from_tables(merged(base, layers))


def _warn_of_unused_settings(
    assigned: dict[str, dict[str, Any]], settings: dict[str, Table]
) -> None:
    """Warn of assigned settings that have no effect beside the others."""
    data, training = settings.get("data", {}), settings.get("training", {})
    reason = ""
    if data.get("source_tokenizer"):
        reason = "a tokenizer is given with --source-tokenizer"
    elif training.get("init_from"):
        reason = (
            "the tokenizers are those of --init-from; others are given with --source-tokenizer and "
            "--target-tokenizer"
        )
    if reason:
        unused = [f"tokenizer.{key}" for key in assigned.get("tokenizer", {})]
        unused += ["data.joint_vocabulary"] * ("joint_vocabulary" in assigned.get("data", {}))
        for name in unused:
            console.warn(f"{name} has no effect: {reason}")
    if training.get("freeze") and not training.get("init_from"):
        console.warn(
            "training.freeze without --init-from leaves these weights as they were drawn at random"
        )


def _model_of(pretrained: str, resumed: Path | None) -> dict[str, Table]:
    """The section [model] of the run that continues, or else of the pretrained one."""
    from seq2seq_cli.runs.run_folder import RunFolder

    own = RunFolder(resumed) if resumed else None
    run = own if own and own.exists() else RunFolder(Path(pretrained))
    return {"model": run.load_config().tables()["model"]}


def _settings_file(path: Path) -> dict[str, Table]:
    text = "\n".join(read_lines(path, console.warn))
    tables = parse_toml(text, "standard input" if path == STDIN else str(path))
    # The config.toml of a run folder can be given as it is; its facts about tokenizers are
    # not settings.
    return {name: table for name, table in tables.items() if name not in ("vocabulary", "sha256")}


def run(
    config: "RunConfig",
    output: Path,
    *,
    device: str,
    threads: int | None,
    quiet: bool,
    restart: bool,
    cache: Path | None,
) -> None:
    """Train, and tell the user how it ended."""
    from seq2seq_cli.devices import choose_device, prepare
    from seq2seq_cli.training.resuming import AlreadyFinishedError
    from seq2seq_cli.training.run import train_run
    from seq2seq_cli.training.signals import InterruptedTrainingError

    prepare(threads)
    listener = make_listener(config.training, quiet=quiet)
    try:
        reason = train_run(
            config,
            output,
            listener=listener,
            warn=console.warn,
            device=choose_device(device),
            restart=restart,
            cache=cache,
        )
        listener.said(f"done: {reason}. Translate with: seq2seq translate {output}")
    except AlreadyFinishedError as finished:
        listener.said(str(finished))
    except InterruptedTrainingError as interrupted:
        number = interrupted.args[0]
        name = signal.Signals(number).name
        message = f"stopped by {name}, all saved; the same command continues"
        raise _exit(listener, message, number) from None
    except KeyboardInterrupt:
        message = "stopped at once; the last checkpoint, if there is one, is complete"
        raise _exit(listener, message, signal.SIGINT) from None
    finally:
        listener.close()


def _exit(listener: PlainListener, message: str, number: int) -> typer.Exit:
    """Print why a signal ended training; returns the exit that the shell expects."""
    listener.close()
    console.note(message)
    return typer.Exit(128 + number)
