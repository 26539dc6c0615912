"""CTranslate2 models (Klein et al. 2020) as runs: model.bin, vocabularies, SentencePiece models."""

from pathlib import Path

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig, model_config
from seq2seq_cli.config.settings import settings_from
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.ctranslate2 import settings as settings_of
from seq2seq_cli.interop.ctranslate2.engine import translate_with_original
from seq2seq_cli.interop.ctranslate2.model_file import ModelFile, is_model_file, read_model_file
from seq2seq_cli.interop.ctranslate2.positions import ROOM, read_positions
from seq2seq_cli.interop.ctranslate2.settings import SIDES, embedding_name
from seq2seq_cli.interop.ctranslate2.vocabulary import (
    MODEL_FILE,
    PADDING,
    Symbols,
    language_tags,
    read_config,
    read_own_facts,
    read_sentencepiece,
    read_symbols,
    read_vocabularies,
    reads_eos,
    starts_from_zeros,
)
from seq2seq_cli.interop.ctranslate2.weights import (
    OUTPUT,
    is_same,
    layer_weights,
    matrices,
    output_bias,
)
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS
from seq2seq_cli.tokenization.foreign_vocabulary import (
    ForeignVocabulary,
    ImportedVocabulary,
    Rows,
    import_vocabularies,
)

__all__ = ["read", "read_model", "recognises", "translate_with_original"]


def recognises(path: Path) -> bool:
    """Whether this is the folder of a model, or its model.bin."""
    return is_model_file(_model_path(path))


def _model_path(path: Path) -> Path:
    return path / MODEL_FILE if path.is_dir() else path


def read(path: Path) -> ForeignModel:
    """Read a folder, or its model.bin, with the SentencePiece models that lie there.

    Raises InputError, with the file and the reason, for what is damaged, incomplete or cannot be
    held.
    """
    return read_model(_model_path(path), (_model_path(path).parent,), "ctranslate2")


def read_model(path: Path, tokenizer_folders: tuple[Path, ...], format_: str) -> ForeignModel:
    """Read a model.bin whose SentencePiece models lie in the first of these folders that has any.

    Raises InputError as `read` does.
    """
    file = read_model_file(path)
    config = read_config(path.parent)
    facts = settings_of.settings(file, config)
    symbols = read_symbols(file, config)
    vocabulary, languages = _vocabulary(file, symbols, tokenizer_folders)
    positions = read_positions(file, facts)
    tie_source = vocabulary.joint and is_same(
        file, embedding_name(file, "encoder"), embedding_name(file, "decoder")
    )
    tie_output = is_same(file, OUTPUT, embedding_name(file, "decoder"))
    bias = output_bias(file, vocabulary.target_rows)
    own = read_own_facts(config)
    settings = {
        **facts,
        **positions.settings,
        "architecture": "transformer",
        "tie_source": tie_source or not vocabulary.joint,
        "tie_output": tie_output,
        "output_bias": bias is not None,
        "zero_start": _starts_from_zeros(file, vocabulary.target_rows),
        **own["model"],
    }
    ours = model_config(settings)
    assert isinstance(ours, TransformerConfig)
    tokenizers = Tokenizers(vocabulary.source, vocabulary.target, vocabulary.joint)
    weights = {
        **matrices(file, vocabulary, tie_source, tie_output),
        **positions.weights,
        **layer_weights(file, ours, weight_shapes(ours, tokenizers.vocabulary)),
    }
    if bias is not None:
        weights["output.bias"] = StoredWeight.of(bias)
    data = {
        "max_length": min(ROOM, positions.longest_source),
        "source_eos": reads_eos(file, symbols),
        "language_tags": "both" if languages else "source",
        **own["data"],
    }
    return ForeignModel(
        config=ours,
        tokenizers=tokenizers,
        weights=weights,
        data=settings_from(DataConfig, "data", data),
        origin=Origin(format=format_, model="CTranslate2 model"),
        search={"length_penalty": "power"},
    )


def _vocabulary(
    file: ModelFile, symbols: Symbols, tokenizer_folders: tuple[Path, ...]
) -> tuple[ImportedVocabulary, set[str]]:
    """Bring the vocabularies into our order; returns the languages that tag both sides too.

    Raises InputError for what does not fit together.
    """
    folder = file.path.parent
    if symbols.adds_bos:
        raise InputError(f"{folder} cannot be imported: sources begin with <s> (add_source_bos)")
    if symbols.start is None:
        raise InputError(
            f"{folder} cannot be imported: its decoder has no start of its own "
            "(decoder_start_token is null)"
        )
    lists = read_vocabularies(folder, symbols.unk)
    for side, pieces in zip(SIDES, lists, strict=True):
        rows = file.variables[embedding_name(file, side)].shape[0]
        if rows != len(pieces):
            raise InputError(
                f"{folder}: the vocabulary of the {SIDES[side]} has {len(pieces):,} pieces and its "
                f"matrix {rows:,} rows; the files belong to different models"
            )
    models = read_sentencepiece(tokenizer_folders)
    sides = [
        _foreign(pieces, model, name, symbols)
        for pieces, (name, model) in zip(lists, models, strict=True)
    ]
    start = None
    if not starts_from_zeros(file):
        start = _id(lists[1], symbols.start, folder, "decoder_start_token")
    joint = sides[0].is_same_list(sides[1])
    languages = {*sides[0].tags.values(), *sides[1].tags.values()}
    return import_vocabularies(*sides, start=start, joint=joint), languages


def _foreign(pieces: list[str], model: bytes, name: str, symbols: Symbols) -> ForeignVocabulary:
    ids = {piece: number for number, piece in reversed(list(enumerate(pieces)))}
    return ForeignVocabulary(
        # The engine never finds the second of two like pieces.
        [piece if ids[piece] == number else None for number, piece in enumerate(pieces)],
        model,
        eos=_id(pieces, symbols.eos, Path(name), "eos_token"),
        unk=ids[symbols.unk],
        pad=next((ids[piece] for piece in PADDING if piece in ids), None),
        bos=ids.get(symbols.bos),
        tags=language_tags(pieces, symbols),
        name=name,
    )


def _id(pieces: list[str], piece: str, path: Path, what: str) -> int:
    try:
        return pieces.index(piece)
    except ValueError:
        raise InputError(f"{path}: the vocabulary lacks {what} {piece}") from None


def _starts_from_zeros(file: ModelFile, rows: Rows) -> bool:
    """Whether the decoder starts from zeros: by an attribute, or by its row of the embedding."""
    if starts_from_zeros(file):
        return True
    start = file.variables[embedding_name(file, "decoder")].numbers()[rows.numbers[BOS]]
    return not start.any()
