"""Writes a run as a folder of transformers: T5 if positions are relative, otherwise MarianMT."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.settings import require
from seq2seq_cli.interop.foreign_model import StoredWeight
from seq2seq_cli.interop.huggingface import marian_writer, t5_writer
from seq2seq_cli.interop.huggingface.card import model_card
from seq2seq_cli.interop.huggingface.exported import Symbols
from seq2seq_cli.interop.huggingface.files import (
    CONFIG,
    GENERATION_CONFIG,
    SAFETENSORS,
    TOKENIZER_CONFIG,
)
from seq2seq_cli.interop.run_weights import converted, exact_in
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.stored_weights import WeightType, write_safetensors
from seq2seq_cli.whole_files import replace_file

# What `--quantization` names -> the type of weights; None: as they are stored.
QUANTIZATIONS: dict[str, WeightType | None] = {"": None, "float32": "F32", "float16": "F16"}
DTYPES: dict[WeightType, str] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def write(run: RunFolder, output: Path, quantization: str) -> list[str]:
    """Write a run into a folder that exists; returns notes on what is otherwise there.

    `quantization` is float32 or float16; by default weights keep the type they are stored in.
    Raises InputError with the setting that cannot be held.
    """
    require(
        quantization in QUANTIZATIONS,
        f"--quantization {quantization}: float32 and float16 are allowed with --format huggingface",
    )
    model = run.load_config().model
    is_t5 = isinstance(model, TransformerConfig) and model.positions == "relative"
    exported = (t5_writer if is_t5 else marian_writer).export(run)
    weights = _in_one_type(exported.weights, QUANTIZATIONS[quantization])
    write_safetensors(output / SAFETENSORS, weights, {"format": "pt"})
    search = {**run.config.facts().search}
    for name, table in (
        (CONFIG, {**exported.config, "dtype": _dtype(weights)}),
        (TOKENIZER_CONFIG, exported.tokenizer),
        (GENERATION_CONFIG, _generation(search, exported.symbols)),
    ):
        _write_json(output / name, table)
    for name, content in exported.files.items():
        replace_file(output / name, content)
    replace_file(output / "README.md", model_card(run, exported.classes).encode())
    return [*exported.notes, *_notes(search)]


def _in_one_type(
    weights: Mapping[str, StoredWeight], kind: WeightType | None
) -> dict[str, StoredWeight]:
    """The weights in the type that is asked for, or of a run in 16 bits, where that is exact.

    An import stores some in 32 bits, such as the bias of the output, that had 16.
    """
    if kind is not None:
        return {name: converted(weight, kind) for name, weight in weights.items()}
    types = {weight.dtype for weight in weights.values()} - {"F32"}
    if len(types) != 1:
        return dict(weights)
    narrow = types.pop()
    return {name: exact_in(weight, narrow) for name, weight in weights.items()}


def _dtype(weights: Mapping[str, StoredWeight]) -> str:
    """The type that transformers loads all weights in, which loses nothing of any."""
    types = {weight.dtype for weight in weights.values()}
    return DTYPES[types.pop()] if len(types) == 1 else "float32"


def _generation(search: Mapping[str, Any], symbols: Symbols) -> dict[str, object]:
    """generation_config.json: the search of `seq2seq translate`, as near as it can be."""
    options = SearchOptions(**search)
    penalised = options.length_penalty != "none"
    return {
        "num_beams": options.beam,
        "length_penalty": options.alpha if penalised else 0.0,
        "early_stopping": "never",
        "no_repeat_ngram_size": options.no_repeat_ngram,
        "repetition_penalty": options.repetition_penalty,
        "max_length": 512,
        "bad_words_ids": [[number] for number in symbols.never_written],
        **symbols.settings(),
    }


def _write_json(path: Path, table: Mapping[str, Any]) -> None:
    replace_file(path, (json.dumps(table, ensure_ascii=False, indent=1) + "\n").encode())


def _notes(search: Mapping[str, Any]) -> Iterator[str]:
    if search.get("length_penalty", SearchOptions.length_penalty) == "gnmt":
        yield (
            "length_penalty = power is written, since transformers lacks gnmt: compare with "
            "`seq2seq translate --length-penalty power`"
        )
