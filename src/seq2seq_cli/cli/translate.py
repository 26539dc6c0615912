"""`seq2seq translate`: lines in, as many lines out, in order and at once."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, BinaryIO

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import STDIN, arriving_lines, display_name, open_input

SEARCH, FILES, MACHINE = "Search", "Files", "Machine"
WINDOW_LINES = 1024  # lines read ahead, and sorted by length among each other


def translate(
    run: Annotated[Path, typer.Argument(help="Run folder of `seq2seq train`.")],
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
        typer.Option(min=1, help="Of CPU work. [default: all]", rich_help_panel=MACHINE),
    ] = None,
) -> None:
    """Translate text, line by line: N lines in are N lines out, as soon as they arrive.

    \b
    echo "A man rides a bicycle." | seq2seq translate runs/en-de
    seq2seq translate runs/en-de --input book.en --output book.de
    tail -f log.en | seq2seq translate runs/en-de --beam 1 | tee log.de
    """
    source = open_input(input_)
    with _output(output) as sink:
        from seq2seq_cli.devices import choose_device, prepare
        from seq2seq_cli.search import SearchOptions
        from seq2seq_cli.translator import Translator

        prepare(threads)
        options = SearchOptions(beam=beam, length_penalty=length_penalty)
        translator = Translator.load(run, options, batch_tokens, choose_device(device))
        interactive = input_ == STDIN and sys.stdin.isatty() and sys.stdout.isatty()
        with _quiet_signals():
            number = 1
            _prompt(interactive)
            name = display_name(input_)
            for lines in arriving_lines(source, name, WINDOW_LINES, console.warn):
                for line in translator.translate(lines, console.warn, number):
                    sink.write(f"{line}\n".encode())
                sink.flush()
                number += len(lines)
                _prompt(interactive)


def _prompt(interactive: bool) -> None:
    if interactive:
        print("> ", end="", file=sys.stderr, flush=True)


@contextmanager
def _output(path: Path) -> Iterator[BinaryIO]:
    """The place for translations; made before a model is loaded, so that a wrong path costs nothing."""
    if path == STDIN:
        yield sys.stdout.buffer
        return
    try:
        stream = path.open("wb")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    with stream:
        yield stream


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the command without a traceback; what was done is flushed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    yield
