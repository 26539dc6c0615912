"""`seq2seq compare`: several systems on one text."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.options import (
    DEFAULT_METRICS,
    AsTextOption,
    CometKiwiOption,
    CometOption,
    CommandLineSearch,
    DelimiterOption,
    EncodingOption,
    MetricsOption,
    ThreadsOption,
    load_comet,
    parse_metrics,
    warn_of_idle_options,
)
from seq2seq_cli.cli.paths import check_paths
from seq2seq_cli.cli.pipe import read_text
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.plots.files import COMPARISON_FORMATS, check_format, save_comparison
from seq2seq_cli.inputs import Reading
from seq2seq_cli.messages import counted
from seq2seq_cli.text import check_line_counts

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.references import Text

FILES, METRICS, GROUPS, SEARCH = "Files", "Metrics", "Groups and lines", "Runs"
WINDOW_LINES = 1024  # translated together at most


def compare(
    context: typer.Context,
    systems: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]RUN-or-FILE...",
            help="Run folders, which translate the source, and files of translations, or "
            "FILE:COLUMN; each with a name for the tables, if it is to have another one.",
        ),
    ],
    reference: Annotated[
        list[str],
        typer.Option(
            "--reference",
            "-r",
            metavar="FILE",
            rich_help_panel=FILES,
            help="Reference translation, or FILE:COLUMN of a table. Give the option again for "
            "further references.",
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=FILES,
            help="Source text; runs need it. Lines are then grouped by it, not by the reference.",
        ),
    ] = None,
    training_text: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=FILES,
            help="Text in the target language in which words are counted, usually the one that "
            "was trained on.",
            show_default="the first reference",
        ),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            rich_help_panel=FILES,
            help="FILE.html, .json, .md or .tex, instead of the terminal. Give the option again "
            "for further files.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=METRICS,
            help="System that the others are compared with.",
            show_default="the first",
        ),
    ] = None,
    metrics: MetricsOption = DEFAULT_METRICS,
    tokenize: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=METRICS,
            help="Tokenizer of BLEU, as in `seq2seq score`; auto goes by the script of the "
            "reference.",
        ),
    ] = "auto",
    lowercase: Annotated[
        bool,
        typer.Option(
            "--lowercase",
            rich_help_panel=METRICS,
            help="Ignore case in BLEU, spBLEU and chrF.",
        ),
    ] = False,
    samples: Annotated[
        int,
        typer.Option(
            min=100,
            metavar="COUNT",
            rich_help_panel=METRICS,
            help="Bootstrap samples for intervals and tests.",
        ),
    ] = 1000,
    seed: Annotated[
        int, typer.Option(min=0, rich_help_panel=METRICS, help="Seed of the samples.")
    ] = 12345,
    bucket: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="WORDS",
            rich_help_panel=GROUPS,
            help="Lengths in each group; characters in text without spaces between words.",
        ),
    ] = 10,
    lines: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            metavar="COUNT",
            rich_help_panel=GROUPS,
            help="Lines to show, those with the largest differences.",
        ),
    ] = 10,
    beam: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Width of the beam; 1 is greedy search.",
            show_default="5, or what the author of an imported run chose",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    threads: ThreadsOption = None,
    comet: CometOption = None,
    comet_kiwi: CometKiwiOption = None,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Compare several systems: scores with intervals and tests, where they differ, and how.

    Shows scores of the whole text, of lines by length and kind of sentence and of words by
    frequency, and the lines that systems translate most differently.

    \b
    seq2seq compare runs/rnn runs/transformer --source test.en -r test.de
    seq2seq compare old=a.de new=b.de -r test.de --metrics bleu,chrf,ter
    seq2seq compare runs/big online=c.de --source test.en -r test.de \\
        --training-text train.de -o page.html -o table.tex
    """
    from seq2seq_cli.config.effects.score import COMPARE
    from seq2seq_cli.data.sources import parse_text
    from seq2seq_cli.evaluation.metrics import AUTO, ScoreOptions, check_metrics, tokenizer_for
    from seq2seq_cli.evaluation.references import Text
    from seq2seq_cli.evaluation.system_comparison import (
        ComparedTexts,
        ComparisonOptions,
        check_names,
        compare_systems,
    )

    named = name_systems(systems)
    check_names(list(named), baseline)
    names = parse_metrics(metrics)
    score = ScoreOptions(tokenize="13a" if tokenize == AUTO else tokenize, lowercase=lowercase)
    # A wrong name is an error before models are loaded or runs translate.
    check_metrics(names, score)
    outputs = output or []
    for path in outputs:
        check_format(path, COMPARISON_FORMATS)
    runs = {name: Path(path) for name, path in named.items() if Path(path).is_dir()}
    if runs and source is None:
        raise InputError(
            f"{next(iter(runs.values()))} is a folder, and runs translate the source: give --source"
        )
    warn_of_idle_options(context, COMPARE)
    if source is None:
        load_comet(names, {"comet": comet, "comet-kiwi": comet_kiwi}, source)  # none without it

    reading = Reading(encoding, delimiter, as_text)
    files = {name: parse_text(path, reading) for name, path in named.items() if name not in runs}
    references = [parse_text(name, reading) for name in reference]
    others = [
        None if name is None else parse_text(name, reading) for name in (source, training_text)
    ]
    given = [each for each in others if each is not None]
    check_paths([*files.values(), *references, *given], outputs)
    source_text, training = (None if each is None else read_text(each) for each in others)
    texts = [read_text(each) for each in references]
    translations = {name: read_text(each).lines for name, each in files.items()}
    given_texts = [*texts, *([] if source_text is None else [source_text])]
    _check_counts([*given_texts, *(Text(name, found) for name, found in translations.items())])
    if source_text is not None:
        models = load_comet(names, {"comet": comet, "comet-kiwi": comet_kiwi}, source)
        score = replace(score, models=models, source=source_text.lines)
        translations |= _translate(runs, source_text.lines, beam, threads)
    if tokenize == AUTO:
        score = replace(score, tokenize=tokenizer_for(texts[0].lines))
    comparison = compare_systems(
        [Text(name, translations[name]) for name in named],
        ComparedTexts(texts, source_text, None if training is None else training.lines),
        ComparisonOptions(names, score, samples, seed, bucket, lines),
        baseline,
    )
    for path in outputs:
        save_comparison(comparison, path)
        console.note(f"{path}: {', '.join(comparison.systems)}")
    if not outputs:
        from seq2seq_cli.cli.terminal_tables import print_comparison

        print_comparison(comparison)


