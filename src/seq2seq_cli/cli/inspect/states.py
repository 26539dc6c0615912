"""`seq2seq inspect states`: hidden states and attention in a file."""

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.inspect.options import (
    FILES,
    WHAT,
    BeamOption,
    InputOption,
    TargetOption,
    translation_settings,
)
from seq2seq_cli.cli.inspect.pairs import Pairs
from seq2seq_cli.cli.options import (
    AsTextOption,
    DelimiterOption,
    EncodingOption,
    RunArgument,
    SourceLanguageOption,
    TargetLanguageOption,
    ThreadsOption,
    warn_of_idle_options,
)
from seq2seq_cli.cli.paths import check_paths
from seq2seq_cli.cli.pipe import unwinding
from seq2seq_cli.config.effects.inspect import INSPECT_STATES
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.plots.files import STATES_FORMATS, check_format
from seq2seq_cli.inputs import Reading
from seq2seq_cli.messages import counted


def states(
    context: typer.Context,
    run: RunArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="FILE.npz, .parquet or .safetensors.",
            rich_help_panel=FILES,
        ),
    ],
    input_: InputOption = "-",
    target: TargetOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A layer or an attention to write, as source/layer-1 or cross/attention; again "
            "for others.",
            show_default="all",
            rich_help_panel=WHAT,
        ),
    ] = None,
    beam: BeamOption = 5,
    target_language: TargetLanguageOption = "",
    source_language: SourceLanguageOption = "",
    threads: ThreadsOption = None,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Write the hidden states of every layer and the attention of every head, of both sides.

    The file has arrays by name, and pieces, words and line numbers; docs/architectures.md says
    which. Translations are searched unless they are given.

    \b
    seq2seq inspect states runs/en-de -o states.npz < test.en
    seq2seq inspect states runs/en-de -i test.en --target test.de \\
        --only source/layer-2 --only cross/attention -o states.safetensors
    """
    check_format(output, STATES_FORMATS)
    texts = Pairs.parse(input_, target, Reading(encoding, delimiter, as_text))
    check_paths(texts.texts(), [output])
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.evaluation.hidden_states import StateReader, hidden_states
    from seq2seq_cli.evaluation.states_file import check_names, save_states

    prepare(threads)
    warn_of_idle_options(context, INSPECT_STATES)
    reader = StateReader.load(run, translation_settings(beam, target_language, source_language))
    check_names(only or (), reader.names())
    pairs = iter(texts)
    first = next(pairs, None)
    if first is None:
        raise InputError(f"{texts.source.name} is empty: there are no states to write")
    with unwinding():
        lines, size = save_states(hidden_states(reader, chain([first], pairs)), output, only or ())
    console.note(f"{output}: {counted(lines, 'line')}, {size / 1e6:,.1f} MB")
