"""Lines of text to token ids and back, with a SentencePiece model (Kudo & Richardson 2018).

What is defined here:

- Text is normalised (NFKC, runs of white space become one space, none at the ends), so
  `decode(encode(line))` is `normalize(line)`, with `UNKNOWN` for what the vocabulary lacks.
- Characters that are not text act as a space: control characters (NUL, TAB, CR, U+0085, form feed,
  ...), U+2028, U+2029, lone surrogates, and U+2581, with which SentencePiece marks a word's start.
- The names of the control symbols, such as <s>, are plain text if a line contains them.
"""

import hashlib
import random
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from seq2seq_cli import symbols, text
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.tokenization.language_tags import TAG, language_of
from seq2seq_cli.tokenization.protobuf import (
    NORMALIZER_FIELD,
    TRAINER_FIELD,
    message_fields,
    model_type,
)
from seq2seq_cli.tokenization.subwords import MergeSampler, UnigramSampler, WordSampler

UNKNOWN = "⁇"  # how decoded text shows UNK; normalised text never contains it

NON_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u2581\ud800-\udfff]+")

THREADED_LINES = 256  # fewer lines take less time one by one than threads take to start
NON_TEXT_CHARACTER = re.compile(NON_TEXT.pattern.rstrip("+"))


def replace_non_text(line: str) -> str:
    """Replace each run of characters that are not text by a space."""
    return NON_TEXT.sub(" ", line)


class Tokenizer:
    """A vocabulary of pieces that turns lines into ids and ids into lines."""

    model: bytes  # SentencePiece's own format, which its other tools read
    vocabulary: list[str]  # id -> piece
    tags: dict[str, int]  # the languages that the tag of a line can choose -> the ids of their tags

    def __init__(self, model: bytes, name: str = "tokenizer model") -> None:
        """Read a serialized model; messages call it by `name`.

        Raises InputError if it is damaged or its control symbols have other ids than ours.
        """
        self.model = model
        self._processor = SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            self.vocabulary = self._processor.IdToPiece(list(range(len(self._processor))))
            # SentencePiece accepts a model cut off between two pieces and fills in defaults.
            fields = {number for number, _ in message_fields(model)}
            is_whole = {TRAINER_FIELD, NORMALIZER_FIELD} <= fields
        except (RuntimeError, UnicodeDecodeError, IndexError):
            is_whole = False
        require(
            is_whole,
            f"{name} is not a SentencePiece model, or it is damaged; copy it again, or train a new "
            "one with `seq2seq tokenizer train`",
        )
        _check_symbols(self._processor, name)
        self._ids = {piece: number for number, piece in enumerate(self.vocabulary)}
        self.tags = {
            found[1]: number
            for piece, number in self._ids.items()
            if (found := TAG.fullmatch(piece)) is not None
        }

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a model file.

        Raises InputError if the file is missing, damaged, or has other control symbols than ours.
        """
        if path.is_dir():
            inside = next(iter(sorted(path.glob("*.model"))), None)
            guess = f"; did you mean {inside}?" if inside else ""
            raise InputError(f"{path} is a directory; name a SentencePiece model file{guess}")
        with text.open_input(path) as stream:
            try:
                return cls(stream.read(), str(path))
            except OSError as error:
                raise InputError(f"{path}: cannot be read: {error.strerror}") from None

    @classmethod
    def from_bytes(cls, model: bytes) -> "Tokenizer":
        """Read a serialized model from memory; raises InputError as `load` does."""
        return cls(model)

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
        text.check_is_list(lines, "lines")
        cleaned = [replace_non_text(line) for line in lines]
        if not self.tags:
            return self._encode(cleaned, threads)
        tags = [self.tags.get(language_of(line)) for line in cleaned]
        plain = [
            line if number is None else TAG.sub("", line, count=1)
            for line, number in zip(cleaned, tags, strict=True)
        ]
        return [
            [number, *ids] if number is not None and ids else ids
            for ids, number in zip(self._encode(plain, threads), tags, strict=True)
        ]

    def _encode(self, cleaned: Sequence[str], threads: int | None) -> list[list[int]]:
        if len(cleaned) < THREADED_LINES:
            return [self._processor.Encode(line) for line in cleaned]
        ids: list[list[int]] = self._processor.Encode(cleaned, num_threads=threads or -1)
        return ids

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Where the text of each id of `encode([line])` begins and ends in the line, in characters.

        Pieces of what normalisation made of one character have empty places, but for one.
        """
        found = TAG.match(line)
        number = self.tags.get(found[1]) if found else None
        start = found.end() if found and number is not None else 0
        text = NON_TEXT_CHARACTER.sub(" ", line[start:])
        offsets = self._processor.EncodeAsOffsetMapping(text)["offsets"]
        places = [(start + begin, start + end) for begin, end in offsets]
        return [(0, start), *places] if start and places else places

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
        """For each id, whether its piece is text, and not a control symbol, UNK or a tag."""
        processor = self._processor
        return [
            not (processor.IsControl(number) or processor.IsUnknown(number))
            and number not in self.tags.values()
            for number in range(len(self))
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

        Whatever the ids, a line contains neither LF nor CR, and spaces as in normalised text. PAD,
        BOS and EOS are left out, UNK is shown as `UNKNOWN`. Raises IndexError for an id that is not
        in the vocabulary.
        """
        if not sentences:
            return []
        lists = [list(sentence) for sentence in sentences]
        if len(lists) < THREADED_LINES:
            lines = [self._processor.Decode(sentence) for sentence in lists]
        else:
            lines = self._processor.Decode(lists, num_threads=threads or -1)
        lines = [line.replace("\n", " ").replace("\r", " ") for line in lines]
        if not self._collapses_spaces:
            return lines
        return [" ".join(filter(None, line.split(" "))) for line in lines]

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

    def normalize(self, line: str) -> str:
        """Return the line as the tokenizer sees it, and as `decode` returns it without UNK."""
        normalized: str = self._processor.Normalize(replace_non_text(line))
        return normalized.replace(symbols.WORD_START, " ").strip(" ")


def _check_symbols(processor: SentencePieceProcessor, name: str) -> None:
    """Raise InputError unless the control symbols have the ids that `symbols` defines."""
    found = (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id())
    expected = (symbols.PAD, symbols.UNK, symbols.BOS, symbols.EOS)
    require(
        found == expected,
        f"{name} has other control symbols: the ids of pad, unk, bos and eos are {found}, and "
        f"must be {expected} (-1: none); train it with `seq2seq tokenizer train`, or with "
        "spm_train --pad_id=0 --unk_id=1 --bos_id=2 --eos_id=3",
    )
