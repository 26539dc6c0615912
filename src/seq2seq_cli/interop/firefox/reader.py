"""Reads models of Firefox and Bergamot: small, in 8 bits, with a lexical shortlist.

They are Marian's models in its binary container, with vocabularies that are SentencePiece models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.firefox.engine import translate_with_original
from seq2seq_cli.interop.firefox.files import (
    MAX_LENGTH,
    FirefoxFiles,
    content,
    find_files,
    is_model,
    models_in,
)
from seq2seq_cli.interop.firefox.lexical_shortlist import (
    is_binary_shortlist,
    read_binary,
    read_text,
)
from seq2seq_cli.interop.foreign_model import ForeignModel
from seq2seq_cli.interop.marian.binary import (
    Item,
    read_items,
)
from seq2seq_cli.interop.marian.model import marian_model
from seq2seq_cli.interop.marian.options import OPTIONS, read_options
from seq2seq_cli.interop.marian.weights import Parameters
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.padding import Ids
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.tokenization.foreign_vocabulary import (
    ForeignVocabulary,
    import_vocabularies,
)

__all__ = ["read", "recognises", "translate_with_original"]


def recognises(path: Path) -> bool:
    """Whether a file or folder is a model in Marian's binary container."""
    try:
        return bool(models_in(path)) if path.is_dir() else is_model(path)
    except OSError:
        return False


def read(path: Path) -> ForeignModel:
    """Read a model: its folder, or its file of weights beside its vocabularies.

    Raises InputError, with the file and the reason, for what is damaged, missing, encrypted or laid
    out for one processor.
    """
    files = find_files(path)
    items = read_items(content(files.model), str(files.model))
    require(OPTIONS in items, f"{files.model} has no {OPTIONS}: it is not a whole model of Marian")
    options = read_options(items[OPTIONS].numbers().tobytes(), files.model)
    source, target = _vocabularies(files)
    model = marian_model(
        _parameters(items, files.model),
        options,
        source,
        target,
        origin=Origin(format="firefox"),
        data=DataConfig(source_language=files.source_language, max_length=MAX_LENGTH),
        search={"beam": 1},
    )
    if files.shortlist is None:
        return model
    return replace(model, shortlist=_shortlist(files, source, target, model))


def _vocabularies(files: FirefoxFiles) -> tuple[ForeignVocabulary, ForeignVocabulary]:
    source = ForeignVocabulary.of_model(bytes(content(files.source)), str(files.source))
    if files.source == files.target:
        return source, source
    return source, ForeignVocabulary.of_model(bytes(content(files.target)), str(files.target))


def _parameters(items: Mapping[str, Item], path: Path) -> Parameters:
    shapes = {name: item.shape for name, item in items.items() if name != OPTIONS}

    def read_parameter(name: str) -> Array:
        return items[name].values()

    return Parameters(path, shapes, read_parameter)


def _shortlist(
    files: FirefoxFiles, source: ForeignVocabulary, target: ForeignVocabulary, model: ForeignModel
) -> tuple[Ids, Ids]:
    """The shortlist of a model's files, in our ids."""
    path = files.shortlist
    assert path is not None
    data, name = bytes(content(path)), str(path)
    shared = files.source == files.target
    if is_binary_shortlist(data):
        found = read_binary(data, len(target.pieces), name)
    else:
        try:
            lines = data.decode().splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{name} is neither a binary shortlist nor UTF-8: {error}") from None
        found = read_text(iter(lines), _ids(source.pieces), _ids(target.pieces), name)
    ours = import_vocabularies(source, target, start=None, joint=model.tokenizers.is_joint)
    return found.in_our_ids(
        ours.source_rows.numbers, ours.target_rows.numbers, eos=source.eos, shared=shared
    )


def _ids(pieces: Sequence[str | None]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(pieces) if piece is not None}
