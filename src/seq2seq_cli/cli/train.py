"""`seq2seq train`: two text files in, a run folder out."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.options import MACHINE, DeviceOption, parse_weights
from seq2seq_cli.cli.progress import PlainListener, make_listener
from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.docstrings import summary
from seq2seq_cli.config.effects.train import TRAIN
from seq2seq_cli.config.presets import DEFAULT as DEFAULT_PRESET
from seq2seq_cli.config.settings import Table, merged, parse_assignment
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.errors import Seq2seqError
from seq2seq_cli.launching import (
    announces,
    device_of_process,
    end_with_launcher,
    is_first,
    is_launched,
    is_relaunched,
    launch,
    own_arguments,
    rank_and_count,
    threads_of_each,
    wait_before_error,
)
from seq2seq_cli.messages import ignore_warning

if TYPE_CHECKING:
    from seq2seq_cli.runs.run_config import RunConfig

REQUIRED = "Required unless --config names them."
DATA, MODEL, LIMITS = "Data", "Model and training", "When to stop"


def train(
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Source text: a file of lines, a column or field of a table (corpus.tsv:1, "
            "corpus.csv:en, corpus.jsonl:en, memory.tmx:en, corpus.parquet:en), or "
            "hf:NAME[:CONFIG]:SPLIT:FIELD of a Hugging Face data set. Can be given several "
            "times; gzip (.gz) is read too. " + REQUIRED,
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
    encoding: Annotated[
        str | None,
        typer.Option(
            help=summary(DataConfig, "encoding"),
            show_default="UTF-8, or UTF-16 by its byte-order mark",
            rich_help_panel=DATA,
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(help=summary(DataConfig, "delimiter"), rich_help_panel=DATA),
    ] = None,
    as_text: Annotated[
        bool | None,
        typer.Option("--as-text", help=summary(DataConfig, "as_text"), rich_help_panel=DATA),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Run folder to write (required).", rich_help_panel=DATA)
    ] = None,
    accept_data: Annotated[
        bool,
        typer.Option(
            "--accept-data",
            help="Train even on data that looks like a mistake: the same text on both sides, or "
            "validation pairs that are all trained on.",
            rich_help_panel=DATA,
        ),
    ] = False,
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
    add_languages: Annotated[
        list[str] | None,
        typer.Option(
            "--add-language",
            metavar="LANGUAGE",
            help="A language that the vocabulary of --init-from gets a tag for; may be repeated.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    add_pieces: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Pieces that the vocabulary of --init-from gets too, one a line.",
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
    device: DeviceOption = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="CPU threads, of each process.",
            show_default="all, divided among the processes",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            min=1,
            max=1024,
            help="Processes on this machine, which share the batches and the CPU threads or take a "
            "GPU each; for several machines see docs/machines.md.",
            rich_help_panel=MACHINE,
        ),
    ] = 1,
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
            "encoding": encoding,
            "delimiter": delimiter,
            "as_text": as_text or None,
        },
        "training": {
            "init_from": init_from,
            "add_languages": add_languages,
            "add_pieces": add_pieces,
            "seed": seed,
            "batch_tokens": _number(batch_tokens),
            "max_updates": max_updates,
            "max_epochs": max_epochs,
            "max_minutes": max_minutes,
        },
    }
    given = {
        section: {key: value for key, value in table.items() if value is not None}
        for section, table in options.items()
    }
    if output is None:
        raise typer.BadParameter("name the run folder to write", param_hint="--output")
    from seq2seq_cli.training.settings import merge_settings

    warn = console.warn if announces() else ignore_warning
    settings = merge_settings(
        merged(*map(_assigned, set_ or []), given),
        preset=preset,
        file=config,
        output=output,
        restart=restart,
        processes=rank_and_count()[1] if is_launched() else processes,
        warn=warn,
    )
    values = {**settings.values(), "--cache": cache}
    for sentence in TRAIN.sentences({"--cache"} if cache is not None else (), values):
        warn(sentence)
    if processes > 1 and not is_launched():
        from seq2seq_cli.training.preparation import check_no_pipes

        check_no_pipes(settings)
        each = threads_of_each(processes, threads)
        raise typer.Exit(launch(own_arguments(), processes, each))
    run(
        settings,
        output,
        device=device,
        threads=threads,
        quiet=quiet,
        restart=restart,
        cache=cache,
        accept_data=accept_data,
    )


def _assigned(assignment: str) -> dict[str, Table]:
    """The setting of one --set."""
    section, key, value = parse_assignment(assignment)
    return {section: {key: value}}


def _number(given: str | None) -> int | str | None:
    """The value of an option that takes a number or a word."""
    return int(given) if given and given.removeprefix("-").isdecimal() else given


def run(
    config: "RunConfig",
    output: Path,
    *,
    device: str,
    threads: int | None,
    quiet: bool,
    restart: bool,
    cache: Path | None,
    accept_data: bool,
) -> None:
    """Train, and tell the user how it ended."""
    from seq2seq_cli.devices import choose_device, prepare
    from seq2seq_cli.training.distributed import LostProcessError, joined
    from seq2seq_cli.training.planning.run_plan import AlreadyFinishedError
    from seq2seq_cli.training.run import train_run
    from seq2seq_cli.training.signals import InterruptedTrainingError

    end_with_launcher()
    prepare(threads)
    listener = make_listener(config.training, quiet=quiet or not is_first())
    try:
        chosen = choose_device(device_of_process(device))
        said = ""
        stopped: int | None = None  # the number of a signal
        with joined(chosen.type) as processes:
            # These ends are those of all processes, which part before they tell of them.
            try:
                reason = train_run(
                    config,
                    output,
                    listener=listener,
                    warn=console.warn,
                    device=chosen,
                    restart=restart and not is_relaunched(),
                    cache=cache,
                    accept_data=accept_data,
                    processes=processes,
                )
                said = f"done: {reason}. Translate with: seq2seq translate {output}"
            except AlreadyFinishedError as finished:
                said = str(finished)
            except InterruptedTrainingError as interrupted:
                stopped = interrupted.args[0]
        if stopped is not None:
            name = signal.Signals(stopped).name
            message = f"stopped by {name}, all saved; the same command continues"
            raise _exit(listener, message, stopped)
        if is_first():
            listener.said(said)
    except LostProcessError as lost:
        if not str(lost):
            raise typer.Exit(lost.exit_code) from None
        wait_before_error(is_loss=True)
        raise Seq2seqError(str(lost)) from None
    except Seq2seqError:
        wait_before_error(is_loss=False)
        raise
    except KeyboardInterrupt:
        message = "stopped at once; the last checkpoint, if there is one, is complete"
        raise _exit(listener, message, signal.SIGINT) from None
    finally:
        listener.close()


def _exit(listener: PlainListener, message: str, number: int) -> typer.Exit:
    """Print why a signal ended training; returns the exit that the shell expects."""
    listener.close()
    if is_first():
        console.note(message)
    return typer.Exit(128 + number)
