"""A run with relative positions as T5ForConditionalGeneration of transformers has it.

What an import has put into weights, since T5 does not scale queries and scales what a tied output
reads, is taken out of them again.
"""

import json
from collections.abc import Iterator

import numpy as np

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import ModelConfig, TransformerConfig
from seq2seq_cli.config.settings import Table, require
from seq2seq_cli.interop.foreign_model import StoredWeight, WeightType, widened
from seq2seq_cli.interop.huggingface.card import Classes
from seq2seq_cli.interop.huggingface.exported import Exported, Symbols
from seq2seq_cli.interop.huggingface.sentencepiece import tokenizer_json
from seq2seq_cli.interop.huggingface.t5 import (
    ALL,
    OUTPUT,
    SHARED,
    module_names,
    query_factor,
    scaled,
)
from seq2seq_cli.interop.huggingface.vocabulary import T5_SPM, TOKENIZER_JSON, space_before_tags
from seq2seq_cli.interop.run_weights import RunWeights, in_type
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, BYTE, EOS, NEVER, PAD, PIECES, UNK
from seq2seq_cli.tokenization.exported_vocabulary import (
    ExportedVocabulary,
    Layout,
    export_vocabulary,
)
from seq2seq_cli.tokenization.language_tags import language_tag
from seq2seq_cli.tokenization.protobuf import CONTROL_TYPE, model_pieces, model_type
from seq2seq_cli.tokenization.tokenizer import Tokenizer, split_pieces

MODEL, TOKENIZER, FAMILY = "T5ForConditionalGeneration", "T5Tokenizer", "t5"
NAMES = {  # feed_forward_proj, by our activations
    "relu": "relu",
    "gelu": "gelu",
    "gelu-tanh": "gelu_new",
    "swish": "silu",
    "geglu": "gated-gelu",
    "swiglu": "gated-silu",
}
NOT_CHECKED = ("architecture", "output_bias")  # the latter's numbers are
# Settings of the Transformer -> the values that T5 has.
HELD: dict[str, tuple[object, ...]] = {
    **{
        name: (value,) for name, value in ALL.items() if name not in ("architecture", "output_bias")
    },
    "decoder_attention": ("self",),
    "embedding_norm": (False,),
    "zero_start": (False,),
    "activation": tuple(NAMES),
}
EMBEDDING = "target_embedding.weight"


def check_t5(config: ModelConfig) -> TransformerConfig:
    """Raise InputError, with the setting, for a model that T5 cannot hold."""
    assert isinstance(config, TransformerConfig)
    for name, held in HELD.items():
        value = getattr(config, name)
        require(
            value in held,
            f"{config.assignment(name, value)} cannot be exported with "
            f'model.positions = "relative": {MODEL} of Hugging Face has '
            f"{' or '.join(map(json.dumps, held))}",
        )
    return config


def export(run: RunFolder) -> Exported:
    """A run as T5 has it. Raises InputError with the setting that cannot be held."""
    settings = run.load_config()
    config, data, tokenizers = check_t5(settings.model), settings.data, run.load_tokenizers()
    _check_tokenizers(tokenizers)
    weights = RunWeights(run.load_plain_model())
    order = _Order.of(weights, tokenizers.source)
    vocabulary = export_vocabulary(tokenizers.source, "source", order.layout)
    require(
        not vocabulary.rows.need_bias,
        "the tokenizer has pieces that the model has no rows for, which T5 cannot hold",
    )
    before = _prefix(data, tokenizers.source, vocabulary)
    symbols = order.symbols(vocabulary.pieces)
    pad = vocabulary.pieces[symbols.pad]
    return Exported(
        classes=Classes(MODEL, TOKENIZER, FAMILY, before, language_tag("{}")),
        config={
            **_model_settings(config, len(vocabulary.pieces), data),
            **_task(before),
            **symbols.settings(),
        },
        tokenizer={
            "tokenizer_class": TOKENIZER,
            "extra_ids": 0,  # what stands for words that are left out is among the pieces
            "unk_token": PIECES[UNK],
            "eos_token": PIECES[EOS],
            "pad_token": pad,
            "model_max_length": data.max_length + 1,
        },
        files={
            T5_SPM: vocabulary.model,
            TOKENIZER_JSON: tokenizer_json(vocabulary.model),
        },
        weights=dict(_weights(weights, config, vocabulary)),
        symbols=symbols,
        notes=(*_notes(order, tokenizers.source, before), *vocabulary.notes),
    )


