"""Marian's models: npz with vocabularies, and releases of OPUS-MT as they are.

Marian divides scores by their length if told so, forbids UNK, and reads a source up to its EOS.
"""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import ForeignModel
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
from seq2seq_cli.interop.marian.model import MarianExport, export_model, marian_model
from seq2seq_cli.interop.marian.npz import NpzFile, write_npz
from seq2seq_cli.interop.marian.options import OPTIONS, read_options
from seq2seq_cli.interop.marian.vocabulary import LISTS, read_vocabulary, written_list
from seq2seq_cli.interop.marian.weights import Parameters
from seq2seq_cli.interop.search_notes import penalty_notes
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.text import replace_file
from seq2seq_cli.tokenization.foreign_vocabulary import MARIAN_SPM

MODEL_FILE, LIST_FILE, JOINT_FILE = f"model{MODEL}", "vocab.yml", "vocab.spm"
SIDE_FILES = ("source.spm", "target.spm")
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

    def read_parameter(name: str) -> Array:
        return file.read(name).astype(np.float32, copy=False)

    is_mapped = file.is_mapped and all(file[name].type == np.float32 for name in shapes)
    return Parameters(path, shapes, read_parameter, is_mapped), options


# Out of a run


def write(run: RunFolder, output: Path, quantization: str) -> Sequence[str]:
    """Write a run as Marian has it: model.npz, vocabularies and decoder.yml.

    Returns notes on what Marian does otherwise. Raises InputError with the setting that Marian does
    not have.
    """
    require(
        quantization in ("", "float32"),
        f"--quantization {quantization}: Marian's npz holds float32; marian-conv makes other types "
        "of it, and --format firefox writes int8",
    )
    exported = export_model(run)
    write_npz(output / MODEL_FILE, _arrays(exported))
    source, target = exported.source.model, exported.target.model
    if exported.layout is MARIAN_SPM:
        names = [JOINT_FILE] * 2 if source == target else list(SIDE_FILES)
    else:
        names = [LIST_FILE] * 2
        replace_file(output / LIST_FILE, written_list(exported.source.pieces))
    if exported.layout is MARIAN_SPM and source == target:
        replace_file(output / JOINT_FILE, source)
    else:
        for name, model in zip(SIDE_FILES, (source, target), strict=True):
            replace_file(output / name, model)
    replace_file(output / DECODER, _decoder(run, names).encode())
    return [*exported.notes, *penalty_notes("Marian", run.config.facts().search)]


def _arrays(exported: MarianExport) -> Iterator[tuple[str, Array]]:
    yield from exported.parameters
    text = _yaml(exported.options).encode() + b"\0"
    yield OPTIONS, np.frombuffer(text, dtype=np.int8)


def _decoder(run: RunFolder, vocabularies: Sequence[str]) -> str:
    """How to decode: the defaults of `translate`, as far as Marian has them."""
    return _yaml(
        {
            "relative-paths": True,
            "models": [MODEL_FILE],
            "vocabs": list(vocabularies),
            "beam-size": 5,
            "normalize": 1.0,
            "word-penalty": 0.0,
            "max-length-factor": 3.0,
            "mini-batch": 32,
            "maxi-batch": 100,
            "maxi-batch-sort": "src",
        }
    )


def _yaml(values: dict[str, Any]) -> str:
    import yaml  # type: ignore[import-untyped]

    text: str = yaml.safe_dump(values, sort_keys=False)
    return text


# The original engine


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
