"""Models of Firefox and Bergamot: small, in 8 bits, with a lexical shortlist.

They are Marian's models in its binary container, with vocabularies that are SentencePiece models.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq_cli.config.data import LANGUAGE_CODE, DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.settings import require
from seq2seq_cli.data.sources import split_language_mark
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.firefox.activation_scales import activation_scales
from seq2seq_cli.interop.firefox.files import FirefoxFiles, content, find_files, is_model, models_in
from seq2seq_cli.interop.firefox.lexical_shortlist import (
    LexicalShortlist,
    from_our_ids,
    is_binary_shortlist,
    read_binary,
    read_text,
    write_binary,
)
from seq2seq_cli.interop.foreign_model import ForeignModel
from seq2seq_cli.interop.marian.binary import (
    INTGEMM8,
    INTGEMM16,
    Item,
    plain,
    quantized,
    read_items,
    text_item,
    write_items,
)
from seq2seq_cli.interop.marian.model import MarianExport, export_model, marian_model
from seq2seq_cli.interop.marian.options import OPTIONS, read_options
from seq2seq_cli.interop.marian.weights import OUTPUT_BIAS, Parameters, weight_table
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.padding import Ids
from seq2seq_cli.runs.layout import SHORTLIST
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.symbols import EOS, NEVER, UNK
from seq2seq_cli.text import replace_file
from seq2seq_cli.tokenization.foreign_vocabulary import (
    MARIAN_SPM,
    ExportedVocabulary,
    ForeignVocabulary,
    import_vocabularies,
)
from seq2seq_cli.tokenization.protobuf import (
    PIECE_FIELD,
    UNUSED_TYPE,
    ModelPiece,
    length_delimited,
)

MAX_LENGTH = 128  # tokens at which Firefox divides a sentence
TYPES = {"": INTGEMM8, "int8": INTGEMM8, "int16": INTGEMM16, "float32": 0}
SCALE = "_QuantMultA"  # ends the name of an activation's factor
LOGITS_SCALE = "none" + SCALE  # Marian's name for that of the output layer's input
COLUMNS = 8  # what the sizes of matrices are multiples of, for 8-bit products
INPUTS = 64


def recognises(path: Path) -> bool:
    """Whether a file or folder is a model in Marian's binary container."""
    try:
        return bool(models_in(path)) if path.is_dir() else is_model(path)
    except OSError:
        return False


def read(path: Path) -> ForeignModel:
    """Read a model: its folder, or its file of weights beside its vocabularies.

    Raises InputError, with the file and the reason, for what is damaged, missing, encrypted or laid
    out for one processor.
    """
    files = find_files(path)
    items = read_items(content(files.model), str(files.model))
    require(OPTIONS in items, f"{files.model} has no {OPTIONS}: it is not a whole model of Marian")
    options = read_options(items[OPTIONS].numbers().tobytes(), files.model)
    source, target = _vocabularies(files)
    model = marian_model(
        _parameters(items, files.model),
        options,
        source,
        target,
        origin=Origin(format="firefox"),
        data=DataConfig(source_language=files.source_language, max_length=MAX_LENGTH),
        search={"beam": 1},
    )
    if files.shortlist is None:
        return model
    return replace(model, shortlist=_shortlist(files, source, target, model))


def _vocabularies(files: FirefoxFiles) -> tuple[ForeignVocabulary, ForeignVocabulary]:
    source = ForeignVocabulary.of_model(bytes(content(files.source)), str(files.source))
    if files.source == files.target:
        return source, source
    return source, ForeignVocabulary.of_model(bytes(content(files.target)), str(files.target))


def _parameters(items: Mapping[str, Item], path: Path) -> Parameters:
    shapes = {name: item.shape for name, item in items.items() if name != OPTIONS}

    def read_parameter(name: str) -> Array:
        return items[name].values()

    return Parameters(path, shapes, read_parameter)


def _shortlist(
    files: FirefoxFiles, source: ForeignVocabulary, target: ForeignVocabulary, model: ForeignModel
) -> tuple[Ids, Ids]:
    """The shortlist of a model's files, in our ids."""
    path = files.shortlist
    assert path is not None
    data, name = bytes(content(path)), str(path)
    shared = files.source == files.target
    if is_binary_shortlist(data):
        found = read_binary(data, len(target.pieces), name)
    else:
        try:
            lines = data.decode().splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{name} is neither a binary shortlist nor UTF-8: {error}") from None
        found = read_text(iter(lines), _ids(source.pieces), _ids(target.pieces), name)
    ours = import_vocabularies(source, target, start=None, joint=model.tokenizers.is_joint)
    return found.in_our_ids(
        ours.source_rows.numbers, ours.target_rows.numbers, eos=source.eos, shared=shared
    )


def _ids(pieces: Sequence[str | None]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(pieces) if piece is not None}


# Out of a run


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
    """What engines of such models do otherwise."""
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


# The original engine


def translate_with_original(path: Path, lines: Sequence[str], beam: int) -> list[str]:
    """Translate lines by fxtranslate, greedily and without the shortlist.

    Raises InputError if it is not installed or cannot run the model.
    """
    try:
        import fxtranslate
    except ImportError:
        raise InputError(
            "the package fxtranslate is not installed; pip install fxtranslate installs it"
        ) from None
    files = find_files(path)
    config = read(path).config
    for name, allowed in (("decoder_attention", "ssru"), ("activation", "relu"), ("norm", "post")):
        value = getattr(config, name)
        require(
            value == allowed,
            f"fxtranslate cannot run this model: it has {config.assignment(name, value)}, and only "
            f'"{allowed}" is known to it',
        )
    items = read_items(content(files.model), str(files.model))
    require(
        "Wemb" in items or items["decoder_Wemb"].is_quantized,
        "fxtranslate cannot run this model: in float32 it reads only joint vocabularies",
    )
    parts = (bytes(content(each)) for each in (files.model, files.source, files.target))
    translator = fxtranslate.Translator(*parts)
    return [translator.translate(line) for line in lines]
