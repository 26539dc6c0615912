"""Which files make up a model of Marian: the model, its vocabularies, and what decodes it.

A release of OPUS-MT has a `decoder.yml` that names them; Marian's trainer writes a
`model.npz.decoder.yml`. Without one, files are found by their names.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seq2seq_cli.config.data import LANGUAGE_CODE
from seq2seq_cli.config.search import MOST_BEAM
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.marian.options import read_yaml
from seq2seq_cli.interop.marian.vocabulary import LISTS, read_bytes

MODEL = ".npz"
NOT_MODELS = (".optimizer.npz",)
DECODER = "decoder.yml"
SEGMENTATION = ".spm"
SIDES = {"source": ("source", "src"), "target": ("target", "trg", "tgt")}
MOST_TEXT_BYTES = 100_000  # of a licence or README that is looked at
BPE = (".bpe", ".codes", ".bpe-model")  # files of tokenizers that cannot be held


@dataclass(frozen=True)
class MarianFiles:
    """The files of a model; `decoder` holds the options of `decoder.yml`."""

    model: Path
    vocabularies: tuple[Path, Path]
    segmentations: tuple[Path | None, Path | None]
    decoder: Mapping[str, Any] = field(default_factory=dict)


def models_in(folder: Path) -> list[Path]:
    """The files of a folder that may be models."""
    return sorted(
        path
        for path in folder.glob(f"*{MODEL}")
        if not path.name.endswith(NOT_MODELS) and not path.name.startswith(".")
    )


def decoders_in(folder: Path) -> list[Path]:
    """The files of a folder that say how to decode; `decoder.yml` comes first."""
    found = sorted(folder.glob(f"*{DECODER}"))
    return sorted(found, key=lambda path: path.name != DECODER)


def find_files(path: Path) -> MarianFiles:
    """Find the files of a model, by its folder, its npz or its decoder.yml.

    Raises InputError if one is missing or it is not clear which belong together.
    """
    folder = path if path.is_dir() else path.parent
    decoder, model = _decoder_and_model(path, folder)
    names = _names(decoder, "vocabs")
    if names:
        require(
            len(names) == 2,
            f"{folder}: {DECODER} names {len(names)} vocabularies; a model of two sides has two",
        )
        vocabularies = tuple(_inside(folder, name) for name in names)
    else:
        vocabularies = _vocabularies(folder)
    source, target = vocabularies
    segmentations = tuple(_segmentation(folder, side) for side in SIDES)
    for vocabulary, found in zip(vocabularies, segmentations, strict=True):
        if vocabulary.suffix in LISTS and found is None:
            _refuse_bpe(folder)
    return MarianFiles(model, (source, target), (segmentations[0], segmentations[1]), decoder)


def _decoder_and_model(path: Path, folder: Path) -> tuple[dict[str, Any], Path]:
    """The options of decoder.yml, if there is one, and the model."""
    if path.is_file() and path.suffix == MODEL:
        own = folder / f"{path.name}.{DECODER}"
        candidates = [own] if own.is_file() else decoders_in(folder)
        for each in candidates:
            decoder = _read_decoder(each)
            if path.name in [Path(name).name for name in _names(decoder, "models")]:
                return decoder, path
        return {}, path
    candidates = [path] if path.is_file() else decoders_in(folder)
    if candidates:
        decoder = _read_decoder(candidates[0])
        names = _names(decoder, "models")
        require(
            len(names) == 1,
            f"{candidates[0]} names {len(names)} models ({', '.join(names)}); an ensemble is not "
            "one run: name one of its files instead of the folder",
        )
        return decoder, _inside(folder, names[0])
    models = models_in(folder)
    require(bool(models), f"{folder}: a file {MODEL} is missing")
    require(
        len(models) == 1,
        f"{folder} has several models ({', '.join(each.name for each in models)}) and no "
        f"{DECODER}; name one of the files",
    )
    return {}, models[0]


def _read_decoder(path: Path) -> dict[str, Any]:
    options = read_yaml(read_bytes(path), path)
    if not isinstance(options, dict):
        raise InputError(f"{path} does not hold options of Marian")
    return {str(name): value for name, value in options.items()}


def _names(decoder: Mapping[str, Any], option: str) -> list[str]:
    """The files that an option names."""
    value = decoder.get(option) or []
    values = value if isinstance(value, list) else [value]
    return [str(each) for each in values]


def _inside(folder: Path, name: str) -> Path:
    """A file by the name that a stranger's decoder.yml has for it; never one of another folder."""
    top = folder.resolve()
    for candidate in (folder / name, folder / Path(name.replace("\\", "/")).name):
        resolved = candidate.resolve()
        if resolved.is_relative_to(top) and resolved.is_file():
            return candidate
    raise InputError(f"{folder}: {Path(name).name} is missing, which {DECODER} names")


