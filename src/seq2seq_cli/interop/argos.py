"""Packages of Argos Translate as runs: a CTranslate2 model, its SentencePiece model and languages.

A package is a zip archive of one folder: metadata.json, model/ and sentencepiece.model.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seq2seq_cli.config.data import check_language_code
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.ctranslate2 import reader as ctranslate2
from seq2seq_cli.interop.ctranslate2.vocabulary import MODEL_FILE, read_json
from seq2seq_cli.interop.foreign_model import ForeignModel
from seq2seq_cli.runs.origin import Origin

METADATA = "metadata.json"
MODEL_FOLDER = "model"
SENTENCEPIECE, OTHER_TOKENIZER = "sentencepiece.model", "bpe.model"
# The defaults of argostranslate.translate.
SEARCH: dict[str, int | float | str] = {"beam": 4, "length_penalty": "power", "alpha": 0.2}


def recognises(path: Path) -> bool:
    """Whether this is the folder of a package."""
    return (path / METADATA).is_file() and (path / MODEL_FOLDER).is_dir()


def read(path: Path) -> ForeignModel:
    """Read the folder of a package.

    Raises InputError, with the file and the reason, for what is damaged, incomplete or cannot be
    held.
    """
    metadata = _metadata(path / METADATA)
    if not (path / SENTENCEPIECE).is_file() and (path / OTHER_TOKENIZER).is_file():
        raise InputError(
            f"{path / OTHER_TOKENIZER}: words were cut by Moses and subword-nmt, which are not "
            "here; packages with sentencepiece.model can be imported"
        )
    folder = path / MODEL_FOLDER
    model = ctranslate2.read_model(folder / MODEL_FILE, (path, folder), "argos")
    languages = f"{metadata['from_code']}-{metadata['to_code']}"
    version = str(metadata.get("package_version", ""))
    return replace(
        model,
        data=replace(model.data, source_language=metadata["from_code"]),
        origin=Origin(format="argos", model=f"{languages} {version}".strip()),
        search=SEARCH,
    )


def _metadata(path: Path) -> dict[str, Any]:
    """Read the metadata of a package. Raises InputError unless it is a translation model."""
    metadata = read_json(path)
    if not isinstance(metadata, dict):
        raise InputError(f"{path} is damaged: it is not a table")
    kind = metadata.get("type", "translate")
    if kind != "translate":
        raise InputError(f"{path}: type = {kind!r}; translate is what can be imported")
    for name in ("from_code", "to_code"):
        code = metadata.get(name)
        if not isinstance(code, str) or not code:
            raise InputError(f"{path} is damaged: it lacks {name}, a code of a language")
        check_language_code(code, f"{path}: {name} = {code!r}")
    if metadata.get("target_prefix"):
        raise InputError(
            f"{path} cannot be imported: its translations begin with "
            f"{metadata['target_prefix']!r} (target_prefix)"
        )
    return metadata


def translate_with_original(path: Path, lines: Sequence[str], beam: int) -> list[str]:
    """Translate lines with CTranslate2, as the package `argostranslate` does."""
    return ctranslate2.translate_with_original(path / MODEL_FOLDER, lines, beam)
