"""`seq2seq import`: a model of another engine as a run folder."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.options import AsTextOption, DelimiterOption, EncodingOption
from seq2seq_cli.cli.paths import check_new_folder, check_paths
from seq2seq_cli.cli.pipe import unwinding
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import Reading

VERIFY = "Comparison with the original engine"
LINES = 100  # compared by --verify


def import_run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A name on the hub such as Helsinki-NLP/opus-mt-en-de or its address, a folder, "
            "an archive (.zip, .argosmodel) or a file (.npz, .bin).",
        ),
    ],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder to write.")],
    format_: Annotated[
        Literal["auto", "huggingface", "marian", "firefox", "ctranslate2", "argos"],
        typer.Option("--format", help="What the model is. auto: found out from its files."),
    ] = "auto",
    revision: Annotated[
        str,
        typer.Option(
            help="Branch, tag or commit on the hub.", show_default="the newest of the main branch"
        ),
    ] = "",
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Compare 100 lines with the engine that the model was made for, and record how "
            "many are equal. Needs its package: transformers, pymarian, fxtranslate or "
            "ctranslate2.",
            rich_help_panel=VERIFY,
        ),
    ] = False,
    text: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Text whose first 100 lines are compared.",
            show_default="English sentences of the demo corpus",
            rich_help_panel=VERIFY,
        ),
    ] = "",
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Make a run of a model of another engine: OPUS-MT, Marian, Firefox, NLLB, CTranslate2.

    RUN then translates, is fine-tuned (`seq2seq train --init-from RUN`) and is exported as any
    other. Two sentences are translated at the end, as a check. Runs that `seq2seq push` uploaded
    are fetched too. Downloads go through the cache of huggingface_hub; HF_HUB_OFFLINE=1 uses only
    that.

    \b
    seq2seq import Helsinki-NLP/opus-mt-en-de runs/opus-en-de
    seq2seq import opus-2021-02-22.zip runs/opus-fi-en
    seq2seq import models/nllb-200-distilled-600M runs/nllb --verify
    seq2seq import marian/best.npz runs/mine    # its vocabularies beside it
    seq2seq import firefox/enes runs/en-es      # a folder of a model of Firefox
    seq2seq import en_de.argosmodel runs/en-de
    """
    check_new_folder(run)
    lines = _lines_to_verify(text, Reading(encoding, delimiter, as_text), verify=verify)
    from seq2seq_cli.translation.importing import ImportRequest, import_model

    request = ImportRequest(source, format_, revision, lines)
    with unwinding():
        origin = import_model(request, run, note=console.note, warn=console.warn)
    if origin.verified:
        console.note(f"verified: {origin.verified}")
    console.note(f"{run}: made of {origin.in_words()}")
    console.note(f"licence: {origin.licence or 'not named in its files; ask where you got it'}")
    if "-nc" in origin.licence.lower():
        console.warn(f"{origin.licence} forbids commercial use, also of what is trained from it")


def _lines_to_verify(text: str, reading: Reading, *, verify: bool) -> list[str]:
    """The lines of --verify, none without it. Raises InputError if the text cannot be read."""
    if not verify:
        if text:
            raise InputError(f"--text {text} is for --verify; add it")
        return []
    if not text:
        from seq2seq_cli.demo.splits import generate

        return [english for english, _ in generate(LINES * 20, 1).test[:LINES]]
    from seq2seq_cli.data.sources import parse_text

    source = parse_text(text, reading)
    check_paths([source], [])
    lines = [line for _, line in zip(range(LINES), source.lines(console.warn), strict=False)]
    if not lines:
        raise InputError(f"{source.name} is empty; --verify needs lines to translate")
    return lines
