"""`seq2seq score`: BLEU, chrF and TER of a translation."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.options import (
    DEFAULT_METRICS,
    AsTextOption,
    CometKiwiOption,
    CometOption,
    DelimiterOption,
    EncodingOption,
    MetricsOption,
    load_comet,
    parse_metrics,
    warn_of_idle_options,
)
from seq2seq_cli.cli.paths import check_paths
from seq2seq_cli.cli.pipe import read_text
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.plots.files import LENGTH_FORMATS, check_format, save_scores_by_length
from seq2seq_cli.inputs import STDIN, Reading

FILES = "Files"
METRICS = "Metrics"
LENGTH = "By length"
OUTPUT = "Output"


def score(
    context: typer.Context,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            "--reference",
            "-r",
            metavar="FILE",
            rich_help_panel=FILES,
            help="Reference translation, or FILE:COLUMN of a table. Give the option again for "
            "further references.",
            show_default="required, but for comet-kiwi",
        ),
    ] = None,
    hypothesis: Annotated[
        str,
        typer.Option(
            metavar="FILE", rich_help_panel=FILES, help="Translation to score; - is standard input."
        ),
    ] = "-",
    metrics: MetricsOption = DEFAULT_METRICS,
    tokenize: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=METRICS,
            help="Tokenizer of BLEU: 13a, intl, char, zh, ja-mecab, ko-mecab, flores101, "
            "flores200, spBLEU-1K or none; auto goes by the script of the reference.",
        ),
    ] = "13a",
    lowercase: Annotated[
        bool,
        typer.Option(
            "--lowercase",
            rich_help_panel=METRICS,
            help="Ignore case in BLEU, spBLEU and chrF; TER does unless --ter-case-sensitive.",
        ),
    ] = False,
    chrf_word_order: Annotated[
        int,
        typer.Option(
            metavar="WORDS",
            rich_help_panel=METRICS,
            help="Longest n-gram of words in chrF: 0 is chrF, 2 is chrF++.",
        ),
    ] = 0,
    ter_normalized: Annotated[
        bool,
        typer.Option(
            "--ter-normalized",
            rich_help_panel=METRICS,
            help="TER splits punctuation from words, and resolves XML entities.",
        ),
    ] = False,
    ter_no_punct: Annotated[
        bool,
        typer.Option("--ter-no-punct", rich_help_panel=METRICS, help="TER ignores punctuation."),
    ] = False,
    ter_asian: Annotated[
        bool,
        typer.Option(
            "--ter-asian",
            rich_help_panel=METRICS,
            help="With --ter-normalized, TER counts each Chinese character as a word; with "
            "--ter-no-punct it ignores Asian punctuation.",
        ),
    ] = False,
    ter_case_sensitive: Annotated[
        bool,
        typer.Option("--ter-case-sensitive", rich_help_panel=METRICS, help="TER minds case."),
    ] = False,
    as_sacrebleu: Annotated[
        bool,
        typer.Option(
            "--as-sacrebleu",
            rich_help_panel=METRICS,
            help="The sacrebleu command's own figure where blank references, the order of "
            "references or ties mislead it.",
        ),
    ] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=FILES,
            help="Another translation; tests whether the difference can be chance.",
        ),
    ] = None,
    by_length: Annotated[
        bool,
        typer.Option(
            "--by-length",
            rich_help_panel=LENGTH,
            help="Also score groups of lines of similar length.",
        ),
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=LENGTH,
            help="Source text, for --by-length and for COMET.",
            show_default="lengths of the first reference",
        ),
    ] = None,
    bucket: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="WORDS",
            rich_help_panel=LENGTH,
            help="Lengths in each group; characters in text without spaces between words.",
        ),
    ] = 10,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=LENGTH,
            help="Also draw the scores by length, as FILE.png or FILE.svg.",
        ),
    ] = None,
    confidence: Annotated[
        int,
        typer.Option(
            metavar="SAMPLES",
            rich_help_panel=METRICS,
            help="Add a 95 % interval from this many bootstrap samples; 1000 is usual, 0: none.",
        ),
    ] = 0,
    sentences: Annotated[
        bool,
        typer.Option(
            "--sentences",
            rich_help_panel=OUTPUT,
            help="Write the scores of each line, divided by tabs; those of the whole text go to "
            "standard error.",
        ),
    ] = False,
    output_format: Annotated[
        Literal["text", "json"],
        typer.Option("--format", rich_help_panel=OUTPUT, help="Lines to read, or a JSON list."),
    ] = "text",
    comet: CometOption = None,
    comet_kiwi: CometKiwiOption = None,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Score a translation, line by line, against one or several references.

    Scores are those of sacreBLEU, each with the signature that is needed to reproduce it.

    A blank line in a reference means that it has none for this line; another reference must.

    Give plain text: sacreBLEU tokenizes it.

    \b
    seq2seq translate runs/demo < valid.en | seq2seq score --reference valid.de
    seq2seq score -r one.de -r other.de --hypothesis out.de --metrics bleu,ter
    seq2seq score -r one.de --hypothesis out.de --confidence 1000 --format json
    seq2seq score -r one.de --hypothesis out.de --compare other.de
    seq2seq score -r one.de --hypothesis out.de --by-length --source one.en \\
        --plot lengths.png
    """
    from seq2seq_cli.config.effects.score import SCORE
    from seq2seq_cli.data.sources import parse_text
    from seq2seq_cli.evaluation.metrics import AUTO, ScoreOptions, check_metrics, tokenizer_for
    from seq2seq_cli.evaluation.score_report import ScoredTexts, score_report

    names = parse_metrics(metrics)
    options = ScoreOptions(
        tokenize="13a" if tokenize == AUTO else tokenize,
        lowercase=lowercase,
        chrf_word_order=chrf_word_order,
        bootstrap_samples=confidence,
        ter_normalized=ter_normalized,
        ter_no_punct=ter_no_punct,
        ter_asian=ter_asian,
        ter_case_sensitive=ter_case_sensitive,
        as_sacrebleu=as_sacrebleu,
    )
    # A wrong name is an error before models are loaded or a slow pipe is read.
    check_metrics(names, options)
    models = load_comet(names, {"comet": comet, "comet-kiwi": comet_kiwi}, source)
    if not reference and set(names) != {"comet-kiwi"}:
        raise InputError("--reference is missing; comet-kiwi alone does without")
    reference = reference or []
    files = [hypothesis, *reference, *(name for name in (compare, source) if name is not None)]
    reading = Reading(encoding, delimiter, as_text)
    inputs = {name: parse_text(name, reading) for name in files}
    if [inputs[name].path for name in files].count(STDIN) > 1:
        raise InputError("standard input can be read once: give all but one of the texts as files")
    if (plot is not None or (source is not None and not models)) and not by_length:
        raise InputError(
            "--source belongs to --by-length or to a metric that reads it, comet or comet-kiwi, "
            "and --plot to --by-length; give that too"
        )
    if sentences and by_length:
        raise InputError("--sentences and --by-length write different tables; give one of them")
    if plot is not None:
        check_format(plot, LENGTH_FORMATS)
    warn_of_idle_options(context, SCORE)

    check_paths(list(inputs.values()), [])
    text = {name: read_text(each) for name, each in inputs.items()}
    texts = ScoredTexts(
        hypothesis=text[hypothesis],
        # Kiwi reads none: the source stands for it, so that lines are counted and blank ones told.
        references=[text[name] for name in reference or [source or ""]],
        other=None if compare is None else text[compare],
        source=None if source is None else text[source],
    )
    if tokenize == AUTO and reference:
        options = replace(options, tokenize=tokenizer_for(text[reference[0]].lines))
    if source is not None:
        options = replace(options, models=models, source=text[source].lines)
    width = bucket if by_length else None
    report = score_report(texts, names, options, width, console.warn, sentences=sentences)
    if output_format == "json":
        print(report.as_json())
    elif sentences:
        console.note(report.as_text())
        print(report.as_sentences())
    else:
        print(report.as_text())
    if plot is not None:
        save_scores_by_length(report.by_length, plot, warn=console.warn)
        console.note(f"{plot}: {report.scores[0].metric} by length")