def _vocabularies(folder: Path) -> tuple[Path, Path]:
    """The vocabularies of a folder without decoder.yml, by their names."""
    lists = [
        path
        for suffix in LISTS
        for path in sorted(folder.glob(f"*vocab*{suffix}"))
        if not path.name.endswith(DECODER)
    ]
    models = sorted(folder.glob(f"*{SEGMENTATION}"))
    for found in (lists, models):
        if len(found) == 1:
            return found[0], found[0]
        pair = [[path for path in found if _is_of(path, side)] for side in SIDES]
        if all(len(each) == 1 for each in pair):
            return pair[0][0], pair[1][0]
    raise InputError(
        f"{folder}: the vocabularies are missing, such as vocab.spm, or source.spm and target.spm "
        f"with a vocab.yml; a {DECODER} may name them"
    )


def _is_of(path: Path, side: str) -> bool:
    """Whether a file's name says that it is of a side, as in vocab.src.spm and source.spm."""
    parts = path.name.replace("-", ".").replace("_", ".").split(".")
    return any(part in SIDES[side] for part in parts)


def _segmentation(folder: Path, side: str) -> Path | None:
    """The SentencePiece model of a side whose vocabulary is a list."""
    models = sorted(folder.glob(f"*{SEGMENTATION}"))
    of_side = [path for path in models if _is_of(path, side)]
    if len(of_side) == 1:
        return of_side[0]
    return models[0] if len(models) == 1 else None


def _refuse_bpe(folder: Path) -> None:
    """Say so if a model has a tokenizer of the time before SentencePiece."""
    for path in sorted(folder.iterdir()):
        if path.name.endswith(BPE) or ".bpe" in path.name:
            raise InputError(
                f"{path} is a tokenizer of BPE codes, which need a segmentation of words that is "
                "not part of the model; only models with SentencePiece (.spm) can be held"
            )


def search_options(decoder: Mapping[str, Any]) -> tuple[dict[str, int | float | str], list[str]]:
    """The author's options of search by our names, and what is told of those that are left out."""
    found: dict[str, int | float | str] = {}
    notes = []
    beam, normalize = decoder.get("beam-size"), decoder.get("normalize")
    if type(beam) is int and 1 <= beam <= MOST_BEAM:
        found["beam"] = beam
    if normalize is True:
        normalize = 1.0
    if isinstance(normalize, int | float) and math.isfinite(normalize) and 0 < normalize <= 10:
        found |= {"length_penalty": "power", "alpha": float(normalize)}
    elif decoder:  # Marian does not normalise scores unless it is told to
        found["length_penalty"] = "none"
    if decoder.get("word-penalty"):
        notes.append(f"word-penalty: {decoder['word-penalty']} is left out: search has none")
    return found, notes


LICENCES = {
    "attribution 4.0 international": "cc-by-4.0",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by 4.0": "cc-by-4.0",
    "apache license": "apache-2.0",
    "mozilla public license": "mpl-2.0",
    "mit license": "mit",
}
SOURCE_LANGUAGE = re.compile(r"^\W*source languages?(?:\(s\))?:\s*(\S+)\s*$", re.I | re.M)


def licence_of(folder: Path) -> str:
    """The licence that a folder's files name, or "" if they name none that is known."""
    for text in _texts(folder, ("LICENSE*", "LICENCE*", "README.md")):
        for words, licence in LICENCES.items():
            if words in text.lower():
                return licence
    return ""


def source_language_of(folder: Path) -> str:
    """The source language that a folder's README names, or "" if it names none or several."""
    for text in _texts(folder, ("README.md",)):
        found = SOURCE_LANGUAGE.search(text)
        if found is not None and LANGUAGE_CODE.fullmatch(found[1]):
            return found[1]
    return ""


def _texts(folder: Path, patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                with path.open("rb") as file:
                    yield file.read(MOST_TEXT_BYTES).decode(errors="replace")
