"""Runs as CTranslate2 models: model.bin, config.json, vocabularies, tokenizers and a README."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import ModelConfig, TransformerConfig
from seq2seq_cli.config.settings import require
from seq2seq_cli.config.shapes import Shape, weight_shapes
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.inference.positions import learned, sinusoids
from seq2seq_cli.interop.ctranslate2.model_file import (
    Variable,
    as_int8,
    as_int16,
    int8_scales,
    int16_scale,
    write_model_file,
)
from seq2seq_cli.interop.ctranslate2.names import names
from seq2seq_cli.interop.ctranslate2.readme import readme
from seq2seq_cli.interop.ctranslate2.settings import ACTIVATIONS
from seq2seq_cli.interop.ctranslate2.vocabulary import FORBIDDEN, OWN_FACTS, OWN_SETTINGS
from seq2seq_cli.interop.foreign_model import widened
from seq2seq_cli.interop.search_notes import penalty_notes
from seq2seq_cli.kernels.arrays import Array, Floats, as_bfloat16
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, EOS, PAD, PIECES, UNK
from seq2seq_cli.whole_files import replace_file

POSITIONS = 1024  # how many sinusoidal positions are written: the longest sentence it can read

# What `--quantization` names: the types of weights and of the other numbers.
QUANTIZATIONS = {
    "": ("float32", "float32"),
    "float32": ("float32", "float32"),
    "float16": ("float16", "float16"),
    "bfloat16": ("bfloat16", "bfloat16"),
    "int16": ("int16", "float32"),
    "int8": ("int8", "float32"),
    "int8_float32": ("int8", "float32"),
    "int8_float16": ("int8", "float16"),
    "int8_bfloat16": ("int8", "bfloat16"),
}


def check_ctranslate2(config: ModelConfig) -> TransformerConfig:
    """Raise InputError, with the setting, for a model that CTranslate2 does not support."""
    if not isinstance(config, TransformerConfig):
        raise InputError(
            f'model.architecture = "{config.architecture}" cannot be exported: CTranslate2 serves '
            "only the transformer"
        )
    for name, value, supported in (
        ("norm", config.norm, ("pre", "post")),
        ("decoder_attention", config.decoder_attention, ("self",)),
        ("positions", config.positions, ("sinusoidal", "learned", "rotary")),
        ("activation", config.activation, (*ACTIVATIONS.values(), "swiglu")),
    ):
        require(
            value in supported,
            f'model.{name} = "{value}" cannot be exported: CTranslate2 supports '
            f"{' and '.join(supported)}",
        )
    for name, only in (("head_width", "auto"), ("linear_bias", True)):
        value = getattr(config, name)
        require(
            value == only,
            f"{config.assignment(name, value)} cannot be exported; only "
            f"{config.assignment(name, only)} can",
        )
    return config


def write(run: RunFolder, output: Path, quantization: str) -> Sequence[str]:
    """Write a run as a CTranslate2 model, with its tokenizers; returns notes for the user.

    `quantization` is one of CTranslate2's types, such as int8; empty: float32. Raises InputError
    for a model that CTranslate2 does not support.
    """
    model, data = run.load_plain_model(), run.load_config().data
    notes = write_model(model, run.load_tokenizers(), data, output, quantization)
    return [*notes, *penalty_notes("CTranslate2", run.config.facts().search)]


def write_model(
    model: PlainModel, tokenizers: Tokenizers, data: DataConfig, output: Path, quantization: str
) -> Sequence[str]:
    """Write a model as `write` does."""
    config = check_ctranslate2(model.config)
    require(
        not data.source_prefix,
        f"{data.assignment('source_prefix', data.source_prefix)} cannot be exported: CTranslate2 "
        "puts nothing in front of sources",
    )
    allowed = ", ".join(filter(None, QUANTIZATIONS))
    require(
        quantization in QUANTIZATIONS,
        f"--quantization {quantization}: one of {allowed} is allowed",
    )
    types = QUANTIZATIONS[quantization]
    written = {**_attributes(config), **dict(_weights(model, config, *types))}
    aliases = {}
    if config.tie_output:
        aliases["decoder/projection/weight"] = "decoder/embeddings/weight"
    if "source_embedding.weight" not in model.arrays:
        aliases["encoder/embeddings_0/weight"] = "decoder/embeddings/weight"
    write_model_file(output / "model.bin", written, aliases)
    for name, content in {**_vocabularies(tokenizers), "config": _config(config, data)}.items():
        text = json.dumps(content, indent=2, sort_keys=True)
        replace_file(output / f"{name}.json", f"{text}\n".encode())
    for name, tokenizer in tokenizers.files().items():
        replace_file(output / name, tokenizer.model)
    replace_file(output / "README.md", readme(config, tokenizers, data).encode())
    return _notes(config)


def _vocabularies(tokenizers: Tokenizers) -> Mapping[str, list[str]]:
    source, target = list(tokenizers.source.vocabulary), list(tokenizers.target.vocabulary)
    if source == target:
        return {"shared_vocabulary": source}
    return {"source_vocabulary": source, "target_vocabulary": target}


def _config(config: TransformerConfig, data: DataConfig) -> dict[str, Any]:
    """The content of config.json."""
    return {
        "unk_token": PIECES[UNK],
        "bos_token": PIECES[BOS],
        "eos_token": PIECES[EOS],
        "decoder_start_token": PIECES[BOS],
        "add_source_bos": False,
        "add_source_eos": _adds_eos(data),
        "layer_norm_epsilon": config.norm_epsilon,
        "multi_query_attention": False,
        OWN_FACTS: {
            section: {name: getattr(settings, name) for name in OWN_SETTINGS[section]}
            for section, settings in (("model", config), ("data", data))
        },
    }


def _adds_eos(data: DataConfig) -> bool:
    """Whether the engine adds EOS to sources; whoever puts a tag behind it adds it too."""
    return data.source_eos and data.language_tags != "both-source-last"


def _attributes(config: TransformerConfig) -> dict[str, Variable]:
    """The numbers that say how a model is built."""
    numbers = {value: number for number, value in ACTIVATIONS.items()}
    activation = numbers["swish" if config.activation == "swiglu" else config.activation]
    layer, heads = _alignment(config)
    common = {
        "num_heads": np.int16(config.heads),
        "pre_norm": np.int8(config.norm == "pre"),
        "activation": np.int8(activation),
        "scale_embeddings": np.int8(config.scale_embeddings),
    }
    encoder = {"embeddings_merge": np.int8(0), "multi_query_attention": np.int8(0)}
    decoder = {
        "alignment_layer": np.int16(layer),
        "alignment_heads": np.int16(heads),
        "alibi": np.int8(0),
        "alibi_use_positive_positions": np.int8(0),
        "scale_alibi": np.int8(0),
        "start_from_zero_embedding": np.int8(0),  # a row of zeros does the same
    }
    written = {}
    for side, more, count in (
        ("encoder", encoder, config.encoder_layers),
        ("decoder", decoder, config.decoder_layers),
    ):
        written.update({f"{side}/{name}": number for name, number in (common | more).items()})
        for index in range(count if config.positions == "rotary" else 0):
            attention = f"{side}/layer_{index}/self_attention"
            written[f"{attention}/rotary_dim"] = np.int32(0)  # all numbers of a head
            written[f"{attention}/rotary_interleave"] = np.int8(0)
            written[f"{attention}/rotary_base"] = np.float32(10000)
    return {name: Variable.of(np.array(number)) for name, number in written.items()}


def _alignment(config: TransformerConfig) -> tuple[int, int]:
    """The layer whose attention aligns words (-1: the last), and the first heads (0: all)."""
    layer = -1 if config.alignment_layer == "all" else config.alignment_layer
    return layer, 1 if config.alignment_head == 0 else 0


def _notes(config: TransformerConfig) -> Sequence[str]:
    """Notes on what the format cannot hold, beside those of the README on all models."""
    if config.alignment_head in (0, "all"):
        return ()
    return (
        f"model.alignment_head = {config.alignment_head}: CTranslate2 has the first heads of a "
        "layer for alignments; the model has the mean of all of them",
    )


@dataclass(frozen=True)
class _Types:
    """The types of numbers in a file."""

    weight: str
    other: str

    def weights(self, name: str, shape: Shape, read: Callable[[], Floats]) -> "_Named":
        """The variables of a matrix, with its scale if it has integers."""
        yield name, Variable(shape, self.weight, lambda: _converted(read(), self.weight))
        if self.weight == "int8":
            yield f"{name}_scale", Variable(shape[:1], "float32", lambda: int8_scales(read()))
        elif self.weight == "int16":
            yield f"{name}_scale", Variable((), "float32", lambda: int16_scale(read()))

    def others(self, name: str, shape: Shape, read: Callable[[], Floats]) -> "_Named":
        """The variable of a bias, norm or table of positions."""
        yield name, Variable(shape, self.other, lambda: _converted(read(), self.other))


_Named = Iterator[tuple[str, Variable]]


def _converted(array: Floats, kind: str) -> Array:
    """Numbers in a type of the file. What float16 cannot hold becomes its greatest number."""
    if kind == "bfloat16":
        return as_bfloat16(array)
    if kind == "float16":
        most = np.finfo(np.float16).max
        return np.clip(array, -most, most).astype(np.float16)
    return {"int8": as_int8, "int16": as_int16}.get(kind, np.asarray)(array)


def _weights(model: PlainModel, config: TransformerConfig, weight: str, other: str) -> _Named:
    """All variables but attributes. Numbers are read when they are written."""
    types, arrays = _Types(weight, other), model.arrays
    shapes = weight_shapes(config, model.vocabulary)

    def reader(name: str, part: slice = slice(None)) -> Callable[[], Floats]:
        def read() -> Floats:
            numbers = widened(arrays[name])[part]
            model.release()
            return numbers

        return read

    for ours, theirs in names(config):
        rows, *others = shapes[ours]
        size = rows // len(theirs)
        for number, name in enumerate(theirs):
            write_as = types.weights if name.endswith("weight") else types.others
            part = slice(number * size, (number + 1) * size)
            yield from write_as(name, (size, *others), reader(ours, part))
    matrices = {"decoder/embeddings/weight": "target_embedding.weight"}
    matrices["encoder/embeddings_0/weight"] = "source_embedding.weight"
    matrices["decoder/projection/weight"] = "output.weight"
    for name, ours in matrices.items():
        if ours in shapes:
            yield from types.weights(name, shapes[ours], reader(ours))
    bias = _converted(_output_bias(model), other)
    yield "decoder/projection/bias", Variable.of(bias, other)
    for side in ("encoder", "decoder"):
        table = _positions(model, config, side)
        if table is not None:
            name = f"{side}/position_encodings/encodings"
            yield name, Variable.of(_converted(table, other), other)


def _output_bias(model: PlainModel) -> Floats:
    """The bias of the output, which keeps PAD, UNK and BOS out of translations."""
    bias = np.zeros(model.vocabulary.target, np.float32)
    if "output.bias" in model.arrays:
        np.maximum(widened(model.arrays["output.bias"]), np.float32(FORBIDDEN), out=bias)
    bias[PAD : BOS + 1] += np.float32(FORBIDDEN)
    return bias


def _positions(model: PlainModel, config: TransformerConfig, side: str) -> Floats | None:
    """The table of positions of a side, None if they are rotary."""
    if config.positions == "rotary":
        return None
    if config.positions == "learned":
        name = {"encoder": "source", "decoder": "target"}[side]
        vectors = widened(model.arrays[f"{name}_positions.embedding.weight"])
        return learned(vectors, max(POSITIONS, len(vectors)))
    first = config.first_position
    return sinusoids(first + POSITIONS, config.width, config.sinusoids)[first:]
