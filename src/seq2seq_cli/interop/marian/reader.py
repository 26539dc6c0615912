"""Reads Marian's models: npz with vocabularies, and releases of OPUS-MT as they are.

Marian divides scores by their length if told so, forbids UNK, and reads a source up to its EOS.
"""

import zipfile
from pathlib import Path
from typing import Any, Literal

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.settings import require
from seq2seq_cli.interop.foreign_model import NUMPY_TYPES, ForeignModel
from seq2seq_cli.interop.marian.engine import translate_with_original
from seq2seq_cli.interop.marian.files import (
    DECODER,
    MODEL,
    MarianFiles,
    find_files,
    licence_of,
    models_in,
    search_options,
    source_language_of,
)
from seq2seq_cli.interop.marian.model import marian_model
from seq2seq_cli.interop.marian.npz import NpzFile
from seq2seq_cli.interop.marian.options import OPTIONS, read_options
from seq2seq_cli.interop.marian.vocabulary import read_vocabulary
from seq2seq_cli.interop.marian.weights import Parameters
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.origin import Origin

__all__ = ["read", "recognises", "translate_with_original"]

FLOATS = ("float32", "float16")


def recognises(path: Path) -> bool:
    """Whether a file or folder is a model of Marian: an npz, or a decoder.yml beside one."""
    try:
        if path.is_dir():
            return bool(models_in(path))
        return path.suffix == MODEL or path.name.endswith(DECODER) or _has_options(path)
    except OSError:
        return False


def _has_options(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{OPTIONS}.npy" in archive.namelist()
    except (zipfile.BadZipFile, ValueError):
        return False


def read(path: Path) -> ForeignModel:
    """Read a model of Marian: its folder, its npz beside its vocabularies, or its decoder.yml.

    Raises InputError, with the file and the reason, for what is damaged, missing or cannot be held.
    """
    files = find_files(path)
    given, options = _open(files.model)
    source, target = _vocabularies(files)
    folder = files.model.parent
    search, notes = search_options(files.decoder)
    return marian_model(
        given,
        options,
        source,
        target,
        origin=Origin(format="marian", licence=licence_of(folder)),
        data=DataConfig(source_language=source_language_of(folder)),
        search=search,
        notes=tuple(notes),
    )


def _vocabularies(files: MarianFiles) -> tuple[Any, Any]:
    (source, target), (source_model, target_model) = files.vocabularies, files.segmentations
    first = read_vocabulary(source, source_model)
    if source == target and source_model == target_model:
        return first, first
    return first, read_vocabulary(target, target_model)


def _open(path: Path) -> tuple[Parameters, dict[str, Any]]:
    """The parameters and options of an npz."""
    file = NpzFile(path)
    require(
        OPTIONS in file,
        f"{path} has no {OPTIONS}: it is not a model of Marian, or one of before 2017",
    )
    options = read_options(file.read(OPTIONS).tobytes(), path)
    shapes = {name: file[name].shape for name in file if name != OPTIONS}
    for name in shapes:
        kind = file[name].type.name
        require(
            kind in FLOATS,
            f"{path}: {name} holds {kind}, and {' or '.join(FLOATS)} can be read; convert an 8-bit "
            "model from its float32 original",
        )

    # One type for all: with some of 32 bits, those of 16 bits are widened.
    types = {file[name].type.name for name in shapes}
    dtype: Literal["F32", "F16"] = "F16" if types == {"float16"} else "F32"

    def read_parameter(name: str) -> Array:
        return file.read(name).astype(NUMPY_TYPES[dtype], copy=False)

    is_mapped = file.is_mapped and len(types) == 1
    return Parameters(path, shapes, read_parameter, is_mapped, dtype), options
