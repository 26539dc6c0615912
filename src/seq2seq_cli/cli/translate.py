"""`seq2seq translate`: lines in, as many lines out, in order and at once."""

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.pipe import check_paths, pipe
from seq2seq_cli.text import STDIN

SEARCH, FILES, MACHINE = "Search", "Files", "Machine"
WINDOW_LINES = 1024  # lines read ahead, and sorted by length among each other


def translate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `seq2seq train`.")],
    input_: Annotated[
        Path, typer.Option("--input", "-i", help="Text to translate.", rich_help_panel=FILES)
    ] = STDIN,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write.", rich_help_panel=FILES)
    ] = STDIN,
    beam: Annotated[
        int, typer.Option(min=1, help="Hypotheses kept; 1 is greedy.", rich_help_panel=SEARCH)
    ] = 5,
    length_penalty: Annotated[
        float,
        typer.Option(
            help="Alpha of ((5+L)/6)^alpha (Wu 2016); more favours longer translations.",
            rich_help_panel=SEARCH,
        ),
    ] = 1.0,
    batch_tokens: Annotated[
        int,
        typer.Option(min=1, help="Source tokens searched at a time.", rich_help_panel=MACHINE),
    ] = 4096,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MACHINE)
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Of CPU work.", show_default="all", rich_help_panel=MACHINE),
    ] = None,
) -> None:
    """Translate text, line by line: N lines in are N lines out, as soon as they arrive.

    \b
    echo "A man rides a bicycle." | seq2seq translate runs/en-de
    seq2seq translate runs/en-de --input book.en --output book.de
    tail -f log.en | seq2seq translate runs/en-de --beam 1 | tee log.de
    """
    check_paths(input_, output)
    from seq2seq_cli.devices import choose_device, prepare
    from seq2seq_cli.search import SearchOptions
    from seq2seq_cli.translator import Translator

    prepare(threads)
    options = SearchOptions(beam=beam, length_penalty=length_penalty)
    translator = Translator.load(run, options, batch_tokens, choose_device(device))

    def convert(lines: list[str], first: int) -> list[str]:
        return translator.translate(lines, console.warn, first)

    pipe(input_, output, WINDOW_LINES, convert)
