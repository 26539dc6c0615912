"""The vocabularies of Hugging Face's tokenizers: which piece has which row, and how text is cut.

MarianMT has `vocab.json` beside a SentencePiece model for each side. M2M-100 has `vocab.json` and
one model. NLLB and mBART-50 number the pieces of their model in fairseq's order, with languages
behind. T5 has the ids of its model, with sentinels behind. Where `tokenizer.json` is all there is,
the model is made of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sentencepiece import SentencePieceProcessor

from seq2seq_cli.config.data import LanguageTags
from seq2seq_cli.config.settings import require
from seq2seq_cli.config.tokenizer import LANGUAGE
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.huggingface.config import HuggingFaceConfig
from seq2seq_cli.interop.huggingface.files import (
    SPECIAL_TOKENS,
    TOKENIZER_CONFIG,
    read_json,
    read_json_if_there,
)
from seq2seq_cli.interop.huggingface.sentencepiece import sentencepiece_model
from seq2seq_cli.symbols import WORD_START
from seq2seq_cli.tokenization.foreign_vocabulary import ForeignVocabulary, piece_names
from seq2seq_cli.tokenization.language_tags import TAG
from seq2seq_cli.tokenization.protobuf import TEXT_TYPE, model_pieces

VOCABULARY, TARGET_VOCABULARY = "vocab.json", "target_vocab.json"
SOURCE_SPM, TARGET_SPM, SPM = "source.spm", "target.spm", "sentencepiece.bpe.model"
T5_SPM = "spiece.model"
TOKENIZER_JSON = "tokenizer.json"
SENTINELS = 100  # of T5, which stand for words that are left out
SENTINEL = re.compile(r"<extra_id_\d+>")
FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0 to 3 of NLLB and mBART
MASK = "<mask>"
SPECIAL_IDS = ("pad_token_id", "eos_token_id", "decoder_start_token_id", "forced_eos_token_id")

# The languages of M2M-100 in the order of their ids, which follow those of vocab.json.
M2M_LANGUAGES = {
    "m2m100": (
        "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl "
        "gu ha he hi hr ht hu hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml "
        "mn mr ms my ne nl no ns oc or pa pl ps pt ro ru sd si sk sl so sq sr ss su sv sw ta th "
        "tl tn tr uk ur uz vi wo xh yi yo zh zu"
    ),
    "wmt21": "en ha is ja cs ru zh de",
}


@dataclass(frozen=True)
class HuggingFaceVocabulary:
    """The vocabulary of each side, and where tags of languages stand."""

    source: ForeignVocabulary
    target: ForeignVocabulary
    tags: LanguageTags = "source"
    prefix: str = ""  # pieces in front of each source


def read_vocabulary(folder: Path, config: HuggingFaceConfig) -> HuggingFaceVocabulary:
    """Read the vocabularies that belong to a model.

    Raises InputError, with the file, for what is missing, damaged, or does not fit the model.
    """
    settings = read_json_if_there(folder / TOKENIZER_CONFIG)
    kind = str(settings.get("tokenizer_class", "")).removesuffix("Fast")
    if config.family == "marian":
        return _marian(folder, config, settings)
    if config.is_t5:
        return _t5(folder, config, settings)
    if config.family == "m2m_100" and (folder / VOCABULARY).exists():
        return _m2m(folder, config, settings)
    if config.family == "m2m_100":
        require(
            kind in ("NllbTokenizer", "TokenizersBackend", ""),
            f"{folder / TOKENIZER_CONFIG}: tokenizer_class {kind} cannot be held: its code would "
            "have to be run; NllbTokenizer and M2M100Tokenizer can be held",
        )
        legacy = settings.get("legacy_behaviour") is True
        return _fairseq(folder, config, settings, "both-source-last" if legacy else "both")
    require(
        kind != "MBartTokenizer",
        f"{folder / TOKENIZER_CONFIG}: MBartTokenizer cannot be held: the decoders of mBART-25 "
        "start from the language instead of </s>; mBART-50 (MBart50Tokenizer) can be held",
    )
    return _fairseq(folder, config, settings, "both")


# MarianMT


def _marian(
    folder: Path, config: HuggingFaceConfig, settings: Mapping[str, Any]
) -> HuggingFaceVocabulary:
    require(
        not (folder / "source.bpe").exists(),
        f"{folder / 'source.bpe'} belongs to a model of before SentencePiece, whose words were cut "
        "by another program (subword-nmt); such models cannot be held",
    )
    sizes = config.vocabulary_sizes
    path = folder / VOCABULARY
    ids = target_ids = _ids(path)
    target_path = path
    # One vocabulary with a matrix for each side has no second file.
    if settings.get("separate_vocabs") is True or (folder / TARGET_VOCABULARY).exists():
        target_path = folder / TARGET_VOCABULARY
        target_ids = _ids(target_path)
        for name in ("<pad>", "<unk>", "</s>"):
            require(
                target_ids.get(name) == ids.get(name),
                f"{target_path}: {name} has the id {target_ids.get(name)}, and {ids.get(name)} in "
                f"{VOCABULARY}; MarianMTModel has one id for both",
            )
    target = _side(target_ids, sizes[1], target_path, folder / TARGET_SPM)
    _check_symbols(config, target, target_path)
    return HuggingFaceVocabulary(_side(ids, sizes[0], path, folder / SOURCE_SPM), target)


# M2M-100


def _m2m(
    folder: Path, config: HuggingFaceConfig, settings: Mapping[str, Any]
) -> HuggingFaceVocabulary:
    path = folder / VOCABULARY
    ids = _ids(path)
    codes = str(settings.get("language_codes", "m2m100"))
    require(
        codes in M2M_LANGUAGES,
        f"{folder / TOKENIZER_CONFIG}: language_codes = {codes!r}: {' or '.join(M2M_LANGUAGES)} "
        "can be held",
    )
    languages = dict(enumerate(M2M_LANGUAGES[codes].split(), len(ids)))
    ids |= {f"__{code}__": number for number, code in languages.items()}
    side = _side(ids, config.vocabulary_sizes[0], path, folder / SPM, languages)
    _check_symbols(config, side, path)
    return HuggingFaceVocabulary(side, side, "both")


# NLLB and mBART-50


def _fairseq(
    folder: Path, config: HuggingFaceConfig, settings: Mapping[str, Any], tags: LanguageTags
) -> HuggingFaceVocabulary:
    path, spm = folder / TOKENIZER_JSON, folder / SPM
    names = _languages(folder, settings)
    if path.exists():
        tokenizer = read_json(path)
        ids = _ids_of_tokenizer(tokenizer, path)
        model = None if spm.exists() else sentencepiece_model(tokenizer, path)
    else:
        path, model = spm, None
        ids = {name: number for number, name in enumerate(FAIRSEQ)}
        # SentencePiece has three symbols where fairseq has four.
        pieces = piece_names(_read_spm(spm))
        ids |= {piece: number + 1 for number, piece in enumerate(pieces) if number > 2}
        for name in (*names, MASK):
            ids.setdefault(name, len(ids))
    languages = {ids[name]: name for name in names if name in ids}
    side = _side(ids, config.vocabulary_sizes[0], path, spm, languages, model)
    _check_symbols(config, side, path)
    return HuggingFaceVocabulary(side, side, tags)


def _languages(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """The codes of languages, in order. Raises InputError if no file lists them."""
    for source in (read_json_if_there(folder / SPECIAL_TOKENS), settings):
        for key in ("additional_special_tokens", "extra_special_tokens"):
            named = source.get(key)
            if isinstance(named, list) and named:
                names = [each.get("content") if isinstance(each, dict) else each for each in named]
                return [str(name) for name in names if re.fullmatch(LANGUAGE, str(name))]
    raise InputError(
        f"{folder} does not say which languages its tokenizer has: neither {SPECIAL_TOKENS} nor "
        f"{TOKENIZER_CONFIG} lists them as additional_special_tokens; copy the whole folder"
    )


def _ids_of_tokenizer(tokenizer: Mapping[str, Any], path: Path) -> dict[str, int]:
    """The ids of all pieces that tokenizer.json names."""
    try:
        named = tokenizer["model"]["vocab"]
        if isinstance(named, list):  # of a unigram model, with scores
            named = {piece: number for number, (piece, _) in enumerate(named)}
        added = {each["content"]: each["id"] for each in tokenizer.get("added_tokens", ())}
        return _checked_ids({**named, **added}, path)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path} is damaged: it lists no vocabulary; copy it again") from None


# T5 and MADLAD-400


def _t5(
    folder: Path, config: HuggingFaceConfig, settings: Mapping[str, Any]
) -> HuggingFaceVocabulary:
    path, spm = folder / TOKENIZER_JSON, folder / T5_SPM
    rows = config.vocabulary_sizes[0]
    model: bytes | None
    if path.exists():
        tokenizer = read_json(path)
        ids = _ids_of_tokenizer(tokenizer, path)
        model = None if spm.exists() else sentencepiece_model(tokenizer, path)
    else:
        path, model = spm, _read_spm(spm)
        try:
            pieces = piece_names(model)
        except (InputError, ValueError, IndexError):
            raise InputError(
                f"{spm} is not a SentencePiece model, or it is damaged; copy it again"
            ) from None
        ids = {piece: number for number, piece in enumerate(pieces)}
        sentinels = settings.get("extra_ids", SENTINELS) or 0
        require(
            isinstance(sentinels, int) and 0 <= sentinels < max(rows, SENTINELS + 1),
            f"{folder / TOKENIZER_CONFIG}: extra_ids = {sentinels!r} is not a number below the "
            f"{rows} rows of the model (vocab_size); copy the whole folder",
        )
        # The last one is the first; older folders do not say how many there are.
        for number in range(sentinels):
            following = len(pieces) + sentinels - 1 - number
            if following < rows:
                ids.setdefault(f"<extra_id_{number}>", following)
    side = _side(ids, rows, path, spm, model=model)
    _check_symbols(config, side, path)
    return HuggingFaceVocabulary(side, side, prefix=space_before_tags(side.pieces, side.model))


def space_before_tags(pieces: Sequence[str | None], model: bytes) -> str:
    """The piece ▁ if it stands in front of tags such as <2de>, as SentencePiece cuts them."""
    tag = next((piece for piece in pieces if piece and TAG.fullmatch(piece)), None)
    if tag is None:
        return ""
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except RuntimeError:
        return ""  # a damaged one, of which the import says more
    return WORD_START if processor.Encode(tag, out_type=str) == [WORD_START, tag] else ""


# All


def _read_spm(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing, which cuts text into pieces; copy the whole folder"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _ids(path: Path) -> dict[str, int]:
    """The ids of pieces in a file {piece: id}."""
    return _checked_ids(read_json(path), path)


def _checked_ids(ids: Mapping[Any, Any], path: Path) -> dict[str, int]:
    for piece, number in ids.items():
        if type(number) is not int or number < 0 or not isinstance(piece, str):
            raise InputError(
                f"{path} is damaged: {piece!r} has the id {number!r}, which is not a whole number"
            )
    try:
        "".join(ids).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{path} is damaged: it has pieces that are not text; copy it again"
        ) from None
    return dict(cast(Mapping[str, int], ids))


def _side(
    ids: Mapping[str, int],
    rows: int,
    path: Path,
    spm: Path,
    languages: Mapping[int, str] | None = None,
    model: bytes | None = None,
) -> ForeignVocabulary:
    """The vocabulary of a side, from the ids in `path` and the SentencePiece model in `spm`.

    Raises InputError for an id that the model has no row for, for two pieces with one id, and for a
    vocabulary without an end of sentence.
    """
    pieces: list[str | None] = [None] * rows
    for piece, number in ids.items():
        require(
            number < rows,
            f'{path} gives "{piece}" the id {number}, and the model has {rows} rows (vocab_size): '
            "the files are not of one model; copy the whole folder",
        )
        require(
            pieces[number] is None,
            f'{path} gives the id {number} to "{pieces[number]}" and to "{piece}"; copy it again',
        )
        pieces[number] = piece
    for name in ("<unk>", "</s>"):
        require(name in ids, f"{path} has no {name}; copy the whole folder")
    if model is None:
        model = _read_spm(spm)
        _check_same_model(ids, path, model, spm)
    return ForeignVocabulary(
        pieces,
        model,
        eos=ids["</s>"],
        unk=ids["<unk>"],
        pad=ids.get("<pad>"),
        bos=ids.get("<s>"),
        tags=languages or {},
        controls=frozenset(each for piece, each in ids.items() if SENTINEL.fullmatch(piece)),
        name=str(spm),
    )


def _check_same_model(ids: Mapping[str, int], path: Path, model: bytes, spm: Path) -> None:
    """Raise InputError if most pieces of a SentencePiece model are not in the vocabulary."""
    try:
        pieces = [piece.text for piece in model_pieces(model) if piece.kind == TEXT_TYPE]
    except (InputError, ValueError, IndexError):
        return  # a damaged one, of which the import says more
    known = sum(piece in ids for piece in pieces)
    require(
        2 * known >= len(pieces),
        f"{path} has {known:,} of the {len(pieces):,} pieces of {spm.name}: the files are not of "
        "one model; copy the whole folder",
    )


def _check_symbols(config: HuggingFaceConfig, side: ForeignVocabulary, path: Path) -> None:
    """Raise InputError for a special token in config.json that the vocabulary lacks.

    Raises InputError too if </s> has another id than targets end with.
    """
    for name in SPECIAL_IDS:
        given = config.values.get(name)
        for each in given if isinstance(given, list) else [given]:
            if each is None:
                continue
            is_there = type(each) is int and 0 <= each < len(side.pieces)
            require(
                is_there and side.pieces[each] is not None,
                f"{config.path}: {name} = {each!r}, which no piece of {path.name} has as its id: "
                "the files are not of one model; copy the whole folder",
            )
    end = config.values.get("eos_token_id")
    require(
        end is None or side.eos in (end if isinstance(end, list) else [end]),
        f"{config.path}: eos_token_id = {end!r}, and </s> has the id {side.eos} in {path.name}: "
        "the files are not of one model; copy the whole folder",
    )
