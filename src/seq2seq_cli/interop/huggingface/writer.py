"""Writes a run as a folder that MarianMTModel and MarianTokenizer of Hugging Face load.

MarianMT is the one Transformer there whose vocabulary is a list beside two SentencePiece models,
which is what a run has.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as safetensors_bytes

from seq2seq_cli.config.models import ModelConfig, TransformerConfig
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.settings import Table, require
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.inference.positions import sinusoids
from seq2seq_cli.interop.huggingface.card import model_card
from seq2seq_cli.interop.huggingface.config import ACTIVATIONS
from seq2seq_cli.interop.huggingface.files import (
    CONFIG,
    GENERATION_CONFIG,
    SAFETENSORS,
    TOKENIZER_CONFIG,
)
from seq2seq_cli.interop.huggingface.vocabulary import (
    SOURCE_SPM,
    TARGET_SPM,
    TARGET_VOCABULARY,
    VOCABULARY,
)
from seq2seq_cli.interop.huggingface.weights import (
    OUTPUT,
    OUTPUT_BIAS,
    SHARED,
    SOURCE_EMBEDDING,
    SOURCE_POSITIONS,
    TARGET_EMBEDDING,
    TARGET_POSITIONS,
    module_names,
    split_weight,
)
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import BOS, EOS, NEVER, PAD, UNK
from seq2seq_cli.text import replace_file
from seq2seq_cli.tokenization.foreign_vocabulary import (
    HUGGINGFACE_MARIAN,
    ExportedVocabulary,
    Layout,
    export_vocabulary,
)

# With a vocabulary for each side, both have <pad> at one id, which MarianMTModel asks for.
SEPARATE = Layout((("</s>", EOS), ("<unk>", UNK), ("<pad>", BOS)))
EPSILON = 1e-5  # of the norms of MarianMTModel
LOW, HIGH = 1e-6, 1e-4  # from Marian's; others change results less than rounding does
NAMES = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
POSITIONS = 1024  # that sinusoidal positions are written for

# Settings of the Transformer -> the values that MarianMTModel has.
HELD: dict[str, tuple[object, ...]] = {
    "norm": ("post",),
    "normalisation": ("layer",),
    "decoder_attention": ("self",),
    "embedding_norm": (False,),
    "activation": tuple(NAMES),
    "positions": ("sinusoidal", "learned"),
    "head_width": ("auto",),
    "linear_bias": (True,),
}


def check_marian(config: ModelConfig) -> TransformerConfig:
    """Raise InputError, with the setting, for a model that MarianMTModel cannot hold."""
    if not isinstance(config, TransformerConfig):
        raise InputError(
            f'model.architecture = "{config.architecture}" cannot be exported: MarianMTModel of '
            "Hugging Face is a transformer"
        )
    for name, held in HELD.items():
        value = getattr(config, name)
        if value not in held:
            raise InputError(
                f"model.{name} = {json.dumps(value)} cannot be exported: MarianMTModel of Hugging "
                f"Face has {' or '.join(map(json.dumps, held))}"
            )
    if not LOW <= config.norm_epsilon <= HIGH:
        raise InputError(
            f"model.norm_epsilon = {config.norm_epsilon} cannot be exported: MarianMTModel of "
            f"Hugging Face has {EPSILON}"
        )
    return config


def write(run: RunFolder, output: Path, quantization: str) -> list[str]:
    """Write a run into a folder that exists; returns notes on what is otherwise there.

    `quantization` is float32, the default, or float16. Raises InputError with the setting that
    cannot be held.
    """
    require(
        quantization in ("", "float32", "float16"),
        f"--quantization {quantization}: float32 and float16 are allowed with --format huggingface",
    )
    settings = run.load_config()
    config = check_marian(settings.model)
    if settings.data.language_tags != "source":
        raise InputError(
            f'data.language_tags = "{settings.data.language_tags}" cannot be exported: '
            "MarianTokenizer has the tag of the target language before the source, and no other"
        )
    if settings.data.source_prefix:
        raise InputError(
            f"{settings.data.assignment('source_prefix', settings.data.source_prefix)} cannot be "
            "exported: MarianTokenizer puts nothing in front of sources"
        )
    if not settings.data.source_eos:
        raise InputError(
            "data.source_eos = false cannot be exported: MarianTokenizer ends each source with </s>"
        )
    tokenizers = run.load_tokenizers()
    layout = HUGGINGFACE_MARIAN if tokenizers.is_joint else SEPARATE
    source = export_vocabulary(tokenizers.source, "source", layout)
    target = export_vocabulary(tokenizers.target, "target", layout)
    model = run.load_plain_model()
    weights = dict(_weights(model, config, source, target))
    if quantization == "float16":
        weights = {name: array.astype(np.float16) for name, array in weights.items()}
    replace_file(output / SAFETENSORS, safetensors_bytes(weights, metadata={"format": "pt"}))
    search = {**run.config.facts().search}
    dtype = quantization or "float32"
    for name, table in _settings(settings, config, source, target, tokenizers.is_joint, dtype):
        _write_json(output / name, table)
    _write_json(output / GENERATION_CONFIG, _generation(search, target))
    _write_vocabularies(output, source, target, is_joint=tokenizers.is_joint)
    replace_file(output / "README.md", model_card(run).encode())
    return [*_notes(config, search), *dict.fromkeys((*source.notes, *target.notes))]


def _weights(
    model: PlainModel,
    config: TransformerConfig,
    source: ExportedVocabulary,
    target: ExportedVocabulary,
) -> Iterator[tuple[str, Array]]:
    """The weights by their names there, in float32."""
    arrays = model.arrays
    embedding = target.rows.of(arrays["target_embedding.weight"])
    if "source_embedding.weight" in arrays:
        yield SOURCE_EMBEDDING, source.rows.of(arrays["source_embedding.weight"])
        yield TARGET_EMBEDDING, embedding
    elif config.tie_output:
        yield SHARED, embedding
    else:  # transformers 5 then ties no embedding to another
        yield from ((name, embedding) for name in (SHARED, SOURCE_EMBEDDING, TARGET_EMBEDDING))
    if not config.tie_output:
        yield OUTPUT, target.rows.of(arrays["output.weight"])
    yield OUTPUT_BIAS, target.rows.bias(_bias(arrays))[None]
    for ours, theirs in module_names(config).items():
        for kind in ("weight", "bias"):
            for name, part in split_weight(theirs, arrays[f"{ours}.{kind}"]):
                yield f"{name}.{kind}", np.ascontiguousarray(part)
    for side, table in (("source", SOURCE_POSITIONS), ("target", TARGET_POSITIONS)):
        if config.positions == "learned":
            yield table, arrays[f"{side}_positions.embedding.weight"]
        elif not _has_own_positions(config):
            yield table, _sinusoids(config)


def _bias(arrays: Mapping[str, Array]) -> Array | None:
    """The output bias, with that of PAD for BOS in a model that was imported.

    There, the row of BOS is a copy of another, and forbidden. As <pad> it is that one again.
    """
    bias = arrays.get("output.bias")
    if bias is not None and bias[BOS] <= NEVER:
        embedding = arrays["target_embedding.weight"]
        if np.array_equal(embedding[BOS], embedding[PAD]):
            bias = np.array(bias)
            bias[BOS] = bias[PAD]
    return bias


def _has_own_positions(config: TransformerConfig) -> bool:
    """Whether positions are those that MarianMTModel computes by itself."""
    return config.positions == "sinusoidal" and (config.sinusoids, config.first_position) == (
        "halves",
        0,
    )


def _sinusoids(config: TransformerConfig) -> Array:
    first = config.first_position
    return sinusoids(POSITIONS + first, config.width, config.sinusoids)[first:]


def _settings(
    settings: RunConfig,
    config: TransformerConfig,
    source: ExportedVocabulary,
    target: ExportedVocabulary,
    is_joint: bool,
    dtype: str,
) -> Iterator[tuple[str, Table]]:
    """config.json and tokenizer_config.json."""
    pad = target.pieces.index("<pad>")
    sides = {
        name: value
        for side in ("encoder", "decoder")
        for name, value in (
            (f"{side}_layers", getattr(config, f"{side}_layers")),
            (f"{side}_attention_heads", config.heads),
            (f"{side}_ffn_dim", config.feed_forward),
        )
    }
    learned = config.positions == "learned"
    inner = config.activation_dropout
    yield (
        CONFIG,
        {
            "architectures": ["MarianMTModel"],
            "model_type": "marian",
            "is_encoder_decoder": True,
            "d_model": config.width,
            **sides,
            "activation_function": NAMES[config.activation],
            "scale_embedding": config.scale_embeddings,
            "share_encoder_decoder_embeddings": is_joint and config.tie_source,
            "tie_word_embeddings": config.tie_output,
            "vocab_size": len(source.pieces),
            "decoder_vocab_size": len(target.pieces),
            "max_position_embeddings": config.max_positions if learned else POSITIONS,
            "static_position_embeddings": not learned,
            "dropout": config.dropout,
            "attention_dropout": config.attention_dropout,
            "activation_dropout": config.dropout if inner == "auto" else inner,
            "pad_token_id": pad,
            "decoder_start_token_id": pad,
            "eos_token_id": target.pieces.index("</s>"),
            "bos_token_id": None,
            "forced_eos_token_id": target.pieces.index("</s>"),
            "dtype": dtype,
        },
    )
    yield (
        TOKENIZER_CONFIG,
        {
            "tokenizer_class": "MarianTokenizer",
            "separate_vocabs": not is_joint,
            "source_lang": settings.data.source_language or None,
            "target_lang": None,
            "unk_token": "<unk>",
            "eos_token": "</s>",
            "pad_token": "<pad>",
            "model_max_length": min(settings.data.max_length + 1, POSITIONS),
        },
    )


def _generation(search: Mapping[str, Any], target: ExportedVocabulary) -> dict[str, object]:
    """generation_config.json: the search of `seq2seq translate`, as near as it can be."""
    options = SearchOptions(**search)
    penalised = options.length_penalty != "none"
    pad, eos = target.pieces.index("<pad>"), target.pieces.index("</s>")
    return {
        "num_beams": options.beam,
        "length_penalty": options.alpha if penalised else 0.0,
        "early_stopping": "never",
        "no_repeat_ngram_size": options.no_repeat_ngram,
        "repetition_penalty": options.repetition_penalty,
        "max_length": 512,
        # <unk> and <pad> are never written.
        "bad_words_ids": [[target.pieces.index("<unk>")], [pad]],
        "pad_token_id": pad,
        "decoder_start_token_id": pad,
        "eos_token_id": eos,
        "forced_eos_token_id": eos,
    }


def _write_vocabularies(
    output: Path, source: ExportedVocabulary, target: ExportedVocabulary, *, is_joint: bool
) -> None:
    replace_file(output / SOURCE_SPM, source.model)
    replace_file(output / TARGET_SPM, target.model)
    _write_json(output / VOCABULARY, _ids(source))
    if not is_joint:
        _write_json(output / TARGET_VOCABULARY, _ids(target))


def _ids(vocabulary: ExportedVocabulary) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(vocabulary.pieces)}


def _write_json(path: Path, table: Mapping[str, Any]) -> None:
    replace_file(path, (json.dumps(table, ensure_ascii=False, indent=1) + "\n").encode())


def _notes(config: TransformerConfig, search: Mapping[str, Any]) -> Iterator[str]:
    """What MarianMTModel does otherwise than the run."""
    if config.norm_epsilon != EPSILON:
        yield (
            f"model.norm_epsilon is {config.norm_epsilon}, and {EPSILON} in every MarianMTModel: "
            "scores differ by about 0.00001"
        )
    if search.get("length_penalty", "gnmt") == "gnmt":
        yield (
            "length_penalty = power is written, since transformers lacks gnmt: compare with "
            "`seq2seq translate --length-penalty power`"
        )
