"""`seq2seq inspect attention`: what each token of a translation attends to."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.inspect.options import (
    WHAT,
    BeamOption,
    InputOption,
    TargetOption,
    check_drawing,
    output_option,
    translation_settings,
)
from seq2seq_cli.cli.inspect.pairs import Pairs
from seq2seq_cli.cli.options import (
    AsTextOption,
    DelimiterOption,
    EncodingOption,
    RunArgument,
    ThreadsOption,
    warn_of_idle_options,
)
from seq2seq_cli.cli.paths import check_paths
from seq2seq_cli.cli.terminal_plots import heat_map, shows_colour
from seq2seq_cli.config.effects.inspect import INSPECT_ATTENTION
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.plots.files import MAP_FORMATS, save_attention
from seq2seq_cli.inputs import Reading
from seq2seq_cli.messages import counted

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.attention_maps import AttentionMap

# The layers and heads that are drawn unless one is chosen.
ALIGNING = "mean of all, or those of model.alignment_layer and _head"


def attention(
    context: typer.Context,
    run: RunArgument,
    input_: InputOption = "-",
    target: TargetOption = None,
    output: Annotated[
        Path | None,
        output_option("FILE.png, .svg, .html or .json, instead of the terminal."),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Layer of the decoder, from 1.",
            show_default=ALIGNING,
            rich_help_panel=WHAT,
        ),
    ] = None,
    head: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Attention head, from 1.",
            show_default=ALIGNING,
            rich_help_panel=WHAT,
        ),
    ] = None,
    beam: BeamOption = 5,
    threads: ThreadsOption = None,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Show how much each token of a translation attends to each source token.

    Each row is a target token, each column a source token. HTML and JSON have all layers and heads.

    \b
    echo "A man rides a bicycle." | seq2seq inspect attention runs/en-de
    head -n 20 test.en | seq2seq inspect attention runs/en-de -o attention.html
    seq2seq inspect attention runs/en-de -i test.en --target test.de \\
        --layer 2 --output layer-2.png
    """
    check_drawing(output, MAP_FORMATS)
    texts = Pairs.parse(input_, target, Reading(encoding, delimiter, as_text))
    check_paths(texts.texts(), [])
    pairs = texts.read()
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.evaluation.attention_maps import attention_maps
    from seq2seq_cli.translation import Translator

    prepare(threads)
    warn_of_idle_options(context, INSPECT_ATTENTION)
    translator = Translator.load(run, translation_settings(beam))
    given = None if target is None else [line or "" for _, line in pairs]
    maps = attention_maps(translator, [line for line, _ in pairs], given)
    if output is None:
        _print_maps(maps, layer, head)
        return
    drawn = list(maps)
    if not drawn:
        raise InputError(f"{texts.source.name} is empty: nothing to draw")
    save_attention(drawn, output, f"Attention of {run.name}", layer, head, warn=console.warn)
    console.note(f"{output}: {counted(len(drawn), 'sentence')}")


def _print_maps(maps: "Iterable[AttentionMap]", layer: int | None, head: int | None) -> None:
    """Print maps as they are computed."""
    colour = shows_colour()
    for drawn in maps:
        rows = drawn.mean(layer, head).tolist()
        for line in heat_map(drawn.source, drawn.target, rows, colour=colour):
            print(line)
        print(flush=True)
