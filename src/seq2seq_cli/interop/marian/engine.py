"""Translates with Marian itself, to compare an imported run with it."""

from collections.abc import Sequence
from pathlib import Path

from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.marian.files import find_files
from seq2seq_cli.interop.marian.vocabulary import LISTS


def translate_with_original(path: Path, lines: Sequence[str], beam: int) -> list[str]:
    """Translate lines by Marian itself. Raises InputError if its package is not installed."""
    try:
        import pymarian  # type: ignore[import-not-found]
    except ImportError:
        raise InputError(
            "the package pymarian is not installed; pip install pymarian installs it, for Python "
            "3.8 to 3.12 and with 600 MB"
        ) from None
    from sentencepiece import SentencePieceProcessor

    files = find_files(path)
    translator = pymarian.Translator(
        models=str(files.model),
        vocabs=[str(each) for each in files.vocabularies],
        beam_size=beam,
        normalize=1,
        cpu_threads=1,
        quiet=True,
    )
    if files.vocabularies[0].suffix not in LISTS:  # Marian cuts and joins text itself
        return [translator.translate(line) for line in lines]
    source, target = (SentencePieceProcessor(model_file=str(each)) for each in files.segmentations)
    cut = [" ".join(source.encode(line, out_type=str)) for line in lines]
    found: list[str] = target.decode([translator.translate(line).split(" ") for line in cut])
    return found
