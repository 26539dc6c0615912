"""Names and layouts of weights in Marian and in run folders: one table for both directions.

Marian and its descendants in Bergamot and Firefox have the same parameters, whatever file holds
them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from seq2seq_cli.config.models import TransformerConfig, Vocabulary
from seq2seq_cli.config.settings import require
from seq2seq_cli.config.shapes import Shape, weight_shapes
from seq2seq_cli.interop.foreign_model import NUMPY_TYPES, StoredWeight, reordered
from seq2seq_cli.interop.marian.options import OPTIONS
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.symbols import BOS
from seq2seq_cli.tokenization.foreign_vocabulary import Rows

OUTPUT_BIAS = "decoder_ff_logit_out_b"
OUTPUT = "decoder_ff_logit_out_Wt"
OLD_OUTPUT = "decoder_ff_logit_out_W"  # of early versions: (width, vocabulary)
JOINT_EMBEDDING, SOURCE_EMBEDDING, TARGET_EMBEDDING = "Wemb", "encoder_Wemb", "decoder_Wemb"

# Embeddings and the output layer: their rows, or numbers of a bias, are the pieces of a vocabulary.
BY_PIECE = {
    "source_embedding.weight": "source",
    "target_embedding.weight": "target",
    "output.weight": "target",
    "output.bias": "target",
}


@dataclass(frozen=True)
class MarianWeight:
    """Where Marian has the numbers of one of our weights.

    `names` are its parameters in the order in which their outputs follow each other in ours.
    `layout` says how each of them is stored in an npz: "matrix" as (inputs, outputs), the transpose
    of ours; "rows" as (vocabulary, width), like ours; "vector" as (1, n). A Firefox file has int8
    matrices as (outputs, inputs), whatever their shape says.
    """

    names: tuple[str, ...]
    layout: Literal["matrix", "rows", "vector"]


def weight_table(config: TransformerConfig, vocabulary: Vocabulary) -> dict[str, MarianWeight]:
    """Our name of each weight -> where Marian has it."""
    names = dict(_names(config, vocabulary.joint and config.tie_source))
    shapes = weight_shapes(config, vocabulary)
    return {
        name: MarianWeight(
            names[name],
            "rows" if name in BY_PIECE and len(shape) == 2 else _LAYOUTS[len(shape)],
        )
        for name, shape in shapes.items()
    }


_LAYOUTS: dict[int, Literal["matrix", "vector"]] = {1: "vector", 2: "matrix"}


def _names(config: TransformerConfig, is_joint: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "target_embedding.weight", (JOINT_EMBEDDING if is_joint else TARGET_EMBEDDING,)
    yield "source_embedding.weight", (SOURCE_EMBEDDING,)
    yield "output.weight", (OUTPUT,)
    yield "output.bias", (OUTPUT_BIAS,)
    yield from _norm(config, "source_embedding_norm", "encoder_emb", "_pre")
    yield from _norm(config, "target_embedding_norm", "decoder_emb", "_pre")
    suffix = "_pre" if config.norm == "pre" else ""
    for i in range(config.encoder_layers):
        ours, marian = f"encoder.{i}", f"encoder_l{i + 1}"
        yield from _linear(f"{ours}.attention.query_key_value", f"{marian}_self", "qkv")
        yield from _linear(f"{ours}.attention.output", f"{marian}_self", "o")
        yield from _norm(config, f"{ours}.attention_sublayer.norm", f"{marian}_self_Wo", suffix)
        yield from _feed_forward(config, ours, marian, suffix)
    for i in range(config.decoder_layers):
        ours, marian = f"decoder.{i}", f"decoder_l{i + 1}"
        past = f"{ours}.self_attention"
        yield from _linear(f"{past}.query_key_value", f"{marian}_self", "qkv")
        yield from _linear(f"{past}.output", f"{marian}_self", "o")
        yield from _linear(f"{past}.forget", f"{marian}_rnn", "f")
        yield f"{past}.input.weight", (f"{marian}_rnn_W",)
        normed = f"{marian}_self_Wo"
        if config.decoder_attention == "ssru":
            normed = f"{marian}_rnn" if suffix else f"{marian}_rnn_ffn"
        yield from _norm(config, f"{ours}.self_sublayer.norm", normed, suffix)
        yield from _linear(f"{ours}.cross_attention.query", f"{marian}_context", "q")
        yield from _linear(f"{ours}.cross_attention.key_value", f"{marian}_context", "kv")
        yield from _linear(f"{ours}.cross_attention.output", f"{marian}_context", "o")
        yield from _norm(config, f"{ours}.cross_sublayer.norm", f"{marian}_context_Wo", suffix)
        yield from _feed_forward(config, ours, marian, suffix)
    yield from _norm(config, "encoder_norm", "encoder_top", "")
    yield from _norm(config, "decoder_norm", "decoder_top", "")


def _linear(ours: str, marian: str, parts: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield f"{ours}.weight", tuple(f"{marian}_W{part}" for part in parts)
    yield f"{ours}.bias", tuple(f"{marian}_b{part}" for part in parts)


def _norm(
    config: TransformerConfig, ours: str, marian: str, suffix: str
) -> Iterator[tuple[str, tuple[str, ...]]]:
    kind = "ln" if config.normalisation == "layer" else "rms"
    yield f"{ours}.weight", (f"{marian}_{kind}_scale{suffix}",)
    yield f"{ours}.bias", (f"{marian}_{kind}_bias{suffix}",)


def _feed_forward(
    config: TransformerConfig, ours: str, marian: str, suffix: str
) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield from _linear(f"{ours}.feed_forward.inner", f"{marian}_ffn", "1")
    yield from _linear(f"{ours}.feed_forward.outer", f"{marian}_ffn", "2")
    yield from _norm(config, f"{ours}.feed_forward_sublayer.norm", f"{marian}_ffn_ffn", suffix)


# Numbers


@dataclass(frozen=True)
class Parameters:
    """The parameters of a file by their names in Marian.

    `read` returns numbers of the type `dtype`, laid out as in an npz (see `MarianWeight`), and
    `shapes` are those of that layout. Numbers are read when they are asked for; `is_mapped` says
    that they are then views into a mapped file, of which some rows can be read at a time.
    """

    path: object  # how messages call the file
    shapes: Mapping[str, Shape]
    read: Callable[[str], Array]
    is_mapped: bool = False
    dtype: Literal["F32", "F16"] = "F32"


def our_weights(
    config: TransformerConfig,
    vocabulary: Vocabulary,
    given: Parameters,
    rows: Mapping[str, Rows],
    pieces: Mapping[str, int],
) -> dict[str, StoredWeight]:
    """The weights of a run by our names, made of a file's parameters when they are read.

    For "source" and "target", `rows` says how rows of pieces come into our order, and `pieces` how
    many the file has. Raises InputError that names a parameter which is missing, superfluous, or of
    another shape than the options say.
    """
    layers = config.encoder_layers + config.decoder_layers
    require(
        layers <= len(given.shapes),
        f"{given.path} has {len(given.shapes)} parameters, and {layers:,} layers by its options",
    )
    shapes, table = weight_shapes(config, vocabulary), weight_table(config, vocabulary)
    used, made = {OPTIONS}, {}
    for name, where in table.items():
        side = BY_PIECE.get(name)
        where = _as_stored(name, where, given.shapes)
        used.update(where.names)
        stored = (pieces[side], *shapes[name][1:]) if side else shapes[name]
        for each in where.names:
            _check_shape(given, each, where, stored)
        if side and where.layout == "rows" and given.is_mapped:
            matrix = StoredWeight(stored, given.dtype, partial(given.read, where.names[0]))
            made[name] = reordered(matrix, rows[side])
            continue
        read = partial(_read, given, where, shapes[name], rows[side] if side else None)
        is_wide = name == "output.bias"  # whose NEVER float16 cannot hold
        made[name] = StoredWeight(shapes[name], "F32" if is_wide else given.dtype, read)
    unused = sorted(each for each in given.shapes.keys() - used if not _is_ignored(each))
    require(
        not unused,
        f"{given.path} has parameters that cannot be held: {', '.join(unused[:5])}"
        f"{' and others' if len(unused) > 5 else ''}",
    )
    return made


def _is_ignored(name: str) -> bool:
    """Whether a parameter only serves one kind of arithmetic: scales of 8-bit activations."""
    return name.endswith(("_QuantMultA", "_QuantMultB"))


def _as_stored(name: str, where: MarianWeight, given: Collection[str]) -> MarianWeight:
    """Where this file has a weight: there are two forms of the output layer."""
    if name == "output.weight" and OUTPUT not in given and OLD_OUTPUT in given:
        return MarianWeight((OLD_OUTPUT,), "matrix")
    if name == "output.bias" and OUTPUT_BIAS not in given:
        return MarianWeight((), "vector")  # output-omit-bias
    return where


def _check_shape(given: Parameters, name: str, where: MarianWeight, ours: Shape) -> None:
    require(name in given.shapes, f"{given.path} lacks the parameter {name}; it is incomplete")
    outputs, found = ours[0] // len(where.names), given.shapes[name]
    expected = {"matrix": (ours[-1], outputs), "rows": ours, "vector": (1, outputs)}[where.layout]
    require(
        found == expected,
        f"{given.path}: {name} is {list(found)}, {list(expected)} by the options of the model",
    )


def _read(given: Parameters, where: MarianWeight, shape: Shape, rows: Rows | None) -> Array:
    """Read the parameters of one of our weights and put them together."""
    if len(shape) == 1:
        parts = [given.read(name).reshape(-1) for name in where.names]
        if rows is not None:
            return rows.bias(parts[0] if parts else None)
        return np.concatenate(parts)
    if rows is not None:
        (stored,) = map(given.read, where.names)
        return rows.of(stored.T if where.layout == "matrix" else stored)
    made = np.empty(shape, NUMPY_TYPES[given.dtype])
    for part, name in zip(np.split(made, len(where.names)), where.names, strict=True):
        part[:] = given.read(name).T
    return made


def marian_parameters(
    config: TransformerConfig,
    vocabulary: Vocabulary,
    arrays: Mapping[str, Array],
    rows: Mapping[str, Rows],
) -> Iterator[tuple[str, Array]]:
    """Yield the parameters of Marian with their names, laid out as in an npz, in float32.

    `arrays` are a run's weights, and `rows` says how rows of pieces come into Marian's order. There
    is always an output bias. Raises InputError if the decoder does not start from zeros.
    """
    table = weight_table(config, vocabulary)
    for name, where in table.items():
        array = np.asarray(arrays[name], dtype=np.float32)
        if name == "target_embedding.weight":
            check_start(array)
        side = BY_PIECE.get(name)
        if side is not None:
            array = rows[side].of(array) if array.ndim == 2 else rows[side].bias(array)
        for part, each in zip(np.split(array, len(where.names)), where.names, strict=True):
            if where.layout == "vector":
                yield each, part.reshape(1, -1)
            else:
                yield each, np.ascontiguousarray(part if where.layout == "rows" else part.T)
    if "output.bias" not in table:
        yield OUTPUT_BIAS, rows["target"].bias().reshape(1, -1)


def check_start(target_embedding: Array) -> None:
    """Raise InputError unless the row of BOS is zero: Marian's decoder starts from zeros."""
    require(
        not target_embedding[BOS].any(),
        "model.zero_start = false cannot be exported: Marian's decoder reads zeros before the "
        "first token, and this model has learned to read <s>; train with model.zero_start=true",
    )