# Vocabularies


def _check_tokenizers(tokenizers: Tokenizers) -> None:
    """Raise InputError for tokenizers that T5Tokenizer cannot hold."""
    require(
        tokenizers.is_one,
        f"{TOKENIZER} of Hugging Face has one tokenizer for both sides, and this run has one for "
        "each; train with one, or export to another format",
    )
    kind = model_type(tokenizers.source.model)
    require(
        kind == "unigram",
        f'tokenizer.model_type = "{kind}" cannot be exported: {TOKENIZER} of Hugging Face has '
        "unigram",
    )


class _Order:
    """In which order T5 has the symbols, and what its decoder starts from.

    T5Tokenizer of transformers 5 takes the third piece for what is unknown
    (findings/t5-tokenizer-unknown-is-third.sh).
    """

    def __init__(self, start: int, pad: int, tokenizer: Tokenizer, *, is_apart: bool) -> None:
        self.start, self.pad, self.is_apart = start, pad, is_apart
        name = PIECES[PAD] if pad == PAD else tokenizer.vocabulary[pad]
        front = [(name, pad), (PIECES[EOS], EOS), (PIECES[UNK], UNK)]
        back = [(PIECES[BOS], BOS)] if start == BOS else []
        self.layout = Layout(tuple(front), tuple(back), language_tag, has_model_ids=True)

    @classmethod
    def of(cls, weights: RunWeights, tokenizer: Tokenizer) -> "_Order":
        """The order for a run. Raises InputError for an output bias, which T5 does not have."""
        bias = np.zeros(len(tokenizer), np.float32)
        if "output.bias" in weights:
            bias = weights.array("output.bias")
        has_row = bias > NEVER  # others are never written, since an imported model lacked them
        require(
            not bias[has_row].any(),
            "the output bias of this run is not zero, and T5 has none: train with "
            "model.output_bias = false, or fine-tune an imported T5 with training.freeze = "
            '["output-bias"]',
        )
        require(
            bool(has_row[[UNK, *range(EOS, len(tokenizer))]].all()),
            "this run has pieces that it never writes, which T5 cannot hold",
        )
        start = BOS
        if not has_row[BOS]:  # a copy of another row, unless training has changed it
            own = weights.row(EMBEDDING, BOS)
            same = (n for n in (PAD, UNK, EOS) if np.array_equal(own, weights.row(EMBEDDING, n)))
            start = next((n for n in same if has_row[n]), BOS)
        pad = PAD if has_row[PAD] else _stand_in(tokenizer)
        return cls(start, pad, tokenizer, is_apart=start == BOS and not has_row[BOS])

    def symbols(self, pieces: list[str]) -> Symbols:
        """The ids of symbols among the pieces of T5."""
        eos, unk = pieces.index(PIECES[EOS]), pieces.index(PIECES[UNK])
        start = {PAD: 0, EOS: eos, UNK: unk, BOS: len(pieces) - 1}[self.start]
        return Symbols(start, 0, eos, unk)


def _stand_in(tokenizer: Tokenizer) -> int:
    """The first symbol behind ours, for vocabularies that have no <pad>, such as MADLAD-400's."""
    pieces = enumerate(model_pieces(tokenizer.model))
    found = (n for n, piece in pieces if n >= len(PIECES) and piece.kind == CONTROL_TYPE)
    number = next(found, len(tokenizer))
    require(
        number < len(tokenizer),
        "this run has no row for <pad>, nor a symbol that can stand for it in T5",
    )
    return number


