"""Options that several commands share, and how their values are read."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seq2seq_cli.config.effects.conditions import Effects
    from seq2seq_cli.evaluation.comet import Comet

READING, LANGUAGES, MACHINE = "How text is read", "Languages", "Machine"

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Run folder, trained or imported.")
]
EnsembleArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...", help="Run folder, trained or imported; several are an ensemble."
    ),
]

EncodingOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Encoding of texts that are not UTF-8, such as cp1252 or gb18030.",
        show_default="UTF-8, or UTF-16 by its byte-order mark",
        rich_help_panel=READING,
    ),
]
DelimiterOption = Annotated[
    str,
    typer.Option(
        metavar="CHARACTER",
        help="Between the cells of tables, which are then read by the rules of CSV: a character, "
        "or tab, comma, semicolon, pipe.",
        show_default="tab in .tsv, the most even one in .csv",
        rich_help_panel=READING,
    ),
]
AsTextOption = Annotated[
    bool,
    typer.Option(
        "--as-text",
        help="Read lines of text, even if they look like a table, JSON, markup or broken text.",
        rich_help_panel=READING,
    ),
]

# Of a translation that is given; `seq2seq translate` says more of those it writes.
TargetLanguageOption = Annotated[
    str,
    typer.Option(
        help="Language of the target, for runs with several, as for `seq2seq translate`.",
        show_default=False,
        rich_help_panel=LANGUAGES,
    ),
]
SourceLanguageOption = Annotated[
    str,
    typer.Option(
        metavar="CODE",
        help="Language of the source, for runs in which each side has a tag of its own.",
        show_default=False,
        rich_help_panel=LANGUAGES,
    ),
]

DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MACHINE)
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        help="Threads for CPU work.",
        show_default="all",
        rich_help_panel=MACHINE,
    ),
]

DEFAULT_METRICS = "bleu,chrf"
MetricsOption = Annotated[
    str,
    typer.Option(
        metavar="NAME,…",
        help="Any of bleu, spbleu, chrf, chrf++, ter, comet and comet-kiwi.",
        rich_help_panel="Metrics",
    ),
]
CometOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Checkpoint of COMET for the metric comet; it also reads --source.",
        rich_help_panel="Metrics",
    ),
]
CometKiwiOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Checkpoint of COMET-Kiwi for the metric comet-kiwi, which reads --source and no "
        "reference.",
        rich_help_panel="Metrics",
    ),
]


def parse_metrics(metrics: str) -> tuple[str, ...]:
    """The names that --metrics lists, in lower case."""
    return tuple(name.strip().lower() for name in metrics.split(",") if name.strip())


def load_comet(
    metrics: "Sequence[str]", given: "dict[str, Path | None]", source: str | None
) -> "dict[str, Comet]":
    """The models that the metrics need. Raises InputError for what is missing or does not fit."""
    wanted = {name: path for name, path in given.items() if name in metrics}
    for name, path in wanted.items():
        if path is None:
            raise InputError(f"{name} needs a model: give --{name} with the folder of a checkpoint")
        if source is None:
            raise InputError(f"{name} reads the source too: give --source")
    if not wanted:
        return {}
    from seq2seq_cli.evaluation.comet import Comet

    models = {name: Comet.load(path) for name, path in wanted.items() if path is not None}
    for name, model in models.items():
        if model.needs_reference != (name == "comet"):
            other = "comet" if model.needs_reference else "comet-kiwi"
            raise InputError(f"--{name} {wanted[name]}: a model for the metric {other}")
    return models


def parse_weights(weights: str) -> list[float]:
    """The numbers of --weights, none if it is empty. Raises InputError for anything else."""
    try:
        return [float(weight) for weight in weights.split(",")] if weights else []
    except ValueError:
        raise InputError(
            f"--weights {weights}: numbers separated by commas are allowed, as in 2,1"
        ) from None


def parse_updates(text: str) -> tuple[int, ...]:
    """The numbers of --updates, none if it is empty. Raises InputError for anything else."""
    try:
        return tuple(int(update) for update in text.split(",")) if text else ()
    except ValueError:
        raise InputError(
            f"--updates {text}: whole numbers separated by commas are allowed, as in 4000,4500"
        ) from None


def given_options(context: typer.Context) -> set[str]:
    """The parameters with another value than their default, given on the command line."""
    return {
        parameter.name
        for parameter in context.command.params
        if parameter.name is not None
        and context.params.get(parameter.name) != parameter.default
        and _is_on_command_line(context, parameter.name)
    }


def _is_on_command_line(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def note_slow(reason: str) -> None:
    """Say once why PyTorch translates on a CPU, unless that was asked for."""
    if reason and os.environ.get("SEQ2SEQ_NATIVE") != "off":
        console.note(f"{reason}: PyTorch translates instead, which is slower")


def warn_of_idle_options(context: typer.Context, effects: "Effects") -> None:
    """Say which of the options given have no effect beside the others."""

    def write(name: str) -> str:
        return next(each.opts[0] for each in context.command.params if each.name == name)

    for sentence in effects.sentences(given_options(context), context.params, write):
        console.warn(sentence)


# How other engines divide scores by the length: nothing that an author chose.
USUAL_ELSEWHERE = {"length_penalty": "power"}


def author_search(context: typer.Context, run: Path) -> dict[str, Any]:
    """The options of search that the author of an imported run chose and the user did not give.

    Says once which they are.
    """
    from seq2seq_cli.launching import is_first
    from seq2seq_cli.runs.run_folder import RunFolder

    author = RunFolder(run).config.facts().search
    given = [name for name in author if _is_on_command_line(context, name)]
    chosen = SearchOptions.author_choices(author, given, sample=bool(context.params["sample"]))
    own = {name: value for name, value in chosen.items() if value != getattr(SearchOptions, name)}
    if own and own != USUAL_ELSEWHERE and is_first():
        shown = " ".join(CommandLineSearch.assignment(name, value) for name, value in own.items())
        console.note(f"{run}: translated as its author does, with {shown}")
    return chosen


class CommandLineSearch(SearchOptions):
    """Options of search whose messages write them as on the command line."""

    @classmethod
    def assignment(cls, name: str, value: object) -> str:
        """How messages write an option with its value, as in `--n-best 3` or `--sample`."""
        option = f"--{name.replace('_', '-')}"
        return option if value is True else f"{option} {value}"
