"""Lines of text to token ids and back, with a SentencePiece model (Kudo & Richardson 2018).

What is defined here:

- `text_form` says what becomes of the characters of a side; then runs of spaces become one space,
  with none at the ends. So `decode(encode(line))` is `normalize(line)`, with `UNKNOWN` for what the
  vocabulary lacks, and `normalize` leaves text as it is unless a setting says otherwise.
- The names of the control symbols, such as <s>, are plain text if a line contains them.
- A model that other tools trained, or a version of ours before `text_form`, normalises by rules of
  its own.
"""

import copy
import hashlib
import json
import random
import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from seq2seq_cli import symbols
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import open_input
from seq2seq_cli.text import check_is_list
from seq2seq_cli.tokenization.language_tags import TAG, TAG_STARTS, tag_of
from seq2seq_cli.tokenization.protobuf import (
    ABSENT,
    FORMS_FIELD,
    NORMALIZER_FIELD,
    TEXT_TYPE,
    TRAINER_FIELD,
    fields_beside_pieces,
    model_type,
    piece_offsets,
    piece_types,
    with_all_pieces,
    with_symbols_in_front,
)
from seq2seq_cli.tokenization.subwords import MergeSampler, UnigramSampler, WordSampler
from seq2seq_cli.tokenization.text_form import (
    CONTROL,
    ForeignForm,
    Side,
    TextForm,
    VerbatimForm,
    form_from_json,
)

UNKNOWN = "⁇"  # how decoded text shows UNK
VOCABULARY_SIZE = "vocabulary_size"  # of imported models, beside what they say about their text

ASCII_SPACES = " \t\v\f\r"
WORD = re.compile(f"[^{ASCII_SPACES}]+")

Span = tuple[int, int]  # where something begins and ends in a line, in characters

THREADED_LINES = 256  # fewer lines take less time one by one than threads take to start


def vocabulary_size(said: bytes | None, pieces: int) -> int:
    """The size of the vocabulary of a model with so many pieces; raises ValueError."""
    size = pieces if said is None else json.loads(said).get(VOCABULARY_SIZE, pieces)
    if type(size) is not int or not len(symbols.PIECES) <= size <= pieces:
        raise ValueError(f"a vocabulary of {size} pieces")
    return size


def split_pieces(line: str) -> list[str]:
    """The pieces of a line of pieces; other spaces than U+0020 may be part of a piece."""
    return [piece for piece in line.split(" ") if piece]