def _prefix(data: DataConfig, tokenizer: Tokenizer, vocabulary: ExportedVocabulary) -> str:
    """The text that stands in front of each line, as in "translate English to German: ".

    Raises InputError for a setting of sources that T5Tokenizer reads otherwise.
    """
    for name, value in (("language_tags", "source"), ("source_eos", True)):
        given = getattr(data, name)
        require(
            given == value,
            f"{data.assignment(name, given)} cannot be exported: {TOKENIZER} has "
            f"{data.assignment(name, value)}",
        )
    said = data.assignment("source_prefix", data.source_prefix)
    if tokenizer.tags:
        before = space_before_tags(vocabulary.pieces, vocabulary.model)
        require(
            data.source_prefix == before,
            f"{said} cannot be exported: {TOKENIZER} has "
            f"{data.assignment('source_prefix', before)} where sources begin with a language's tag",
        )
        return ""
    if not data.source_prefix:
        return ""
    pieces = split_pieces(data.source_prefix)
    text = tokenizer.decode_pieces(pieces)
    require(
        tokenizer.encode_as_pieces(text) == pieces,
        f"{said} cannot be exported: {TOKENIZER} has text in front of sources, and these are not "
        f'the pieces of a text ("{text}" has others)',
    )
    return f"{text} "


# Settings


def _model_settings(config: TransformerConfig, pieces: int, data: DataConfig) -> Table:
    """config.json, without symbols."""
    return {
        "architectures": [MODEL],
        "model_type": FAMILY,
        "is_encoder_decoder": True,
        "d_model": config.width,
        "d_kv": config.key_width,
        "d_ff": config.feed_forward,
        "num_layers": config.encoder_layers,
        "num_decoder_layers": config.decoder_layers,
        "num_heads": config.heads,
        "feed_forward_proj": NAMES[config.activation],
        "relative_attention_num_buckets": config.position_buckets,
        "relative_attention_max_distance": config.position_distance,
        "layer_norm_epsilon": config.norm_epsilon,
        "dropout_rate": config.dropout,
        "tie_word_embeddings": config.tie_output,  # and with it, whether outputs are scaled
        "vocab_size": pieces,
        "n_positions": data.max_length + 2,
    }


def _task(before: str) -> Table:
    """What stands in front of each line, as config.json names it."""
    return {"task_specific_params": {"translation": {"prefix": before}}} if before else {}


def _notes(order: _Order, tokenizer: Tokenizer, before: str) -> Iterator[str]:
    """What T5 does otherwise than the run."""
    if before:
        yield f'transformers puts nothing in front of a line by itself: begin each with "{before}"'
    if order.is_apart:
        yield (
            "what the decoder starts from was trained apart from other rows: as a row of its own, "
            "<s>, it takes a share of the probability there, by which scores are a little lower"
        )
    if any(BYTE.fullmatch(piece) for piece in tokenizer.vocabulary):
        yield (
            f"{TOKENIZER} of transformers 5 reads characters without a piece as <unk>, where the "
            "run spells them in bytes"
        )


# Weights


def _weights(
    weights: RunWeights, config: TransformerConfig, vocabulary: ExportedVocabulary
) -> Iterator[tuple[str, StoredWeight]]:
    """The weights by their names there."""
    yield SHARED, weights.reordered(EMBEDDING, vocabulary.rows)
    if not config.tie_output:
        yield OUTPUT, weights.reordered("output.weight", vocabulary.rows)
    for ours, theirs in module_names(config).items():
        for module, part in weights.parts(f"{ours}.weight", theirs):
            factor = query_factor(config, module)
            if ours == "decoder_norm" and config.tie_output:
                factor = config.width**-0.5
            yield f"{module}.weight", _divided(part, factor, weights.narrow_type)


def _divided(weight: StoredWeight, factor: float, narrow: WeightType | None) -> StoredWeight:
    """A weight without the factor that an import multiplies it with.

    Of a run in 16 bits, it is the number of 16 bits that the import has read, if there is one.
    """
    if factor == 1.0 or weight.dtype == "BF16":
        return weight if factor == 1.0 else scaled(weight, 1 / factor)

    def read() -> Array:
        numbers, by = widened(weight.read()), np.float32(factor)
        found = numbers / by
        if narrow is None:
            return found
        nearest = widened(in_type(found, narrow))
        return np.where(nearest * by == numbers, nearest, found)

    return StoredWeight(weight.shape, "F32", read)
