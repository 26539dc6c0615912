"""Reads folders of Hugging Face: MarianMT, M2M-100, NLLB, mBART-50, T5 and MADLAD-400.

A folder holds config.json, weights and a tokenizer's files; `config`, `weights`, `t5` and
`vocabulary` say what is in them.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np

from seq2seq_cli.config.data import LANGUAGE_CODE, DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.settings import require
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.positions import sinusoids
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight, reordered, widened
from seq2seq_cli.interop.huggingface import t5
from seq2seq_cli.interop.huggingface.config import HuggingFaceConfig, search_defaults
from seq2seq_cli.interop.huggingface.engine import translate_with_original
from seq2seq_cli.interop.huggingface.files import (
    CONFIG,
    PICKLE,
    SAFETENSORS,
    TOKENIZER_CONFIG,
    licence_of,
    read_json,
    read_json_if_there,
    read_tensors,
    readme_of,
)
from seq2seq_cli.interop.huggingface.vocabulary import HuggingFaceVocabulary, read_vocabulary
from seq2seq_cli.interop.huggingface.weights import (
    OUTPUT,
    OUTPUT_BIAS,
    SHARED,
    SOURCE_EMBEDDING,
    SOURCE_POSITIONS,
    TARGET_EMBEDDING,
    TARGET_POSITIONS,
    check_shape,
    layer_weights,
    tensor_of,
)
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.foreign_vocabulary import (
    ImportedVocabulary,
    Rows,
    import_vocabularies,
)

__all__ = ["read", "recognises", "translate_with_original"]

NAME = "huggingface"
UNUSED_POSITIONS = {"mbart": 2}  # rows in front of learned positions
FORMS = ("halves", "tensor2tensor", "interleaved")  # of sinusoidal positions
FIRST_POSITIONS = 3  # 0 to 2
TASKS = (
    "its task stands in front of each line, as in “translate English to German: Hello.”; lines are "
    "read as a whole, since all sentences of one would need it"
)
CLOSE = 2e-3  # sinusoids that were computed with less precision differ by less


def recognises(path: Path) -> bool:
    """Whether this is a folder with a config.json that names a model_type, or a damaged one."""
    if not (path / CONFIG).is_file():
        return False
    try:
        return "model_type" in read_json(path / CONFIG)
    except InputError:
        return any((path / name).exists() for name in (SAFETENSORS, PICKLE, TOKENIZER_CONFIG))


def read(path: Path) -> ForeignModel:
    """Read a folder.

    Raises InputError, with the file and the reason, for what is damaged, incomplete or cannot be
    held.
    """
    require(path.is_dir(), f"{path} is not a folder; name the one that config.json is in")
    foreign = HuggingFaceConfig.read(path)
    tensors = read_tensors(path)
    foreign.check_sizes(tensors)
    vocabulary = read_vocabulary(path, foreign)
    start = foreign.number("decoder_start_token_id", _usual_start(foreign, vocabulary.source.eos))
    imported = import_vocabularies(
        vocabulary.source,
        vocabulary.target,
        start=start,
        joint=foreign.shares_embeddings(tensors),
    )
    tokenizers = Tokenizers(imported.source, imported.target, imported.joint)
    search, notes = search_defaults(path)
    data = _data(path, foreign, vocabulary, tokenizers)
    is_task = foreign.is_t5 and not (data.source_prefix or tokenizers.source.tags)
    try:
        config = _settings(path, foreign, tensors)
        config = replace(config, zero_start=_starts_from_zeros(foreign, tensors, start))
        weights = _weights(foreign, config, tokenizers, imported, tensors)
    except InputError as error:
        named = str(error).startswith(str(path))
        raise InputError(f"{'' if named else f'{path}: '}{error}") from None
    return ForeignModel(
        config=config,
        tokenizers=tokenizers,
        weights=weights,
        data=data,
        origin=Origin(
            format=NAME,
            model=_name(foreign),
            licence=licence_of(path),
        ),
        search=search,
        notes=(*notes, *[TASKS] * is_task),
        # The task stands in front of a line, and would be missing from its other sentences.
        by_sentence=not is_task,
    )


def _name(foreign: HuggingFaceConfig) -> str:
    """The class of the model there."""
    named = foreign.values.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else foreign.family


def _settings(
    path: Path, foreign: HuggingFaceConfig, tensors: Mapping[str, StoredWeight]
) -> TransformerConfig:
    if foreign.is_t5:
        return t5.settings_of(foreign, tensors)
    return _with_positions(foreign.model(readme_of(path), tensors), tensors)


def _usual_start(foreign: HuggingFaceConfig, eos: int) -> int:
    """The id that decoders start from where config.json does not say."""
    starts_from_pad = foreign.is_t5 or foreign.family == "marian"
    return foreign.number("pad_token_id", 0 if foreign.is_t5 else eos) if starts_from_pad else eos


def _data(
    path: Path,
    foreign: HuggingFaceConfig,
    vocabulary: HuggingFaceVocabulary,
    tokenizers: Tokenizers,
) -> DataConfig:
    """What is known of the model's data."""
    settings = read_json_if_there(path / TOKENIZER_CONFIG)
    language = str(settings.get("source_lang") or "")
    single = foreign.family == "marian" and LANGUAGE_CODE.fullmatch(language)
    return DataConfig(
        source_language=language if single else "",
        source_prefix=vocabulary.prefix or _task(foreign, tokenizers),
        language_tags=vocabulary.tags,
        max_length=foreign.max_length,
    )


