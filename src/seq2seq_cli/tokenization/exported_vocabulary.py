"""Our vocabularies in the order of other engines, for export."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from sentencepiece import SentencePieceNormalizer

from seq2seq_cli import symbols
from seq2seq_cli.config.settings import require
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.symbols import BOS, EOS, UNK
from seq2seq_cli.tokenization.foreign_vocabulary import Rows, carried_form, rewritten_model
from seq2seq_cli.tokenization.protobuf import (
    CONTROL_TYPE,
    UNKNOWN_TYPE,
    USER_TYPE,
    ModelPiece,
    message_fields,
    model_pieces,
)
from seq2seq_cli.tokenization.text_form import Side, VerbatimForm
from seq2seq_cli.tokenization.tokenizer import VOCABULARY_SIZE, Tokenizer


@dataclass(frozen=True)
class Layout:
    """How another engine orders a vocabulary: symbols, pieces, symbols, each with its name.

    In front, another of our pieces may stand for a symbol, under its own name.
    """

    front: tuple[tuple[str, int], ...]  # the name there -> our control symbol
    back: tuple[tuple[str, int], ...] = ()
    tag: Callable[[str], str] = ">>{}<<".format  # the name of a language's tag
    # Whether the engine takes ids from the SentencePiece model; else it looks pieces up in a list.
    has_model_ids: bool = False


MARIAN = Layout((("</s>", EOS), ("<unk>", UNK)))
MARIAN_SPM = Layout((("</s>", EOS), ("<unk>", UNK)), has_model_ids=True)
# MarianMT starts from the row of <pad>, which takes the place of our BOS.
HUGGINGFACE_MARIAN = Layout((("</s>", EOS), ("<unk>", UNK)), (("<pad>", BOS),))


@dataclass(frozen=True)
class ExportedVocabulary:
    """The vocabulary of one side in another engine's order."""

    pieces: list[str]  # by id there
    model: bytes  # a SentencePiece model
    rows: Rows  # of which of our rows each row there is made
    notes: tuple[str, ...]  # what the engine does otherwise with text


def export_vocabulary(tokenizer: Tokenizer, side: Side, layout: Layout) -> ExportedVocabulary:
    """Bring the vocabulary of a side into another engine's order.

    Control symbols of ours that the layout does not name are left out. Raises InputError for a
    form of text that SentencePiece alone cannot restore.
    """
    tokenizer = tokenizer.for_side(side)
    require(
        not tokenizer.form.inline_casing,
        'tokenizer.casing = "inline" marks capitals with pieces that other engines would print; '
        "such a run cannot be exported",
    )
    pieces, numbers = [], []
    languages = {number: language for language, number in tokenizer.tags.items()}
    for name, symbol in layout.front:
        pieces.append(name)
        numbers.append(symbol)
    placed = set(numbers)
    for number in range(len(symbols.PIECES), len(tokenizer)):
        if number in placed:
            continue
        language = languages.get(number)
        pieces.append(layout.tag(language) if language else tokenizer.vocabulary[number])
        numbers.append(number)
    for name, symbol in layout.back:
        pieces.append(name)
        numbers.append(symbol)
    model, added = _exported_model(tokenizer, side, layout, pieces, numbers)
    if layout.has_model_ids:
        pieces += added
    else:
        added = []
    rows = Rows(
        np.array([*numbers, *[UNK] * len(added)]),
        np.array([*[False] * len(numbers), *[True] * len(added)]),
    )
    return ExportedVocabulary(pieces, model, rows, tuple(_notes(tokenizer, side)))


def _exported_model(
    tokenizer: Tokenizer,
    side: Side,
    layout: Layout,
    pieces: Sequence[str],
    numbers: Sequence[int],
) -> tuple[bytes, list[str]]:
    """The SentencePiece model of an exported vocabulary, and its pieces beyond the vocabulary."""
    own = list(model_pieces(tokenizer.model))
    tags = set(tokenizer.tags.values())
    made: list[ModelPiece] = []
    ids: dict[int, int] = {}
    for name, number in zip(pieces, numbers, strict=True):
        if number in symbols.PIECES:
            # The end of a sentence keeps its meaning; other symbols are looked up by name.
            ids[number] = len(made)
            made.append(ModelPiece.of(name, UNKNOWN_TYPE if number == UNK else CONTROL_TYPE))
        elif number in tags:
            if layout.has_model_ids:
                made.append(ModelPiece.of(name, USER_TYPE))
        elif layout.has_model_ids or not own[number].is_absent:
            made.append(own[number])
    rest = own[len(tokenizer) :]
    form, rules = carried_form(tokenizer.model), None
    if form is not None:
        form.pop(VOCABULARY_SIZE, None)
        if isinstance(tokenizer.form, VerbatimForm):
            form = None
        else:
            rules = _rules(tokenizer, side)
    model = rewritten_model(tokenizer.model, [*made, *rest], ids, form, rules)
    return model, [piece.text for piece in rest]


def _rules(tokenizer: Tokenizer, side: Side) -> tuple[str, bytes]:
    """The name and the table of SentencePiece's rules that are nearest to a form of text."""
    name = {"nfc": "nfkc"}.get(tokenizer.form.normalization, tokenizer.form.normalization)
    if tokenizer.form.lowercase:
        name = "nmt_nfkc_cf" if name == "nmt_nfkc" else "nfkc_cf"
    if name == "identity":
        return name, b""
    spec = SentencePieceNormalizer(rule_name=name).serialized_normalizer_spec()
    table = dict(message_fields(spec)).get(2, b"")
    assert isinstance(table, bytes)
    return name, table


def _notes(tokenizer: Tokenizer, side: Side) -> Iterator[str]:
    """Notes on what another engine does otherwise with the text of a side."""
    form = tokenizer.form
    if form.normalization == "nfc" or form.lowercase:
        yield (
            f"the {side} has {form.settings(side)}; other engines get the nearest rules that "
            "SentencePiece has, which leave some characters, such as ß, as they are"
        )