def name_systems(systems: list[str]) -> dict[str, str]:
    """The path of each system by its name, as in NAME=PATH; without one, the end of the path.

    Raises InputError if a system or a name is given twice.
    """
    given = [split_name(each) for each in systems]
    paths = [path for _, path in given]
    twice = [path for index, path in enumerate(paths) if path in paths[:index]]
    if twice:
        raise InputError(f"{twice[0]} is given twice; a system does not differ from itself")
    ends = [name or Path(path).name or path for name, path in given]
    named: dict[str, str] = {}
    for (own, path), end in zip(given, ends, strict=True):
        name = own or (end if ends.count(end) == 1 else path)
        if name in named:
            raise InputError(f"two systems have the name {name}; give each a name of its own")
        named[name] = path
    return named


def split_name(value: str) -> tuple[str, str]:
    """Split NAME=PATH; the name is "" if there is none, or if there is a file of the whole."""
    name, sign, path = value.partition("=")
    if not sign or Path(value).exists():
        return "", value
    if not name.strip() or not path:
        raise InputError(f"{value}: a name and a run or file are needed, as in new=out.de")
    return name.strip(), path


def _check_counts(texts: "list[Text]") -> None:
    """Raise InputError, before runs translate, for texts that differ in their numbers of lines."""
    first, *others = texts
    if not first.lines:
        raise InputError(f"{first.name}: no lines; there is nothing to compare with")
    for other in others:
        check_line_counts(first.name, len(first.lines), other.name, len(other.lines))


def _translate(
    runs: dict[str, Path], source: Sequence[str], beam: int | None, threads: int | None
) -> dict[str, list[str]]:
    """The translations of the source by each run."""
    if not runs:
        return {}
    from seq2seq_cli.config.search import SearchOptions
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.runs.run_folder import RunFolder
    from seq2seq_cli.translation import TranslationSettings, Translator

    for run in runs.values():
        folder = RunFolder(run)
        folder.load_config()
        folder.weights_hash()  # a damaged run is an error before others translate
    prepare(threads)
    translated = {}
    for name, run in runs.items():
        own: dict[str, Any] = {} if beam is None else {"beam": beam}
        author = RunFolder(run).config.facts().search
        chosen = SearchOptions.author_choices(author, own, sample=False)
        search = CommandLineSearch(**chosen, **own)
        translator = Translator.load(run, TranslationSettings(search=search, device="cpu"))
        console.note(f"{run}: translating {counted(len(source), 'line')}")
        translated[name] = [
            each.text
            for first in range(0, len(source), WINDOW_LINES)
            for each in translator.translate(
                source[first : first + WINDOW_LINES], warn=console.warn, first_number=first + 1
            )
        ]
    return translated
