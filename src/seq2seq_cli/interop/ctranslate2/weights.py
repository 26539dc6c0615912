"""The weights of a CTranslate2 model, under our names and in our order."""

from collections.abc import Mapping, Sequence

import numpy as np

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.shapes import Shape
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.ctranslate2 import settings as settings_of
from seq2seq_cli.interop.ctranslate2.model_file import ModelFile, Variable
from seq2seq_cli.interop.ctranslate2.names import names
from seq2seq_cli.interop.ctranslate2.settings import SIDES, embedding_name
from seq2seq_cli.interop.ctranslate2.vocabulary import FORBIDDEN
from seq2seq_cli.interop.foreign_model import StoredWeight, WeightType
from seq2seq_cli.kernels.arrays import Array, Floats
from seq2seq_cli.runs.stored_weights import NUMPY_TYPES
from seq2seq_cli.symbols import BOS, PAD
from seq2seq_cli.tokenization.foreign_vocabulary import ImportedVocabulary, Rows

OUTPUT = "decoder/projection/weight"
TYPES: Mapping[str, WeightType] = {"float16": "F16", "bfloat16": "BF16"}


def is_same(file: ModelFile, name: str, other: str) -> bool:
    """Whether two matrices are one: an alias, or the same numbers, as in files without aliases."""
    one, two = file.variables.get(name), file.variables.get(other)
    if one is None or two is None:
        raise InputError(f"{file.path} lacks the variable {name if one is None else other}")
    if one is two:
        return True
    if (one.shape, one.type) != (two.shape, two.type):
        return False
    return np.array_equal(one.numbers(), two.numbers())


def matrices(
    file: ModelFile, vocabulary: ImportedVocabulary, tie_source: bool, tie_output: bool
) -> dict[str, StoredWeight]:
    """The matrices with a row for each piece."""
    found = {"target_embedding.weight": (embedding_name(file, "decoder"), vocabulary.target_rows)}
    if not tie_source:
        source = embedding_name(file, "encoder")
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


def output_bias(file: ModelFile, rows: Rows) -> Floats | None:
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


def layer_weights(
    file: ModelFile, config: TransformerConfig, shapes: Mapping[str, Shape]
) -> dict[str, StoredWeight]:
    """The weights of all layers. Raises InputError for one that is missing, or of another shape."""
    weights, read = {}, {embedding_name(file, side) for side in SIDES}
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