class Tokenizer:
    """A vocabulary of pieces that turns lines into ids and ids into lines.

    It reads and writes text as the target of a model does, unless `for_side` makes it another.
    """

    model: bytes  # SentencePiece's own format, which its other tools read
    vocabulary: list[str]  # id -> piece
    side: Side = "target"  # of a model whose text it reads and writes
    form: TextForm  # what becomes of text before it is cut, and after it is joined
    tags: dict[str, int]  # the languages that the tag of a line can choose -> the ids of their tags

    def __init__(self, model: bytes, name: str = "tokenizer model") -> None:
        """Read a serialized model; messages call it by `name`.

        A model whose control symbols have other ids than ours, or that lacks some, is rewritten; it
        cuts text as before. Raises InputError if it is damaged.
        """
        self._processor = SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            model = self._with_our_symbols(model)
            pieces = self._processor.IdToPiece(list(range(len(self._processor))))
            # SentencePiece accepts a model cut off between two pieces and fills in defaults.
            fields = dict(fields_beside_pieces(model))
            is_whole = {TRAINER_FIELD, NORMALIZER_FIELD} <= fields.keys()
            said = fields.get(FORMS_FIELD)
            self._forms = said if isinstance(said, bytes) else None
            size = vocabulary_size(self._forms, len(pieces))
            self.form = self._form_of("target")
        except (RuntimeError, ValueError, LookupError, TypeError):
            is_whole = False
        require(
            is_whole,
            f"{name} is not a SentencePiece model, or it is damaged; copy it again, or train a new "
            "one with `seq2seq tokenizer train`",
        )
        self.model = model
        # Imported models have pieces that are read as unknown, and pieces of the other side.
        self._has_more_pieces = size < len(pieces)
        self._renamed: set[int] = set()
        if ABSENT.encode() in model:
            self._renamed = {n for n, piece in enumerate(pieces[:size]) if piece[:1] == ABSENT}
        self.vocabulary = pieces[:size]
        for number in self._renamed:
            self.vocabulary[number] = pieces[number].removeprefix(ABSENT)
        self.tags = {}
        if any(start.encode() in model for start in TAG_STARTS):
            self.tags = {
                tag_of(piece)[0]: number
                for piece, number in self._ids.items()
                if piece[:2] in TAG_STARTS and TAG.fullmatch(piece) is not None
            }

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: number for number, piece in enumerate(self.vocabulary)}

    def _with_our_symbols(self, model: bytes) -> bytes:
        """The model that was loaded, with the control symbols where `symbols` says they are."""
        loaded = self._processor
        found = {
            symbols.PAD: loaded.pad_id(),
            symbols.UNK: loaded.unk_id(),
            symbols.BOS: loaded.bos_id(),
            symbols.EOS: loaded.eos_id(),
        }
        if all(symbol == number for symbol, number in found.items()):
            return model
        model = with_symbols_in_front(model, found, UNKNOWN)
        self._processor = SentencePieceProcessor()
        self._processor.LoadFromSerializedProto(model)
        return model

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a model file.

        Raises InputError if the file is missing or damaged.
        """
        if path.is_dir():
            inside = next(iter(sorted(path.glob("*.model"))), None)
            guess = f"; did you mean {inside}?" if inside else ""
            raise InputError(f"{path} is a directory; name a SentencePiece model file{guess}")
        with open_input(path) as stream:
            try:
                return cls(stream.read(), str(path))
            except OSError as error:
                raise InputError(f"{path}: cannot be read: {error.strerror}") from None

    @classmethod
    def from_bytes(cls, model: bytes) -> "Tokenizer":
        """Read a serialized model from memory; raises InputError as `load` does."""
        return cls(model)

    def for_side(self, side: Side) -> "Tokenizer":
        """The same vocabulary, which treats text as this side of a model does."""
        other = copy.copy(self)
        other.side, other.form = side, self._form_of(side)
        for cached in ("_collapses_spaces",):
            other.__dict__.pop(cached, None)
        return other

    def _form_of(self, side: Side) -> TextForm:
        return ForeignForm() if self._forms is None else form_from_json(self._forms, side)

    def shares_vocabulary(self, other: "Tokenizer") -> bool:
        """Whether both are sides of one tokenizer, not just alike."""
        return self._processor is other._processor

    @property
    def sha256(self) -> str:
        """The SHA-256 of the serialized model, in hexadecimal."""
        return hashlib.sha256(self.model).hexdigest()

    def __len__(self) -> int:
        """The vocabulary size in pieces, control symbols included."""
        return len(self.vocabulary)

    def encode(self, lines: Sequence[str], *, threads: int | None = None) -> list[list[int]]:
        """Return the ids of each line, without BOS and EOS; a blank line has no ids.

        A tag at the beginning of a line is one id. `threads` limits the processors in use; None
        takes all. Raises InputError for a string instead of a list of lines.
        """
        check_is_list(lines, "lines")
        if not self.tags:
            return self._encode([self.form.read(line) for line in lines], threads)
        tags, read = [], []
        for line in lines:
            number, start = self._tag(line)
            tags.append(number)
            read.append(self.form.read(line[start:]))
        return [
            [number, *ids] if number is not None and ids else ids
            for ids, number in zip(self._encode(read, threads), tags, strict=True)
        ]

    def _tag(self, line: str) -> tuple[int | None, int]:
        """The id of the tag at the beginning of a line, and where the text after it begins."""
        language, start = tag_of(line)
        number = self.tags.get(language)
        return (None, 0) if number is None else (number, start)

    def _encode(self, cleaned: Sequence[str], threads: int | None) -> list[list[int]]:
        ids: list[list[int]]
        if len(cleaned) < THREADED_LINES:
            ids = [self._processor.Encode(line) for line in cleaned]
        else:
            ids = self._processor.Encode(cleaned, num_threads=threads or -1)
        if self._absent:
            ids = [self._with_absent(*each) for each in zip(cleaned, ids, strict=True)]
        if self._has_more_pieces:
            size = len(self)
            ids = [[each if each < size else symbols.UNK for each in line] for line in ids]
        return ids

    def _with_absent(self, line: str, ids: list[int]) -> list[int]:
        """The ids of a line, with those of absent pieces where just their text is unknown.

        An engine that looks pieces up in a list finds them there, whichever side they are from.
        """
        if symbols.UNK not in ids:
            return ids
        pieces = self._processor.Encode(line, out_type=str)
        return [
            self._absent.get(piece, number) if number == symbols.UNK else number
            for piece, number in zip(pieces, ids, strict=True)
        ]

    @cached_property
    def _absent(self) -> dict[str, int]:
        """The ids of pieces that the model of this side never cuts text into, by their text."""
        if not isinstance(self.form, VerbatimForm):
            return {}
        unused = self._processor.IsUnused(list(range(len(self))))
        absent = [number for number, each in enumerate(unused) if each]
        return {self.vocabulary[number]: number for number in (*absent, *self._renamed)}

    def spans(self, line: str) -> list[Span]:
        """Where the text of each id of `encode([line])` is in the line, in characters.

        Pieces of what normalisation made of one character each have the whole of it.
        """
        number, start = self._tag(line)
        read, origins = self.form.read_with_origins(line[start:])
        encoded: bytes = self._processor.Encode(read, out_type="serialized_proto")
        sizes = accumulate((len(character.encode()) for character in read), initial=0)
        index_of = {size: index for index, size in enumerate(sizes)}
        ends = [len(line) - start] * (len(read) + 1)  # where the origin of each character ends
        origins.append(len(line) - start)
        for index in range(len(read) - 1, -1, -1):
            is_last = origins[index] < origins[index + 1]
            ends[index] = origins[index + 1] if is_last else ends[index + 1]
        spans = []
        for begin, end in piece_offsets(encoded):
            first, stop = index_of[begin], index_of[end]
            spans.append(
                (
                    start + origins[first],
                    start + (ends[stop - 1] if stop > first else origins[stop]),
                )
            )
        return [(0, start), *spans] if number is not None and spans else spans

    def word_indices(self, line: str) -> list[int]:
        """The word of the line that each id of `encode([line])` belongs to, from 0.

        Words are what ASCII white space divides in the line as it is, without its tag, whatever
        normalisation makes of them. A tag and a space belong to the word after them.
        """
        _, start = self._tag(line)
        words = [found.end() for found in WORD.finditer(line, start)]
        last = max(len(words) - 1, 0)
        indices = []
        for begin, end in self.spans(line):
            visible = end - len(line[begin:end].lstrip(ASCII_SPACES))
            indices.append(min(bisect_right(words, min(visible, end - 1)), last))
        return indices

    def divides_words(self, line: str) -> bool:
        """Whether the pieces of a line make up other words than ASCII white space divides."""
        return len(split_pieces(self.normalize(line))) != len(WORD.findall(line))

    def word_sampler(self, amount: float) -> WordSampler:
        """Make a sampler of segmentations; `amount` is the setting `data.subword_sampling`.

        Raises InputError for tokenizers of type char or word, which have only one segmentation.
        """
        kind = model_type(self.model)
        require(
            kind in ("unigram", "bpe"),
            f"data.subword_sampling = {amount} segments words in other ways, which a tokenizer of "
            f"type {kind} cannot; unigram and bpe can",
        )
        numbers = [number for number in range(len(self)) if self._is_text[number]]
        ids = {self.vocabulary[number]: number for number in numbers}
        scores = {self.vocabulary[number]: self._processor.GetScore(number) for number in numbers}
        return (UnigramSampler if kind == "unigram" else MergeSampler)(ids, scores, amount)

    @cached_property
    def _is_text(self) -> list[bool]:
        """For each id, whether its piece is text, and neither a symbol of any kind nor a byte."""
        tags = set(self.tags.values())
        return [
            kind == TEXT_TYPE and number not in tags
            for number, kind in enumerate(piece_types(self.model)[: len(self)])
        ]

    @cached_property
    def _starts_word(self) -> list[bool]:
        """For each id, whether it does not continue the word before it."""
        pairs = zip(self.vocabulary, self._is_text, strict=True)
        return [piece.startswith(symbols.WORD_START) or not is_text for piece, is_text in pairs]

    def resample(
        self, ids: Sequence[int], sampler: WordSampler, generator: random.Random
    ) -> list[int]:
        """Segment the same text at random. UNK and control symbols stay as they are."""
        starts_word, is_text, vocabulary = self._starts_word, self._is_text, self.vocabulary
        starts = [index for index, number in enumerate(ids) if starts_word[number] or not index]
        result: list[int] = []
        for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
            drawn = None
            if is_text[ids[start]]:
                word = "".join([vocabulary[number] for number in ids[start:stop]])
                drawn = sampler.sample(word, generator)
            result.extend(drawn or ids[start:stop])
        return result

    def decode(
        self, sentences: Sequence[Sequence[int]], *, threads: int | None = None
    ) -> list[str]:
        """Return the text of each sentence of ids, as one line.

        Whatever the ids, a line contains no LF, CR or other control character, and spaces as in
        normalised text. Bytes that are not UTF-8 become U+FFFD. PAD,
        BOS and EOS are left out, UNK is shown as `UNKNOWN`. Raises IndexError for an id that is not
        in the vocabulary.
        """
        if not sentences:
            return []
        lists = [list(sentence) for sentence in sentences]
        writer = self._processor
        if self._renamed and not all(map(self._renamed.isdisjoint, lists)):
            writer = self._writer
        if len(lists) < THREADED_LINES:
            lines = [writer.Decode(sentence) for sentence in lists]
        else:
            lines = writer.Decode(lists, num_threads=threads or -1)
        lines = [self.form.restore(CONTROL.sub(" ", line)) for line in lines]
        if not self._collapses_spaces:
            return lines
        return [" ".join(filter(None, line.split(" "))) for line in lines]

    @cached_property
    def _writer(self) -> SentencePieceProcessor:
        """The processor that joins pieces, also those that no text is cut into."""
        writer = SentencePieceProcessor()
        writer.LoadFromSerializedProto(with_all_pieces(self.model))
        return writer

    @cached_property
    def _collapses_spaces(self) -> bool:
        """Whether normalisation turns runs of spaces into one and removes those at the ends."""
        return self.normalize("a  b") == "a b"

    def encode_as_pieces(self, line: str) -> list[str]:
        """Return the pieces of a line; text that the vocabulary lacks is <unk>."""
        return self.ids_to_pieces(self.encode([line])[0])

    def ids_to_pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the pieces with these ids. Raises IndexError for an id without a piece."""
        return [self.vocabulary[number] for number in ids]

    def pieces_to_ids(self, pieces: Sequence[str]) -> list[int]:
        """Return the ids of pieces. Raises InputError for a piece that is not in the vocabulary."""
        try:
            return [self._ids[piece] for piece in pieces]
        except KeyError as error:
            raise InputError(
                f'"{error.args[0]}" is not a piece of this vocabulary; write pieces as `encode` of '
                "the same tokenizer prints them, with a space between them"
            ) from None

    def decode_pieces(self, pieces: Sequence[str]) -> str:
        """Return the text of one sentence of pieces. Raises InputError for an unknown piece."""
        return self.decode([self.pieces_to_ids(pieces)])[0]

    @property
    def said(self) -> bytes:
        """The forms of text that the model records, as JSON; empty for other tools' models."""
        return self._forms or b""

    def read(self, line: str) -> str:
        """The text that is cut into pieces, with ▁ for spaces but at the ends."""
        text: str = self._processor.Normalize(self.form.read(line))
        return text.replace(" ", symbols.WORD_START).strip(symbols.WORD_START)

    def score(self, number: int) -> float:
        """The score of a piece, by which a unigram model chooses segmentations."""
        return float(self._processor.GetScore(number))

    @property
    def lowest_score(self) -> float:
        """The lowest score of a piece of text."""
        numbers = range(len(self))
        return min((self.score(n) for n in numbers if self._is_text[n]), default=0.0)

    def normalize(self, line: str) -> str:
        """Return the line as `decode` returns it if the vocabulary lacks nothing of it."""
        normalized: str = self._processor.Normalize(self.form.read(line))
        return self.form.restore(normalized.replace(symbols.WORD_START, " ").strip(" "))
