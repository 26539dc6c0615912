"""The files of `seq2seq translate`: read, translated as lines arrive or in blocks, and written."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq_cli.cli import console
from seq2seq_cli.cli.pipe import LineWriter, open_output, pipe
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import STDIN
from seq2seq_cli.launching import rank_and_count
from seq2seq_cli.messages import ignore_warning
from seq2seq_cli.translation.prefixes import Prefixes
from seq2seq_cli.translation.results import Format
from seq2seq_cli.translation.summary import Summary

if TYPE_CHECKING:
    from seq2seq_cli.data.sources import Source
    from seq2seq_cli.translation import Translator

WINDOW_LINES = 1024  # translated together at most: sorted by length, then batched


@dataclass(frozen=True)
class TranslatedFiles:
    """Where text comes from, and where and how its translations go."""

    source: "Source"
    output: Path
    format: Format
    prefix: "Source | None" = None  # how each translation begins
    alignment: Path | None = None  # where word alignments go, in Pharaoh format


def check_can_be_divided(files: TranslatedFiles) -> None:
    """Raise InputError unless several processes can read the input and one can join the output."""
    source = files.source
    if source.path == STDIN or not source.container.can_be_reread() or files.output == STDIN:
        raise InputError("several processes need files: give --input and --output, no pipes")
    if files.alignment is not None:
        raise InputError("--alignment is written by one process; leave out --processes")


def read_prefixes(files: TranslatedFiles) -> Prefixes | None:
    """Read --prefix. Raises InputError if the source is a file with another number of lines."""
    if files.prefix is None:
        return None
    prefixes = Prefixes(list(files.prefix.lines(console.warn)), files.prefix.name)
    if files.source.container.can_be_reread():
        lines = sum(1 for _ in files.source.lines(ignore_warning))
        prefixes.check_count(lines, files.source.name)
    return prefixes


def translate_in_blocks(
    translator: "Translator", files: TranslatedFiles, prefixes: Prefixes | None, runs: list[Path]
) -> None:
    """Translate this process' share of the blocks of a file."""
    from seq2seq_cli.runs.run_folder import RunFolder
    from seq2seq_cli.translation.blocks import BlockFolder, convert_in_blocks

    source, begins = files.source, files.prefix
    rank, count = rank_and_count()
    warn = console.warn if rank == 0 else ignore_warning
    summary = Summary(translator.copies)

    def convert(lines: list[str], first: int) -> list[str]:
        begun = None if prefixes is None else prefixes.window(first, len(lines), source.name)
        found = translator.translate(lines, begun, warn=warn, first_number=first)
        summary.add(found, first)
        return [each.as_format(files.format, number) for number, each in enumerate(found, first)]

    settings = replace(translator.settings, workers=1)  # workers change nothing that is written
    work = {
        "source": source.container.digest(),
        "field": source.field,
        "runs": [RunFolder(run).weights_hash() for run in runs],
        "settings": repr(settings),
        "format": files.format,
        "prefixes": begins and [begins.container.digest(), begins.field],
    }
    folder = BlockFolder(files.output, work)
    folder.open(warn, is_first=rank == 0)
    total = convert_in_blocks(
        source.lines(warn),
        convert,
        folder,
        window=WINDOW_LINES,
        rank=rank,
        processes=count,
    )
    for message in summary.warnings():
        console.warn(f"{message} (process {rank} of {count})")
    if prefixes is not None and rank == 0:
        prefixes.check_count(total, source.name)


def translate_as_lines_arrive(
    translator: "Translator", files: TranslatedFiles, prefixes: Prefixes | None
) -> None:
    """Translate the lines of the source as they come, and write alignments beside the output."""
    source = files.source
    summary = Summary(translator.copies)
    with ExitStack() as opened:
        pairs = None
        if files.alignment is not None:
            stream = opened.enter_context(open_output(files.alignment))
            pairs = opened.enter_context(LineWriter(stream, str(files.alignment)))

        def convert(lines: list[str], first: int) -> list[str]:
            begun = None if prefixes is None else prefixes.window(first, len(lines), source.name)
            found = translator.translate(lines, begun, warn=console.warn, first_number=first)
            summary.add(found, first)
            if pairs is not None:
                pairs.write("".join(f"{each.as_pharaoh()}\n" for each in found).encode())
            return [
                each.as_format(files.format, number) for number, each in enumerate(found, first)
            ]

        count = pipe(source, files.output, WINDOW_LINES, convert)
        for message in summary.warnings():
            console.warn(message)
        if prefixes is not None:
            prefixes.check_count(count, source.name)