def _task(foreign: HuggingFaceConfig, tokenizers: Tokenizers) -> str:
    """The pieces of what a T5 reads in front of a text, if it translates in only one direction."""
    tasks = foreign.values.get("task_specific_params")
    found = [
        task.get("prefix")
        for name, task in (tasks.items() if foreign.is_t5 and isinstance(tasks, dict) else ())
        if str(name).startswith("translation") and isinstance(task, dict)
    ]
    if len(found) != 1 or not isinstance(found[0], str):
        return ""
    return " ".join(tokenizers.source.encode_as_pieces(found[0]))


def _with_positions(
    config: TransformerConfig, tensors: Mapping[str, StoredWeight]
) -> TransformerConfig:
    """The settings with the positions that are stored; MarianMTModel takes them if there are any.

    Tables that are computed there and here are not read, so that they have no end.
    """
    stored = [tensors[name] for name in (SOURCE_POSITIONS, TARGET_POSITIONS) if name in tensors]
    if config.positions == "learned" or len(stored) < 2:
        return config
    rows = next(iter(stored[0].shape), 0)
    for name, each in zip((SOURCE_POSITIONS, TARGET_POSITIONS), stored, strict=True):
        check_shape(name, each, (rows, config.width))
    tables = [widened(each.read()) for each in stored]
    for form, first in product(FORMS, range(FIRST_POSITIONS)):
        expected = sinusoids(len(tables[0]) + first, config.width, form)[first:]
        if all(np.allclose(table, expected, rtol=0, atol=CLOSE) for table in tables):
            return replace(config, sinusoids=cast(Any, form), first_position=first)
    return replace(config, positions="learned", max_positions=len(tables[0]))


def _starts_from_zeros(
    foreign: HuggingFaceConfig, tensors: Mapping[str, StoredWeight], start: int
) -> bool:
    """Whether the decoder starts from zeros, as the models of Marian do."""
    if foreign.family != "marian":
        return False
    tensor = tensor_of(tensors, *_embedding_names(foreign, tensors))
    return start < next(iter(tensor.shape), 0) and not tensor.read()[start].any()


def _weights(
    foreign: HuggingFaceConfig,
    config: TransformerConfig,
    tokenizers: Tokenizers,
    imported: ImportedVocabulary,
    tensors: Mapping[str, StoredWeight],
) -> dict[str, StoredWeight]:
    """All weights by our names."""
    shapes = weight_shapes(config, tokenizers.vocabulary)
    rows, target_rows = foreign.vocabulary_sizes

    def matrix(names: tuple[str, ...], count: int, chosen: Rows) -> StoredWeight:
        tensor = tensor_of(tensors, *names)
        check_shape(names[0], tensor, (count, config.width))
        return reordered(tensor, chosen)

    weights = {
        "target_embedding.weight": matrix(
            _embedding_names(foreign, tensors), target_rows, imported.target_rows
        )
    }
    if not foreign.shares_embeddings(tensors):
        weights["source_embedding.weight"] = matrix((SOURCE_EMBEDDING,), rows, imported.source_rows)
    if not config.tie_output:
        weights["output.weight"] = matrix((OUTPUT,), target_rows, imported.target_rows)
    weights["output.bias"] = _output_bias(tensors, target_rows, imported.target_rows)
    if config.positions == "learned":
        skipped = UNUSED_POSITIONS.get(foreign.family, 0)
        for ours, theirs in (("source", SOURCE_POSITIONS), ("target", TARGET_POSITIONS)):
            weights[f"{ours}_positions.embedding.weight"] = _positions(
                tensors, theirs, (config.max_positions, config.width), skipped
            )
    if foreign.is_t5:
        weights |= t5.layer_weights(foreign, config, tensors, shapes)
    else:
        weights |= layer_weights(config, tensors, shapes)
    return {name: weights[name] for name in shapes}


def _embedding_names(
    foreign: HuggingFaceConfig, tensors: Mapping[str, StoredWeight]
) -> tuple[str, ...]:
    """The names under which the target embedding may be stored, if it is one with others."""
    if foreign.is_t5:
        return t5.EMBEDDINGS
    shared = foreign.shares_embeddings(tensors)
    return (
        *[SHARED] * shared,
        TARGET_EMBEDDING,
        *[OUTPUT] * foreign.is_tied,
        *[SOURCE_EMBEDDING] * shared,
    )


def _output_bias(tensors: Mapping[str, StoredWeight], count: int, rows: Rows) -> StoredWeight:
    """The bias of the output; models that have none get one that forbids the rows they lack."""
    bias = tensors.get(OUTPUT_BIAS)
    if bias is None:
        return StoredWeight((len(rows),), "F32", rows.bias)
    check_shape(OUTPUT_BIAS, bias, (1, count))
    return StoredWeight((len(rows),), "F32", lambda: rows.bias(widened(bias.read())))


def _positions(
    tensors: Mapping[str, StoredWeight], name: str, shape: tuple[int, int], skipped: int
) -> StoredWeight:
    """Learned positions, without the rows in front that are not used."""
    tensor = tensor_of(tensors, name)
    check_shape(name, tensor, (shape[0] + skipped, shape[1]))
    return StoredWeight(shape, tensor.dtype, lambda: tensor.read()[skipped:])
