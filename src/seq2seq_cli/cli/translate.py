"""`seq2seq translate`: lines in, as many lines out, in order and at once."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.options import numbers
from seq2seq_cli.cli.pipe import LineWriter, check_paths, opened_output, pipe
from seq2seq_cli.config.search import (
    GREEDY_BATCH_TOKENS,
    MOST_BEAM,
    MOST_WORKERS,
    SEARCH_BATCH_TOKENS,
)
from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.layout import check_run_folder
from seq2seq_cli.text import STDIN, display_name, ignore_warning, read_lines
from seq2seq_cli.translation.prefixes import Prefixes
from seq2seq_cli.translation.results import Format

if TYPE_CHECKING:
    from seq2seq_cli.translation import Translator

SEARCH, DRAWING, FILES, MACHINE = "Search", "Drawing at random", "Files", "Machine"
WINDOW_LINES = 1024  # lines read ahead, and sorted by length among each other


def translate(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folder of `seq2seq train`; several vote."),
    ],
    input_: Annotated[
        Path, typer.Option("--input", "-i", help="Text to translate.", rich_help_panel=FILES)
    ] = STDIN,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write.", rich_help_panel=FILES)
    ] = STDIN,
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="text: the best translation. tsv: line number, rank, score, translation. "
            "jsonl: all that is known, a line for each line.",
            rich_help_panel=FILES,
        ),
    ] = "text",
    alignment: Annotated[
        Path | None,
        typer.Option(
            help="File for alignments: i-j, source word i gave word j (Pharaoh).",
            rich_help_panel=FILES,
        ),
    ] = None,
    prefix: Annotated[
        Path | None,
        typer.Option(
            help="File with what each translation begins with, line by line; a blank line is none.",
            rich_help_panel=FILES,
        ),
    ] = None,
    target_language: Annotated[
        str,
        typer.Option(
            help="Language to translate into, of a run with several (trained with --target "
            "de=train.de fr=train.fr); a line may choose for itself with <2de>.",
            show_default=False,
            rich_help_panel=SEARCH,
        ),
    ] = "",
    weights: Annotated[
        str,
        typer.Option(
            metavar="W,…",
            help="Of several runs' votes.",
            show_default="equal",
            rich_help_panel=SEARCH,
        ),
    ] = "",
    beam: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_BEAM, help="Hypotheses kept; 1 is greedy.", rich_help_panel=SEARCH
        ),
    ] = 5,
    n_best: Annotated[
        int,
        typer.Option(
            min=1,
            help="Translations of a line, in tsv or jsonl; they differ in their pieces, and may "
            "read the same.",
            rich_help_panel=SEARCH,
        ),
    ] = 1,
    length_penalty: Annotated[
        Literal["gnmt", "power", "none"],
        typer.Option(
            help="What log-probabilities are divided by: ((5+L)/6)^alpha (Wu 2016), L^alpha or 1.",
            rich_help_panel=SEARCH,
        ),
    ] = "gnmt",
    alpha: Annotated[
        float,
        typer.Option(help="More favours longer translations (-10 to 10).", rich_help_panel=SEARCH),
    ] = 1.0,
    coverage_penalty: Annotated[
        float,
        typer.Option(
            help="Beta of Wu 2016: how much it counts that source words were not looked at; 0 to "
            "100.",
            rich_help_panel=SEARCH,
        ),
    ] = 0.0,
    repetition_penalty: Annotated[
        float,
        typer.Option(
            help="What repeated words' log-probabilities are multiplied with (Keskar 2019); 1 to "
            "100.",
            rich_help_panel=SEARCH,
        ),
    ] = 1.0,
    no_repeat_ngram: Annotated[
        int,
        typer.Option(help="Tokens in a row that come only once; 0: any.", rich_help_panel=SEARCH),
    ] = 0,
    min_ratio: Annotated[
        float,
        typer.Option(help="Least length, in source lengths (tokens).", rich_help_panel=SEARCH),
    ] = 0.0,
    max_ratio: Annotated[
        float,
        typer.Option(help="Greatest length, in source lengths …", rich_help_panel=SEARCH),
    ] = 2.0,
    max_extra: Annotated[
        int, typer.Option(help="… and this many tokens more.", rich_help_panel=SEARCH)
    ] = 20,
    sample: Annotated[
        bool,
        typer.Option(
            "--sample",
            help="Draw each word, instead of keeping a beam; the same for the same line and seed. "
            "Several are in the order drawn.",
            rich_help_panel=DRAWING,
        ),
    ] = False,
    temperature: Annotated[
        float,
        typer.Option(
            help="Above 0; below 1, likely words become likelier.", rich_help_panel=DRAWING
        ),
    ] = 1.0,
    top_k: Annotated[
        int,
        typer.Option(
            help="Draw among this many likeliest words (Fan 2018).",
            show_default="all",
            rich_help_panel=DRAWING,
        ),
    ] = 0,
    top_p: Annotated[
        float,
        typer.Option(
            help="Draw among the fewest words of this probability (Holtzman 2020); above 0 to 1.",
            rich_help_panel=DRAWING,
        ),
    ] = 1.0,
    seed: Annotated[
        int, typer.Option(min=0, help="Another draws other words.", rich_help_panel=DRAWING)
    ] = 1,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "int8"],
        typer.Option(
            help="Of matrix products; auto: float32 on CPUs, bfloat16 on GPUs that have it. int8 "
            "is for CPUs: faster, and nearly as good; bfloat16 is neither there.",
            rich_help_panel=MACHINE,
        ),
    ] = "auto",
    shortlist: Annotated[
        bool,
        typer.Option(
            "--shortlist",
            help="Choose only among likely translations of the line's words: faster.",
            rich_help_panel=MACHINE,
        ),
    ] = False,
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Source tokens searched at a time.",
            show_default=f"{SEARCH_BATCH_TOKENS:,}, with a beam of 1 {GREEDY_BATCH_TOKENS:,}",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="Batches searched side by side, with the threads divided.",
            show_default=f"one a thread, at most {MOST_WORKERS}",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MACHINE)
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Of CPU work.", show_default="all", rich_help_panel=MACHINE
        ),
    ] = None,
) -> None:
    """Translate text, line by line: N lines in are N lines out, as soon as they arrive.

    \b
    echo "A man rides a bicycle." | seq2seq translate runs/en-de
    seq2seq translate runs/en-de --input book.en --output book.de
    tail -f log.en | seq2seq translate runs/en-de --beam 1 | tee log.de
    seq2seq translate runs/en-de -i test.en --n-best 5 --format jsonl | jq .
    seq2seq translate runs/a runs/b --weights 2,1 < test.en
    """
    if n_best > 1 and format_ == "text":
        raise InputError("--n-best is for --format tsv or jsonl: text has one line for each line")
    votes = numbers(weights)
    outputs = [output] if alignment is None else [output, alignment]
    check_paths([input_] if prefix is None else [input_, prefix], outputs)
    for run in runs:
        check_run_folder(run)
    prefixes = None if prefix is None else _read_prefixes(prefix, input_)
    from seq2seq_cli.devices import choose_device
    from seq2seq_cli.search import SearchOptions
    from seq2seq_cli.translation import TranslationSettings, Translator, share_threads

    search = SearchOptions(
        beam=beam,
        n_best=n_best,
        length_penalty=length_penalty,
        alpha=alpha,
        coverage_penalty=coverage_penalty,
        repetition_penalty=repetition_penalty,
        no_repeat_ngram=no_repeat_ngram,
        min_ratio=min_ratio,
        max_ratio=max_ratio,
        max_extra=max_extra,
        sample=sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
    )
    alignments: Literal["off", "if-possible", "required"]
    if alignment is not None:
        alignments = "required"
    else:
        alignments = "if-possible" if format_ == "jsonl" else "off"
    settings = TranslationSettings(
        search=search,
        weights=tuple(votes),
        target_language=target_language,
        alignments=alignments,
        precision=precision,
        shortlist=shortlist,
        device=device,
        batch_tokens=batch_tokens,
        workers=share_threads(choose_device(device), workers, threads),
    )
    translator = Translator.load(runs, settings)
    if prefixes is not None:
        prefixes.check(translator.tokenizers.target, translator.max_length)
    _translate_files(translator, prefixes, format_, input_, output, alignment)


def _read_prefixes(path: Path, source: Path) -> Prefixes:
    """Read --prefix. Raises InputError if the source is a file with another number of lines."""
    prefixes = Prefixes(list(read_lines(path, console.warn)), display_name(path))
    if source.is_file():  # a pipe can be read only once
        lines = sum(1 for _ in read_lines(source, ignore_warning))
        prefixes.check_count(lines, display_name(source))
    return prefixes


def _translate_files(
    translator: "Translator",
    prefixes: Prefixes | None,
    format_: Format,
    source: Path,
    output: Path,
    alignment: Path | None,
) -> None:
    """Translate the lines of the source as they arrive, and write alignments beside the output."""
    name = display_name(source)
    with ExitStack() as files:
        pairs = None
        if alignment is not None:
            stream = files.enter_context(opened_output(alignment))
            pairs = files.enter_context(LineWriter(stream, str(alignment)))

        def convert(lines: list[str], first: int) -> list[str]:
            begun = None if prefixes is None else prefixes.window(first, len(lines), name)
            found = translator.translate(lines, begun, warn=console.warn, first_number=first)
            if pairs is not None:
                pairs.write("".join(f"{each.as_pharaoh()}\n" for each in found).encode())
            return [each.as_format(format_, number) for number, each in enumerate(found, first)]

        count = pipe(source, output, WINDOW_LINES, convert)
        if prefixes is not None:
            prefixes.check_count(count, name)
