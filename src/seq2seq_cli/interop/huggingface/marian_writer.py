"""A run as MarianMTModel and MarianTokenizer of transformers have it.

MarianMT is the one Transformer there whose vocabulary is a list beside two SentencePiece models,
which is what a run has.
"""

import json
from collections.abc import Iterator

import numpy as np

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import ModelConfig, TransformerConfig
from seq2seq_cli.config.settings import Table
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.positions import sinusoids
from seq2seq_cli.interop.foreign_model import StoredWeight
from seq2seq_cli.interop.huggingface.card import MARIAN
from seq2seq_cli.interop.huggingface.config import ACTIVATIONS
from seq2seq_cli.interop.huggingface.exported import Exported, Symbols
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
)
from seq2seq_cli.interop.run_weights import RunWeights
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import BOS, EOS, NEVER, PAD, UNK
from seq2seq_cli.tokenization.exported_vocabulary import (
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


def export(run: RunFolder) -> Exported:
    """A run as MarianMTModel has it. Raises InputError with the setting that cannot be held."""
    settings = run.load_config()
    config = check_marian(settings.model)
    _check_data(settings.data)
    tokenizers = run.load_tokenizers()
    is_joint = tokenizers.is_joint
    layout = HUGGINGFACE_MARIAN if is_joint else SEPARATE
    source = export_vocabulary(tokenizers.source, "source", layout)
    target = export_vocabulary(tokenizers.target, "target", layout)
    files = {SOURCE_SPM: source.model, TARGET_SPM: target.model, VOCABULARY: _ids(source)}
    if not is_joint:
        files[TARGET_VOCABULARY] = _ids(target)
    pad = target.pieces.index("<pad>")
    symbols = Symbols(pad, pad, target.pieces.index("</s>"), target.pieces.index("<unk>"))
    return Exported(
        classes=MARIAN,
        config={**_model_settings(config, source, target, is_joint), **symbols.settings()},
        tokenizer=_tokenizer_settings(settings.data, is_joint),
        files=files,
        weights=dict(_weights(RunWeights(run.load_plain_model()), config, source, target)),
        symbols=symbols,
        notes=(*_notes(config), *dict.fromkeys((*source.notes, *target.notes))),
    )


def _check_data(data: DataConfig) -> None:
    """Raise InputError, with the setting, for sources that MarianTokenizer reads otherwise."""
    if data.language_tags != "source":
        raise InputError(
            f'data.language_tags = "{data.language_tags}" cannot be exported: '
            "MarianTokenizer has the tag of the target language before the source, and no other"
        )
    if data.source_prefix:
        raise InputError(
            f"{data.assignment('source_prefix', data.source_prefix)} cannot be "
            "exported: MarianTokenizer puts nothing in front of sources"
        )
    if not data.source_eos:
        raise InputError(
            "data.source_eos = false cannot be exported: MarianTokenizer ends each source with </s>"
        )


def _weights(
    weights: RunWeights,
    config: TransformerConfig,
    source: ExportedVocabulary,
    target: ExportedVocabulary,
) -> Iterator[tuple[str, StoredWeight]]:
    """The weights by their names there."""
    embedding = weights.reordered("target_embedding.weight", target.rows)
    if "source_embedding.weight" in weights:
        yield SOURCE_EMBEDDING, weights.reordered("source_embedding.weight", source.rows)
        yield TARGET_EMBEDDING, embedding
    elif config.tie_output:
        yield SHARED, embedding
    else:  # transformers 5 then ties no embedding to another
        yield from ((name, embedding) for name in (SHARED, SOURCE_EMBEDDING, TARGET_EMBEDDING))
    if not config.tie_output:
        yield OUTPUT, weights.reordered("output.weight", target.rows)
    yield OUTPUT_BIAS, StoredWeight.of(target.rows.bias(_bias(weights))[None])
    for ours, theirs in module_names(config).items():
        for kind in ("weight", "bias"):
            for name, part in weights.parts(f"{ours}.{kind}", theirs):
                yield f"{name}.{kind}", part
    for side, table in (("source", SOURCE_POSITIONS), ("target", TARGET_POSITIONS)):
        if config.positions == "learned":
            yield table, weights.part(f"{side}_positions.embedding.weight")
        elif not _has_own_positions(config):
            yield table, StoredWeight.of(_sinusoids(config))


def _bias(weights: RunWeights) -> Array | None:
    """The output bias, with that of PAD for BOS in a model that was imported.

    There, the row of BOS is a copy of another, and forbidden. As <pad> it is that one again.
    """
    if "output.bias" not in weights:
        return None
    bias = weights.array("output.bias")
    if bias[BOS] <= NEVER:
        name = "target_embedding.weight"
        if np.array_equal(weights.row(name, BOS), weights.row(name, PAD)):
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


def _model_settings(
    config: TransformerConfig,
    source: ExportedVocabulary,
    target: ExportedVocabulary,
    is_joint: bool,
) -> Table:
    """config.json, without symbols."""
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
    return {
        "architectures": [MARIAN.model],
        "model_type": MARIAN.family,
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
        "bos_token_id": None,
    }


def _tokenizer_settings(data: DataConfig, is_joint: bool) -> Table:
    """tokenizer_config.json."""
    return {
        "tokenizer_class": MARIAN.tokenizer,
        "separate_vocabs": not is_joint,
        "source_lang": data.source_language or None,
        "target_lang": None,
        "unk_token": "<unk>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "model_max_length": min(data.max_length + 1, POSITIONS),
    }


def _ids(vocabulary: ExportedVocabulary) -> bytes:
    """vocab.json: the id of each piece."""
    ids = {piece: number for number, piece in enumerate(vocabulary.pieces)}
    return (json.dumps(ids, ensure_ascii=False, indent=1) + "\n").encode()


def _notes(config: TransformerConfig) -> Iterator[str]:
    """What MarianMTModel does otherwise than the run."""
    if config.norm_epsilon != EPSILON:
        yield (
            f"model.norm_epsilon is {config.norm_epsilon}, and {EPSILON} in every MarianMTModel: "
            "scores differ by about 0.00001"
        )
