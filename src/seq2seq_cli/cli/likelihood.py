"""`seq2seq likelihood`: how likely given translations are by a model."""

from typing import Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.options import (
    MACHINE,
    AsTextOption,
    DelimiterOption,
    DeviceOption,
    EncodingOption,
    EnsembleArgument,
    SourceLanguageOption,
    TargetLanguageOption,
    ThreadsOption,
    note_slow,
    parse_weights,
    warn_of_idle_options,
)
from seq2seq_cli.cli.paths import check_paths
from seq2seq_cli.cli.pipe import LineWriter, open_output
from seq2seq_cli.config.effects.translate import LIKELIHOOD
from seq2seq_cli.inputs import STDIN, Reading
from seq2seq_cli.messages import counted
from seq2seq_cli.runs.layout import check_run_folder
from seq2seq_cli.text import check_line_counts
from seq2seq_cli.translation.settings import Precision, TranslationSettings

FILES = "Files"


def likelihood(
    context: typer.Context,
    runs: EnsembleArgument,
    source: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Source text; FILE:COLUMN for a table, as for `seq2seq train`.",
            rich_help_panel=FILES,
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Its translation, line by line; - is standard input.",
            rich_help_panel=FILES,
        ),
    ] = "-",
    format_: Annotated[
        Literal["tsv", "jsonl"],
        typer.Option(
            "--format",
            help="tsv: log-probability, number of tokens with EOS, perplexity. jsonl: also each "
            "token.",
            rich_help_panel=FILES,
        ),
    ] = "tsv",
    pieces: Annotated[
        bool,
        typer.Option(
            "--pieces",
            help="The target is tokenized already: pieces with spaces between, as "
            "`seq2seq tokenizer encode` writes them.",
            rich_help_panel=FILES,
        ),
    ] = False,
    target_language: TargetLanguageOption = TranslationSettings.target_language,
    source_language: SourceLanguageOption = TranslationSettings.source_language,
    weights: Annotated[
        str,
        typer.Option(
            metavar="W,…", help="Weight of each run in an ensemble.", show_default="equal"
        ),
    ] = "",
    precision: Annotated[
        Precision,
        typer.Option(help="Type of matrix products.", rich_help_panel=MACHINE),
    ] = TranslationSettings.precision,
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens scored at a time.", rich_help_panel=MACHINE)
    ] = 4096,
    device: DeviceOption = TranslationSettings.device,
    threads: ThreadsOption = None,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Compute how likely given translations are: a line for each pair, the total on stderr.

    A log-probability is the natural logarithm, summed over all tokens and EOS, as in
    `seq2seq translate --format jsonl` with float32 and without --shortlist. Text is split into
    pieces by the tokenizer, while search may have chosen others; give its own tokens with
    --pieces. A pair of two blank lines counts as 0 tokens. A source that is longer than the model
    has learned to read is read as a whole, with a warning.

    \b
    seq2seq likelihood runs/en-de --source test.en --target test.de
    seq2seq translate runs/en-de -i test.en |
        seq2seq likelihood runs/en-de --source test.en
    seq2seq translate runs/en-de -i test.en --format jsonl |
        jq -r '.hypotheses[0].tokens | join(" ")' |
        seq2seq likelihood runs/en-de --source test.en --pieces
    """
    from seq2seq_cli.data.sources import parse_text

    votes = parse_weights(weights)
    reading = Reading(encoding, delimiter, as_text)
    texts = [parse_text(source, reading), parse_text(target, reading)]
    check_paths(texts, [])
    for run in runs:
        check_run_folder(run)
    sources, targets = (list(text.lines(console.warn)) for text in texts)
    check_line_counts(texts[0].name, len(sources), texts[1].name, len(targets))
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.translation import Translator, likelihoods, perplexity

    prepare(threads)
    settings = TranslationSettings(
        weights=tuple(votes),
        target_language=target_language,
        source_language=source_language,
        precision=precision,
        device=device,
        batch_tokens=batch_tokens,
    )
    translator = Translator.load(runs, settings)
    note_slow(translator.slow_reason)
    warn_of_idle_options(context, LIKELIHOOD)
    total, tokens = 0.0, 0
    scored = likelihoods(translator, sources, targets, in_pieces=pieces, warn=console.warn)
    with open_output(STDIN) as stream, LineWriter(stream, "standard output") as writer:
        for each in scored:
            line = each.as_tsv() if format_ == "tsv" else each.as_jsonl()
            writer.write(f"{line}\n".encode())
            total, tokens = total + each.log_probability, tokens + len(each.pieces)
    if tokens:
        console.note(
            f"{counted(len(sources), 'pair')}, {counted(tokens, 'token')}: log-probability "
            f"{total:.2f}, perplexity {perplexity(total, tokens):.4f}"
        )
