"""`seq2seq translate`: as many lines out as in, in the same order, as soon as they arrive."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli.options import (
    MACHINE,
    AsTextOption,
    CommandLineSearch,
    DelimiterOption,
    DeviceOption,
    EncodingOption,
    EnsembleArgument,
    ThreadsOption,
    author_search,
    note_slow,
    parse_weights,
    warn_of_idle_options,
)
from seq2seq_cli.cli.paths import check_paths
from seq2seq_cli.cli.translate_files import (
    TranslatedFiles,
    check_can_be_divided,
    read_prefixes,
    translate_as_lines_arrive,
    translate_in_blocks,
)
from seq2seq_cli.config.docstrings import summary
from seq2seq_cli.config.search import (
    GREEDY_BATCH_TOKENS,
    MOST_BEAM,
    MOST_WORKERS,
    SEARCH_BATCH_TOKENS,
    LengthPenalty,
    SearchOptions,
)
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import STDIN, Reading
from seq2seq_cli.launching import (
    device_of_process,
    end_with_launcher,
    errors_said_once,
    is_first,
    is_launched,
    launch_alone,
    own_arguments,
    threads_of_each,
)
from seq2seq_cli.runs.layout import check_run_folder
from seq2seq_cli.translation.results import Format
from seq2seq_cli.translation.settings import (
    Alignments,
    Precision,
    SplitSentences,
    TranslationSettings,
    Unknown,
)

SEARCH, SAMPLING, FILES = "Search", "Sampling", "Files"


def translate(
    context: typer.Context,
    runs: EnsembleArgument,
    input_: Annotated[
        str,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
            help="Text to translate; FILE:COLUMN for a table, as for `seq2seq train`.",
            rich_help_panel=FILES,
        ),
    ] = "-",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write.", rich_help_panel=FILES)
    ] = STDIN,
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="text: the best translation. tsv: line number, rank, score and text of each "
            "translation. jsonl: an object for each line, with tokens, their log-probabilities "
            "and, if the models have attention, word alignments.",
            rich_help_panel=FILES,
        ),
    ] = "text",
    alignment: Annotated[
        Path | None,
        typer.Option(
            help="File for word alignments in Pharaoh format: i-j means that word j of the "
            "translation comes from source word i, counted from 0.",
            rich_help_panel=FILES,
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File with the beginning of each translation, line by line; a blank line leaves "
            "it free. The last word may go on unless a space follows it.",
            rich_help_panel=FILES,
        ),
    ] = None,
    target_language: Annotated[
        str,
        typer.Option(
            help="Language to translate into, for runs with several (trained with --target "
            "de=train.de fr=train.fr). A line that begins with a tag such as <2de> or >>deu<< "
            "chooses its own.",
            show_default=False,
            rich_help_panel=SEARCH,
        ),
    ] = TranslationSettings.target_language,
    unknown: Annotated[
        Unknown,
        typer.Option(
            help="Text that the run has no pieces for, such as an emoji. copy: it replaces the "
            "word that attends to it most. keep: the model's own words stay.",
            rich_help_panel=SEARCH,
        ),
    ] = TranslationSettings.unknown,
    split_sentences: Annotated[
        SplitSentences,
        typer.Option(
            help="Translate lines of several sentences sentence by sentence. auto: if the run was "
            "trained on one sentence a line; it says so once.",
            rich_help_panel=SEARCH,
        ),
    ] = TranslationSettings.split_sentences,
    no_split_sentences: Annotated[
        bool,
        typer.Option(
            "--no-split-sentences",
            help="As --split-sentences off: lines are translated as they are.",
            rich_help_panel=SEARCH,
        ),
    ] = False,
    source_language: Annotated[
        str,
        typer.Option(
            metavar="CODE",
            help="Language of the text, such as en, by whose rules sentences end. Runs such as "
            "those of NLLB, in which each side has a tag of its language, translate from it.",
            show_default="what the run was trained with, or the script of a line",
            rich_help_panel=SEARCH,
        ),
    ] = TranslationSettings.source_language,
    weights: Annotated[
        str,
        typer.Option(
            metavar="W,…",
            help="Weight of each run in an ensemble.",
            show_default="equal",
            rich_help_panel=SEARCH,
        ),
    ] = "",
    beam: Annotated[
        int,
        typer.Option(
            min=1,
            max=MOST_BEAM,
            help=summary(SearchOptions, "beam"),
            rich_help_panel=SEARCH,
        ),
    ] = SearchOptions.beam,
    n_best: Annotated[
        int,
        typer.Option(
            min=1,
            help="Translations of each line, for tsv or jsonl. They differ in their tokens, but "
            "may read the same.",
            rich_help_panel=SEARCH,
        ),
    ] = SearchOptions.n_best,
    length_penalty: Annotated[
        LengthPenalty,
        typer.Option(
            help=summary(SearchOptions, "length_penalty"),
            rich_help_panel=SEARCH,
        ),
    ] = SearchOptions.length_penalty,
    alpha: Annotated[
        float,
        typer.Option(help=summary(SearchOptions, "alpha"), rich_help_panel=SEARCH),
    ] = SearchOptions.alpha,
    coverage_penalty: Annotated[
        float,
        typer.Option(
            help=summary(SearchOptions, "coverage_penalty"),
            rich_help_panel=SEARCH,
        ),
    ] = SearchOptions.coverage_penalty,
    repetition_penalty: Annotated[
        float,
        typer.Option(
            help=summary(SearchOptions, "repetition_penalty"),
            rich_help_panel=SEARCH,
        ),
    ] = SearchOptions.repetition_penalty,
    no_repeat_ngram: Annotated[
        int,
        typer.Option(help=summary(SearchOptions, "no_repeat_ngram"), rich_help_panel=SEARCH),
    ] = SearchOptions.no_repeat_ngram,
    min_ratio: Annotated[
        float,
        typer.Option(help=summary(SearchOptions, "min_ratio"), rich_help_panel=SEARCH),
    ] = SearchOptions.min_ratio,
    max_ratio: Annotated[
        float,
        typer.Option(help=summary(SearchOptions, "max_ratio"), rich_help_panel=SEARCH),
    ] = SearchOptions.max_ratio,
    max_extra: Annotated[
        int, typer.Option(help=summary(SearchOptions, "max_extra"), rich_help_panel=SEARCH)
    ] = SearchOptions.max_extra,
    sample: Annotated[
        bool,
        typer.Option(
            "--sample",
            help="Draw each token at random instead of beam search. The same line and seed give "
            "the same translation; with --n-best, translations come in the order drawn.",
            rich_help_panel=SAMPLING,
        ),
    ] = SearchOptions.sample,
    temperature: Annotated[
        float,
        typer.Option(help=summary(SearchOptions, "temperature"), rich_help_panel=SAMPLING),
    ] = SearchOptions.temperature,
    top_k: Annotated[
        int,
        typer.Option(
            help=summary(SearchOptions, "top_k"),
            show_default="all",
            rich_help_panel=SAMPLING,
        ),
    ] = SearchOptions.top_k,
    top_p: Annotated[
        float,
        typer.Option(
            help=summary(SearchOptions, "top_p"),
            rich_help_panel=SAMPLING,
        ),
    ] = SearchOptions.top_p,
    seed: Annotated[
        int, typer.Option(min=0, help=summary(SearchOptions, "seed"), rich_help_panel=SAMPLING)
    ] = SearchOptions.seed,
    precision: Annotated[
        Precision,
        typer.Option(
            help="Type of matrix products. auto: float32 on CPUs, bfloat16 on GPUs that have it. "
            "int8 is for CPUs: faster and nearly as good. bfloat16 is slow on CPUs, in PyTorch.",
            rich_help_panel=MACHINE,
        ),
    ] = TranslationSettings.precision,
    shortlist: Annotated[
        bool,
        typer.Option(
            "--shortlist",
            help="Choose only among likely translations of the words of a line, which is faster.",
            rich_help_panel=MACHINE,
        ),
    ] = TranslationSettings.shortlist,
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Source tokens searched at a time.",
            show_default=f"{SEARCH_BATCH_TOKENS:,}, with a beam of 1 {GREEDY_BATCH_TOKENS:,}",
            rich_help_panel=MACHINE,
        ),
    ] = TranslationSettings.batch_tokens,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="Batches searched side by side; the threads are divided among them.",
            show_default=f"one a thread, at most {MOST_WORKERS}",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: DeviceOption = TranslationSettings.device,
    threads: ThreadsOption = None,
    processes: Annotated[
        int,
        typer.Option(
            min=1,
            max=1024,
            help="Processes that translate --input to --output in blocks; the same command goes on "
            "where one was killed. On several machines, see docs/machines.md.",
            rich_help_panel=MACHINE,
        ),
    ] = 1,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Translate text line by line, as the lines arrive: N lines in are N lines out.

    \b
    echo "A man rides a bicycle." | seq2seq translate runs/en-de
    seq2seq translate runs/en-de --input book.en --output book.de
    tail -f log.en | seq2seq translate runs/en-de --beam 1 | tee log.de
    seq2seq translate runs/en-de -i test.en --n-best 5 --format jsonl | jq .
    seq2seq translate runs/a runs/b --weights 2,1 < test.en
    """
    given = locals()  # the options by name: none of SearchOptions can be forgotten below
    if n_best > 1 and format_ == "text":
        raise InputError("--n-best is for --format tsv or jsonl: text has one line for each line")
    votes = parse_weights(weights)
    outputs = [output] if alignment is None else [output, alignment]
    reading = Reading(encoding, delimiter, as_text)
    from seq2seq_cli.data.sources import parse_text

    source = parse_text(input_, reading)
    begins = None if prefix is None else parse_text(prefix, reading)
    check_paths([source] if begins is None else [source, begins], outputs)
    files = TranslatedFiles(source, output, format_, prefix=begins, alignment=alignment)
    for run in runs:
        check_run_folder(run)
    if processes > 1 or is_launched():
        end_with_launcher()
        check_can_be_divided(files)
    if processes > 1 and not is_launched():
        code = launch_alone(own_arguments(), processes, threads_of_each(processes, threads))
        raise typer.Exit(code)
    with errors_said_once():
        prefixes = read_prefixes(files)
        from seq2seq_cli.devices import is_cpu
        from seq2seq_cli.translation import Translator, share_threads

        alignments: Alignments = "if-possible" if format_ == "jsonl" else "off"
        if alignment is not None:
            alignments = "required"
        options = {each.name: given[each.name] for each in fields(SearchOptions)}
        settings = TranslationSettings(
            search=CommandLineSearch(**options | author_search(context, runs[0])),
            weights=tuple(votes),
            target_language=target_language,
            split_sentences="off" if no_split_sentences else split_sentences,
            source_language=source_language,
            alignments=alignments,
            unknown=unknown,
            precision=precision,
            shortlist=shortlist,
            device=device_of_process(device),
            batch_tokens=batch_tokens,
            workers=share_threads(on_cpu=is_cpu(device), workers=workers, threads=threads),
        )
        translator = Translator.load(runs, settings)
        if is_first():
            note_slow(translator.slow_reason)
            from seq2seq_cli.config.effects.translate import TRANSLATE

            warn_of_idle_options(context, TRANSLATE)
        if prefixes is not None:
            prefixes.check(translator.tokenizers.target, translator.max_length)
        if is_launched():
            translate_in_blocks(translator, files, prefixes, runs)
        else:
            translate_as_lines_arrive(translator, files, prefixes)
