"""Vocabularies of Marian: SentencePiece models, and lists of pieces in YAML, JSON or text.

A list has the ids, and a SentencePiece model beside it cuts the text, as in the releases of
OPUS-MT.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.tokenization.foreign_vocabulary import ForeignVocabulary

LISTS = (".yml", ".yaml", ".json", ".txt")  # suffixes of lists of pieces
MOST_BYTES = 1 << 27  # of a vocabulary's file
MOST_PIECES = 1 << 24
EOS_NAMES, UNK_NAMES = ("</s>", "eos"), ("<unk>", "UNK")

# A line of YAML or JSON whose piece is a JSON string; files that a program wrote have only these.
QUOTED_LINE = re.compile(r'\s*("(?:[^"\\]|\\.)*")\s*:\s*([0-9]{1,9})\s*,?\s*')


def read_bytes(path: Path) -> bytes:
    """Read a small file. Raises InputError if it is missing, or far too large."""
    try:
        size = path.stat().st_size
        require(size <= MOST_BYTES, f"{path} has {size:,} bytes, too many for a vocabulary")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def read_vocabulary(path: Path, segmentation: Path | None) -> ForeignVocabulary:
    """Read the vocabulary of a side; `segmentation` cuts its text if it is only a list.

    Raises InputError for a file that is damaged or lacks what Marian requires.
    """
    data = read_bytes(path)
    if path.suffix not in LISTS:
        return ForeignVocabulary.of_model(data, str(path))
    pieces = read_list(data, path)
    require(
        segmentation is not None,
        f"{path} is a list of pieces, and the SentencePiece model that cuts text into them, such "
        "as source.spm, does not lie beside it; models with another tokenizer (BPE codes, words) "
        "cannot be held",
    )
    assert segmentation is not None
    return ForeignVocabulary(
        pieces=pieces,
        model=read_bytes(segmentation),
        eos=_id_of(EOS_NAMES, pieces, path),
        unk=_id_of(UNK_NAMES, pieces, path),
        name=str(path),
    )


def _id_of(names: Sequence[str], pieces: Sequence[str | None], path: Path) -> int:
    for name in names:
        if name in pieces:
            return pieces.index(name)
    raise InputError(f"{path} has no piece {names[0]}; it is not a vocabulary of Marian")


def read_list(data: bytes, path: Path) -> list[str | None]:
    """The pieces of a list by id; None for an id without a piece.

    Marian gives a piece that is there twice the first of its ids.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error.reason}") from None
    if path.suffix == ".txt":
        pairs: Iterable[tuple[str, object]] = (
            (line, number) for number, line in enumerate(_lines(text))
        )
    else:
        pairs = _mapping(text, path)
    found: dict[str, int] = {}
    taken: dict[int, str] = {}
    for piece, given in pairs:
        number = int(given) if isinstance(given, str) and given.isdecimal() else given
        if type(number) is not int or not 0 <= number < MOST_PIECES:
            raise InputError(
                f"{path}: the piece {piece!r} has the id {given!r}, which is no number"
            )
        if number in taken:
            raise InputError(f"{path}: {taken[number]!r} and {piece!r} have the same id {number}")
        taken[number] = piece
        found.setdefault(piece, number)
    size = max(taken, default=-1) + 1
    require(
        len(taken) <= size <= 2 * len(taken) + 1000,
        f"{path} has {len(taken):,} pieces and ids up to {size:,}; it is damaged",
    )
    pieces: list[str | None] = [None] * size
    for piece, number in found.items():
        pieces[number] = piece
    return pieces


def _lines(text: str) -> list[str]:
    """The lines of a text; other ends of lines than LF and CRLF may be part of a piece."""
    return text.removesuffix("\n").replace("\r\n", "\n").split("\n")


def _mapping(text: str, path: Path) -> list[tuple[str, object]]:
    """Pieces and ids of a YAML or JSON table, those that are there twice included."""
    lines = [line for line in _lines(text) if line.strip() not in ("", "{", "}", "---")]
    matches = [QUOTED_LINE.fullmatch(line) for line in lines]
    if all(matches):
        try:
            return [(json.loads(m[1]), m[2]) for m in matches if m is not None]
        except ValueError:
            pass  # escapes of YAML
    if path.suffix == ".json" or text.lstrip().startswith("{"):
        return _json_pairs(text, path)
    return _yaml_pairs(text, path)


def _json_pairs(text: str, path: Path) -> list[tuple[str, object]]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(pairs, list) or not all(isinstance(each, tuple) for each in pairs):
        raise InputError(f"{path} is not a table of pieces and their ids")
    return pairs


def _yaml_pairs(text: str, path: Path) -> list[tuple[str, object]]:
    """Read a table whose pieces are taken as they are written: `no` and `1.0` are text."""
    import yaml  # type: ignore[import-untyped]

    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        node = yaml.compose(text, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not YAML: {reason[:200]}") from None
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path} is not a table of pieces and their ids")
    if not all(isinstance(each, yaml.ScalarNode) for pair in node.value for each in pair):
        raise InputError(f"{path} is not a table of pieces and their ids")
    return [(piece.value, number.value) for piece, number in node.value]


def written_list(pieces: Sequence[str]) -> bytes:
    """A list of pieces as YAML that every reader takes as it is meant."""
    lines = (f"{json.dumps(piece)}: {number}\n" for number, piece in enumerate(pieces))
    return "".join(lines).encode()
