"""New pieces and language tags in a vocabulary, for training that goes on from another run.

They follow the pieces that are there, so that all of these keep their ids. A new piece of text is
cut wherever it costs no more than the pieces that its text was cut into before: in a unigram model
it has their mean score. The other kinds of models take it wherever its characters stand.
"""

import json
from collections.abc import Mapping, Sequence

from seq2seq_cli import symbols
from seq2seq_cli.config.settings import require
from seq2seq_cli.symbols import UNK, WORD_START
from seq2seq_cli.tokenization.language_tags import TAG, foreign_language, language_tag
from seq2seq_cli.tokenization.protobuf import (
    ABSENT,
    CONTROL_TYPE,
    FORMS_FIELD,
    PIECE_FIELD,
    TEXT_TYPE,
    USER_TYPE,
    ModelPiece,
    length_delimited,
    model_pieces,
    model_type,
    raw_fields,
    with_score,
)
from seq2seq_cli.tokenization.tokenizer import VOCABULARY_SIZE, Tokenizer


def read_pieces(lines: Sequence[str], name: str) -> list[str]:
    """The pieces that the lines of a file name, each once, written as in a vocabulary.

    ▁, or a space, stands for the space before a word. Messages call the file by `name`. Raises
    InputError for a line that cannot be a piece, or if there are none.
    """
    pieces = dict.fromkeys(
        line.strip("\r\n").replace(" ", WORD_START) for line in lines if line.strip()
    )
    for piece in pieces:
        is_symbol = piece in symbols.PIECES.values() or TAG.fullmatch(piece) is not None
        require(
            piece.strip(WORD_START) != ""
            and piece.isprintable()
            and not is_symbol
            and not foreign_language(piece)
            and ABSENT not in piece,
            f'{name}: "{piece}" cannot be a piece; write one piece a line, of visible characters, '
            f"with {WORD_START} where a word begins, as in {WORD_START}Kubernetes; languages are "
            "added with --add-language",
        )
    require(bool(pieces), f"{name} has no pieces; write one a line")
    return list(pieces)


def comes_up(tokenizer: Tokenizer, piece: str) -> bool:
    """Whether text can be cut into a piece, since normalisation leaves it as it is."""
    return tokenizer.read(piece.replace(WORD_START, " ")) == piece.strip(WORD_START)


def with_pieces(tokenizer: Tokenizer, pieces: Sequence[str], languages: Sequence[str]) -> Tokenizer:
    """The tokenizer with those pieces and tags of languages that it lacks."""
    known = {*tokenizer.vocabulary}
    tags = [tag for tag in map(language_tag, languages) if tag not in known]
    added = [_piece(tokenizer, piece) for piece in pieces if piece not in known]
    added += [ModelPiece.of(tag, CONTROL_TYPE) for tag in tags]
    return Tokenizer(_extended(tokenizer, added)) if added else tokenizer


def cut(tokenizer: Tokenizer, piece: str) -> list[int]:
    """The ids of the pieces that the text of a new piece is cut into, known ones if there are any.

    For the tag of a language these are all other tags.
    """
    if TAG.fullmatch(piece):
        return list(tokenizer.tags.values())
    (ids,) = tokenizer.encode([piece.replace(WORD_START, " ")])
    if not piece.startswith(WORD_START) and ids and tokenizer.vocabulary[ids[0]] == WORD_START:
        ids = ids[1:]
    return [number for number in ids if number != UNK] or ids


def _piece(tokenizer: Tokenizer, piece: str) -> ModelPiece:
    """A new piece, with a score by which text is cut into it."""
    if model_type(tokenizer.model) != "unigram":
        return ModelPiece.of(piece, USER_TYPE)
    scores = [tokenizer.score(number) for number in cut(tokenizer, piece) if number != UNK]
    mean = sum(scores) / len(scores) if scores else tokenizer.lowest_score
    return with_score(ModelPiece.of(piece, TEXT_TYPE), mean)


def _extended(tokenizer: Tokenizer, added: Sequence[ModelPiece]) -> bytes:
    """The model of a tokenizer with pieces behind its vocabulary.

    A piece that text is cut into but that the vocabulary lacks, so far read as unknown, gets an id.
    """
    raw = [piece.raw for piece in model_pieces(tokenizer.model)]
    size, names = len(tokenizer), {piece.text for piece in added}
    behind = [p.raw for p in [*model_pieces(tokenizer.model)][size:] if p.text not in names]
    pieces = [*raw[:size], *(piece.raw for piece in added), *behind]
    parts = [length_delimited(PIECE_FIELD, piece) for piece in pieces]
    for field, content in raw_fields(tokenizer.model):
        if field == FORMS_FIELD:
            form: Mapping[str, object] = json.loads(tokenizer.said)
            if VOCABULARY_SIZE in form:
                form = {**form, VOCABULARY_SIZE: size + len(added)}
                content = length_delimited(FORMS_FIELD, json.dumps(form).encode())
            parts.insert(0, content)
        elif field != PIECE_FIELD:
            parts.append(content)
    return b"".join(parts)
