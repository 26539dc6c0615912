"""`seq2seq likelihood`: how likely a model finds given translations."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import STDIN, display_name, read_lines

FILES, MACHINE = "Files", "Machine"


def likelihood(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folder of `seq2seq train`; several vote."),
    ],
    source: Annotated[Path, typer.Option(help="Source text.", rich_help_panel=FILES)],
    target: Annotated[
        Path,
        typer.Option(
            help="Its translation, line by line; - is standard input.", rich_help_panel=FILES
        ),
    ] = STDIN,
    format_: Annotated[
        Literal["tsv", "jsonl"],
        typer.Option(
            "--format",
            help="tsv: log-probability, tokens (EOS counted), perplexity. jsonl: each token too.",
            rich_help_panel=FILES,
        ),
    ] = "tsv",
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens read at a time.", rich_help_panel=MACHINE)
    ] = 4096,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MACHINE)
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Of CPU work.", show_default="all", rich_help_panel=MACHINE),
    ] = None,
) -> None:
    """Tell how likely a model finds given translations: a line for each pair, the whole on stderr.

    Log-probabilities are natural ones, over all tokens and EOS, as `translate --format jsonl` has.

    \b
    seq2seq likelihood runs/en-de --source test.en --target test.de
    seq2seq translate runs/en-de -i test.en | seq2seq likelihood runs/en-de --source test.en
    """
    sources = list(read_lines(source, console.warn))
    targets = list(read_lines(target, console.warn))
    if len(sources) != len(targets):
        raise InputError(
            f"{display_name(source)} has {len(sources):,} lines, {display_name(target)} has "
            f"{len(targets):,}: they belong together line by line"
        )
    from seq2seq_cli.devices import choose_device, prepare
    from seq2seq_cli.likelihood import likelihoods, perplexity
    from seq2seq_cli.translator import Translator

    prepare(threads)
    translator = Translator.load(runs, device=choose_device(device), batch_tokens=batch_tokens)
    total, tokens = 0.0, 0
    for each in likelihoods(translator, sources, targets):
        count = len(each.pieces)
        one = perplexity(each.log_probability, count)
        if format_ == "tsv":
            print(f"{each.log_probability:.6f}\t{count}\t{one:.4f}")
        else:
            record = {
                "log_probability": each.log_probability,
                "perplexity": one,
                "tokens": each.pieces,
                "token_scores": each.token_scores,
            }
            print(json.dumps(record, ensure_ascii=False))
        total, tokens = total + each.log_probability, tokens + count
    sys.stdout.flush()
    if tokens:
        console.note(
            f"{len(sources):,} pairs, {tokens:,} tokens: log-probability {total:.2f}, "
            f"perplexity {perplexity(total, tokens):.4f}"
        )
