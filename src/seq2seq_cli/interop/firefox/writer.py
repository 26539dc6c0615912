"""Writes runs as models of Firefox and Bergamot: weights, vocabularies, shortlist, config.yml."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq_cli.config.data import LANGUAGE_CODE
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.settings import require
from seq2seq_cli.data.sources import split_language_mark
from seq2seq_cli.interop.firefox.activation_scales import activation_scales
from seq2seq_cli.interop.firefox.files import MAX_LENGTH
from seq2seq_cli.interop.firefox.lexical_shortlist import (
    LexicalShortlist,
    from_our_ids,
    write_binary,
)
from seq2seq_cli.interop.marian.binary import (
    INTGEMM8,
    INTGEMM16,
    Item,
    plain,
    quantized,
    text_item,
    write_items,
)
from seq2seq_cli.interop.marian.model import MarianExport, export_model
from seq2seq_cli.interop.marian.options import OPTIONS
from seq2seq_cli.interop.marian.weights import OUTPUT_BIAS, weight_table
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.padding import Ids
from seq2seq_cli.runs.layout import SHORTLIST
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import EOS, NEVER, UNK
from seq2seq_cli.tokenization.exported_vocabulary import MARIAN_SPM, ExportedVocabulary
from seq2seq_cli.tokenization.protobuf import PIECE_FIELD, UNUSED_TYPE, ModelPiece, length_delimited
from seq2seq_cli.whole_files import replace_file

TYPES = {"": INTGEMM8, "int8": INTGEMM8, "int16": INTGEMM16, "float32": 0}
SCALE = "_QuantMultA"  # ends the name of an activation's factor
LOGITS_SCALE = "none" + SCALE  # Marian's name for that of the output layer's input
COLUMNS = 8  # what the sizes of matrices are multiples of, for 8-bit products
INPUTS = 64


def write(run: RunFolder, output: Path, quantization: str) -> Sequence[str]:
    """Write a run as Firefox has it: weights, vocabularies, the shortlist and what decodes them.

    Weights have 8 bits unless `quantization` says otherwise. Returns notes on what the engine does
    otherwise. Raises InputError with the setting that it does not have.
    """
    require(
        quantization in TYPES,
        f"--quantization {quantization}: {', '.join(filter(None, TYPES))} are allowed",
    )
    kind = TYPES[quantization]
    exported = export_model(run)
    config = run.load_plain_model().config
    assert isinstance(config, TransformerConfig)
    _check(config, exported, kind)
    notes = list(exported.notes)
    pair = language_pair(run.load_config())
    names = _file_names(pair, exported, has_shortlist=(run.path / SHORTLIST).is_file())
    items = _items(run, config, exported, kind, notes)
    replace_file(output / names["models"][0], write_items(items))
    for name, vocabulary in zip(names["vocabs"], (exported.source, exported.target), strict=True):
        replace_file(output / name, _padded_vocabulary(vocabulary))
    if names["shortlist"]:
        replace_file(output / names["shortlist"][0], write_binary(_our_shortlist(run, exported)))
    replace_file(output / "config.yml", _decoder(names, kind).encode())
    return [*notes, *_notes(config)]


def _check(config: TransformerConfig, exported: MarianExport, kind: int) -> None:
    """Raise InputError for what Marian can hold, but no model of Firefox."""
    for name, allowed in (("norm", "post"), ("embedding_norm", False), ("normalisation", "layer")):
        value = getattr(config, name)
        require(
            value == allowed,
            f"{config.assignment(name, value)} cannot be exported: Firefox's models have only "
            f"{config.assignment(name, allowed)}",
        )
    require(
        exported.layout is MARIAN_SPM,
        "the run has one list of pieces and two segmentations, which cannot be exported: Firefox "
        "takes the ids of pieces from SentencePiece models",
    )
    for name in ("width", "feed_forward") if kind else ():
        size = getattr(config, name)
        require(
            size % INPUTS == 0,
            f"model.{name} = {size} cannot be exported: products with whole numbers need multiples "
            f"of {INPUTS}; --quantization float32 does not",
        )
    require(
        not kind or config.tie_output,
        "model.tie_output = false cannot be exported in whole numbers; use --quantization float32",
    )


def language_pair(config: RunConfig) -> tuple[str, str]:
    """The languages of a run by the names of its texts, as in train.en; "" where they tell none."""
    sides = []
    for names in (config.data.source, config.data.target):
        mark, name = split_language_mark(names[0]) if names else ("", "")
        suffix = Path(name).suffix.removeprefix(".")
        sides.append(mark or (suffix if LANGUAGE_CODE.fullmatch(suffix) else ""))
    return config.data.source_language or sides[0], sides[1]


def _file_names(
    pair: tuple[str, str], exported: MarianExport, *, has_shortlist: bool
) -> dict[str, list[str]]:
    """The names of the files, as Firefox has them, by what `config.yml` calls them."""
    middle = f".{''.join(pair)}" if all(len(each) == 2 for each in pair) else ""
    joint = exported.source.pieces == exported.target.pieces
    vocabularies = ["vocab"] * 2 if joint else ["srcvocab", "trgvocab"]
    return {
        "models": [f"model{middle}.bin"],
        "vocabs": [f"{each}{middle}.spm" for each in vocabularies],
        "shortlist": [f"lex{middle}.s2t.bin"] if has_shortlist else [],
    }


def _items(
    run: RunFolder,
    config: TransformerConfig,
    exported: MarianExport,
    kind: int,
    notes: list[str],
) -> list[Item]:
    """The weights in the container's form, with the factors of activations for whole numbers."""
    model, tokenizers = run.load_plain_model(), run.load_tokenizers()
    factors: dict[str, float] = {}
    if kind:
        scales, is_real = activation_scales(model, config, tokenizers, run.load_config().data)
        table = weight_table(config, model.vocabulary)
        for name, scale in scales.items():
            factors.update(dict.fromkeys(table[f"{name}.weight"].names, scale))
        if not is_real:
            notes.append(
                "scales of activations were measured on random pieces, since the validation text "
                "of the run is not there any more; text would tell them better"
            )
    items = []
    for name, array in exported.parameters:
        by_piece = name.endswith("Wemb") or name == OUTPUT_BIAS
        values = _padded_pieces(name, array) if by_piece else array
        if not kind or values.shape[0] == 1:
            items.append(plain(name, values))
            continue
        items.append(quantized(name, values, kind))
        if name in factors:
            items.extend(_scale_items(name, factors[name]))
    options = dict(exported.options)
    options["dim-vocabs"] = [-(-size // COLUMNS) * COLUMNS for size in options["dim-vocabs"]]
    items.append(text_item(OPTIONS, _yaml(options)))
    return items


def _scale_items(name: str, factor: float) -> Iterator[Item]:
    """The factor of the input of a matrix, under the names by which engines look for it."""
    value = np.full((1, 1), factor, np.float32)
    if not name.endswith("Wemb"):
        yield plain(name + SCALE, value)
        return
    yield plain(LOGITS_SCALE, value)
    yield quantized(name + SCALE, value)


def _padded_pieces(name: str, array: Array) -> Array:
    """A matrix or bias by piece, with rows for the pieces that fill the vocabulary up."""
    if name == OUTPUT_BIAS:
        bias = np.array(array)
        bias[0, UNK_ROW] = NEVER
        return np.pad(bias, ((0, 0), (0, -bias.shape[1] % COLUMNS)), constant_values=NEVER)
    return np.pad(array, ((0, -len(array) % COLUMNS), (0, 0)))


UNK_ROW = [symbol for _, symbol in MARIAN_SPM.front].index(UNK)  # engines may not forbid it


def _padded_vocabulary(vocabulary: ExportedVocabulary) -> bytes:
    """The SentencePiece model with pieces that fill it up; no text is cut into them."""
    model = vocabulary.model
    for number in range(-len(vocabulary.pieces) % COLUMNS):
        piece = ModelPiece.of(f"<unused-{number}>", UNUSED_TYPE)
        model += length_delimited(PIECE_FIELD, piece.raw)
    return model


def _our_shortlist(run: RunFolder, exported: MarianExport) -> LexicalShortlist:
    model = run.load_plain_model()
    translations, common = run.load_shortlist(model.vocabulary)
    source, target = (
        _foreign_ids(vocabulary, size)
        for vocabulary, size in (
            (exported.source, model.vocabulary.source),
            (exported.target, model.vocabulary.target),
        )
    )
    size = len(exported.source.pieces)
    return from_our_ids(
        translations,
        common,
        source,
        target,
        eos=EOS_ROW,
        source_size=size + -size % COLUMNS,
    )


EOS_ROW = [symbol for _, symbol in MARIAN_SPM.front].index(EOS)


def _foreign_ids(vocabulary: ExportedVocabulary, size: int) -> Ids:
    """The exported id of each of our ids; -1 where there is none."""
    ids = np.full(size, -1, np.int64)
    own = np.flatnonzero(~vocabulary.rows.never)
    ids[vocabulary.rows.numbers[own]] = own
    return ids


def _decoder(names: Mapping[str, list[str]], kind: int) -> str:
    """How Bergamot decodes: the options of its translator."""
    precision = {INTGEMM8: "int8shiftAlphaAll", INTGEMM16: "int16", 0: "float32"}[kind]
    options: dict[str, Any] = {
        "relative-paths": True,
        "models": names["models"],
        "vocabs": names["vocabs"],
        "shortlist": [*names["shortlist"], False] if names["shortlist"] else [],
        "beam-size": 1,
        "normalize": 1.0,
        "word-penalty": 0,
        "max-length-break": MAX_LENGTH,
        "mini-batch-words": 1024,
        "max-length-factor": 2.0,
        "skip-cost": True,
        "gemm-precision": precision,
        "alignment": "soft",
    }
    return _yaml({name: value for name, value in options.items() if value != []})


def _notes(config: TransformerConfig) -> Iterator[str]:
    """Notes on what engines of such models do otherwise."""
    yield (
        "config.yml says beam-size 1, since Firefox searches greedily and has no length penalty "
        "gnmt; compare with `seq2seq translate --beam 1`"
    )
    if config.decoder_attention != "ssru" or config.activation != "relu":
        yield "Bergamot reads this model; fxtranslate reads only SSRU decoders with relu"


def _yaml(values: Mapping[str, Any]) -> str:
    import yaml  # type: ignore[import-untyped]

    text: str = yaml.safe_dump(dict(values), sort_keys=False)
    return text
