"""CTranslate2 models (Klein et al. 2020) as runs: model.bin, vocabularies, SentencePiece models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig, model_config
from seq2seq_cli.config.settings import settings_from
from seq2seq_cli.config.shapes import Shape, weight_shapes
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.positions import sinusoids
from seq2seq_cli.interop.ctranslate2 import settings as settings_of
from seq2seq_cli.interop.ctranslate2.engine import translate_with_original
from seq2seq_cli.interop.ctranslate2.model_file import (
    ModelFile,
    Variable,
    is_model_file,
    read_model_file,
)
from seq2seq_cli.interop.ctranslate2.names import names
from seq2seq_cli.interop.ctranslate2.vocabulary import (
    FORBIDDEN,
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
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight, WeightType
from seq2seq_cli.interop.position_tables import Sinusoids, learned_tables, recognised_sinusoids
from seq2seq_cli.kernels.arrays import Array, Floats
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.stored_weights import NUMPY_TYPES
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, PAD
from seq2seq_cli.tokenization.foreign_vocabulary import (
    ForeignVocabulary,
    ImportedVocabulary,
    Rows,
    import_vocabularies,
)

__all__ = ["read", "read_model", "recognises", "translate_with_original"]

ROOM = 512  # the longest source of a model that could read longer ones
COMPUTED_POSITIONS = 1024  # of a side without a table, if the other one's is learned
OUTPUT = "decoder/projection/weight"
SIDES = {"encoder": "source", "decoder": "target"}
TYPES: Mapping[str, WeightType] = {"float16": "F16", "bfloat16": "BF16"}


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
    positions = _positions(file, facts)
    tie_source = vocabulary.joint and _is_same(
        file, _embedding(file, "encoder"), _embedding(file, "decoder")
    )
    tie_output = _is_same(file, OUTPUT, _embedding(file, "decoder"))
    bias = _output_bias(file, vocabulary.target_rows)
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
        **_matrices(file, vocabulary, tie_source, tie_output),
        **positions.weights,
        **_layers(file, ours, weight_shapes(ours, tokenizers.vocabulary)),
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


# Vocabularies


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
        rows = file.variables[_embedding(file, side)].shape[0]
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
    start = file.variables[_embedding(file, "decoder")].numbers()[rows.numbers[BOS]]
    return not start.any()


# Weights


def _embedding(file: ModelFile, side: str) -> str:
    return settings_of.embedding_name(file, side)


def _is_same(file: ModelFile, name: str, other: str) -> bool:
    """Whether two matrices are one: an alias, or the same numbers, as in files without aliases."""
    one, two = file.variables.get(name), file.variables.get(other)
    if one is None or two is None:
        raise InputError(f"{file.path} lacks the variable {name if one is None else other}")
    if one is two:
        return True
    if (one.shape, one.type) != (two.shape, two.type):
        return False
    return np.array_equal(one.numbers(), two.numbers())


def _matrices(
    file: ModelFile, vocabulary: ImportedVocabulary, tie_source: bool, tie_output: bool
) -> dict[str, StoredWeight]:
    """The matrices with a row for each piece."""
    found = {"target_embedding.weight": (_embedding(file, "decoder"), vocabulary.target_rows)}
    if not tie_source:
        source = _embedding(file, "encoder")
        found["source_embedding.weight"] = source, vocabulary.source_rows
    if not tie_output:
        found["output.weight"] = OUTPUT, vocabulary.target_rows
    return {ours: _rows_of(file, name, rows) for ours, (name, rows) in found.items()}


def _rows_of(file: ModelFile, name: str, rows: Rows) -> StoredWeight:
    """A matrix with a row for each piece, in the order of our vocabulary."""
    variable = file.variables[name]
    dtype = _weight_type(file, name)

    def part(first: int, last: int) -> Array:
        some = Rows(rows.numbers[first:last], rows.never[first:last])
        numbers = some.of(variable.numbers())
        if variable.type in TYPES:
            return numbers
        numbers = numbers.astype(np.float32, copy=False)
        if variable.type != "float32":
            scale = file.scale(name)
            scale = some.of(scale) if len(scale) == variable.shape[0] else scale
            numbers /= np.where(scale == 0, np.float32(1), scale)  # rows of zeros have none
        return numbers.astype(NUMPY_TYPES[dtype], copy=False)

    shape = (len(rows), *variable.shape[1:])
    return StoredWeight(shape, dtype, lambda: part(0, len(rows)), part)


def _output_bias(file: ModelFile, rows: Rows) -> Floats | None:
    """The bias of the output, without what forbids control symbols, or None if it does nothing."""
    name = "decoder/projection/bias"
    bias = file.variables[name].floats() if name in file.variables else None
    if bias is not None and bias.shape != file.variables[OUTPUT].shape[:1]:
        raise InputError(f"{file.path} is damaged: {name} is {list(bias.shape)}")
    if bias is None and not rows.need_bias:
        return None
    made = rows.bias(bias)
    # An exported run forbids them by its bias, and search here does so anyway.
    forbidden = made[PAD : BOS + 1]
    was_exported = forbidden <= FORBIDDEN / 2
    forbidden[was_exported] -= FORBIDDEN
    if file.variables.get(name, Variable.of(made)).type != "float32":  # it has no more than that
        forbidden[was_exported & (np.abs(forbidden) < -FORBIDDEN * 2**-8)] = 0
    return made if made.any() else None


def _weight_type(file: ModelFile, *variables: str) -> WeightType:
    """The type of a weight in RUN: 8 and 16 bits become floats as the other weights have them."""
    kinds = {file.variables[name].type for name in variables}
    kind = kinds.pop() if len(kinds) == 1 else "float32"
    if kind in ("int8", "int16"):
        kind = file.variables["encoder/layer_0/ffn/layer_norm/gamma"].type
        return "F16" if kind == "float16" else "F32"
    return TYPES.get(kind, "F32")


def _layers(
    file: ModelFile, config: TransformerConfig, shapes: Mapping[str, Shape]
) -> dict[str, StoredWeight]:
    """The weights of all layers. Raises InputError for one that is missing, or of another shape."""
    weights, read = {}, {_embedding(file, side) for side in SIDES}
    read |= {OUTPUT, "decoder/projection/bias"}
    read |= {f"{side}/position_encodings/encodings" for side in SIDES}
    layers = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    head_width = config.width // config.heads
    turns = settings_of.rotary(settings_of.Attributes(file), layers, head_width)
    for ours, theirs in names(config):
        read.update(theirs)
        weights[ours] = _stored(file, theirs, shapes[ours])
        if turns and ".query_key_value." in ours:
            weights[ours] = _halves_of_pairs(weights[ours], config.heads)
    settings_of.check_all_read(file, read)
    return weights


def _stored(file: ModelFile, theirs: Sequence[str], shape: Shape) -> StoredWeight:
    """A weight whose rows are those of several variables; biases may be missing, which are 0."""
    found = [name for name in theirs if name in file.variables]
    for name in theirs:
        if name not in found and not name.endswith("/bias"):
            raise InputError(f"{file.path} lacks the variable {name}")
    part = (shape[0] // len(theirs), *shape[1:])
    for name in found:
        if file.variables[name].shape != part:
            raise InputError(
                f"{file.path} is damaged: {name} is {list(file.variables[name].shape)}, "
                f"{list(part)} by the other weights"
            )
    dtype = _weight_type(file, *found) if len(found) == len(theirs) else "F32"

    def read() -> Array:
        if dtype == "F32" or any("int" in file.variables[name].type for name in found):
            parts = [file.floats(name) if name in found else np.zeros(part) for name in theirs]
            return np.concatenate(parts).astype(NUMPY_TYPES[dtype], copy=False)
        return np.concatenate([file.variables[name].numbers() for name in found])

    return StoredWeight(shape, dtype, read)


def _halves_of_pairs(weight: StoredWeight, heads: int) -> StoredWeight:
    """Weights of queries, keys and values whose rotated pairs are neighbours, as ours have them.

    Ours rotate number i of a head with number i + width / 2 of it. Attention is the same in any
    order that queries and keys share.
    """

    def read() -> Array:
        products = weight.read()
        query_key, value = np.split(products, [2 * len(products) // 3])
        pairs = query_key.reshape(2 * heads, -1, 2, *products.shape[1:])
        return np.concatenate((pairs.swapaxes(1, 2).reshape(query_key.shape), value))

    return StoredWeight(weight.shape, weight.dtype, read)


# Positions


@dataclass(frozen=True)
class _Positions:
    """How positions are encoded: settings, weights, and how long sources may be."""

    settings: Mapping[str, Any]
    weights: Mapping[str, StoredWeight]
    longest_source: int


def _positions(file: ModelFile, facts: Mapping[str, Any]) -> _Positions:
    """Find out how positions are encoded: by a table, or as the engine computes it without one."""
    layers = {side: facts[f"{side}_layers"] for side in SIDES}
    head_width = facts["width"] // facts["heads"]
    if settings_of.rotary(settings_of.Attributes(file), layers, head_width) is not None:
        return _Positions({"positions": "rotary"}, {}, ROOM)
    tables: dict[str, Callable[[], Floats]] = {}
    found: set[Sinusoids | None] = set()
    computed = Sinusoids("tensor2tensor", 1)
    for side in SIDES:
        name = f"{side}/position_encodings/encodings"
        variable = file.variables.get(name)
        if variable is None:
            found.add(computed)
            continue
        if len(variable.shape) != 2 or variable.shape[1] != facts["width"] or not variable.shape[0]:
            raise InputError(f"{file.path} is damaged: {name} is {list(variable.shape)}")
        tables[side] = variable.floats
        found.add(recognised_sinusoids(variable.floats()))
    lengths = [len(table()) for side, table in tables.items() if side == "encoder"]
    longest = min(lengths, default=ROOM + 1) - 1  # with EOS
    if len(found) == 1 and (only := found.pop()) is not None:
        settings = {"sinusoids": only.form, "first_position": only.first_position}
        return _Positions(settings, {}, max(1, longest))
    tables = {side: tables.get(side, lambda: _computed(computed, facts["width"])) for side in SIDES}
    made = learned_tables(table() for table in tables.values())
    weights = {
        f"{SIDES[side]}_positions.embedding.weight": StoredWeight.of(table)
        for side, table in zip(SIDES, made, strict=True)
    }
    settings = {"positions": "learned", "max_positions": len(made[0])}
    return _Positions(settings, weights, max(1, longest))


def _computed(kind: Sinusoids, width: int) -> Floats:
    last = kind.first_position + COMPUTED_POSITIONS
    return sinusoids(last, width, kind.form)[kind.first_position :]
