"""Translates with fxtranslate, to compare an imported run with it."""

from collections.abc import Sequence
from pathlib import Path

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.firefox.files import content, find_files
from seq2seq_cli.interop.marian.binary import read_items
from seq2seq_cli.interop.marian.options import OPTIONS, architecture, read_options


def translate_with_original(path: Path, lines: Sequence[str], beam: int) -> list[str]:
    """Translate lines by fxtranslate, greedily and without the shortlist.

    Raises InputError if it is not installed or cannot run the model.
    """
    try:
        import fxtranslate
    except ImportError:
        raise InputError(
            "the package fxtranslate is not installed; pip install fxtranslate installs it"
        ) from None
    files = find_files(path)
    items = read_items(content(files.model), str(files.model))
    options = read_options(items[OPTIONS].numbers().tobytes(), files.model)
    config = architecture(options, files.model).config
    for name, allowed in (("decoder_attention", "ssru"), ("activation", "relu"), ("norm", "post")):
        value = getattr(config, name)
        require(
            value == allowed,
            f"fxtranslate cannot run this model: it has {config.assignment(name, value)}, and only "
            f'"{allowed}" is known to it',
        )
    require(
        "Wemb" in items or items["decoder_Wemb"].is_quantized,
        "fxtranslate cannot run this model: in float32 it reads only joint vocabularies",
    )
    parts = (bytes(content(each)) for each in (files.model, files.source, files.target))
    translator = fxtranslate.Translator(*parts)
    return [translator.translate(line) for line in lines]
