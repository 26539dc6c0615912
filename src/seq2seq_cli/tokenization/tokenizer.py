"""Text to tokens and back: one SentencePiece model (Kudo & Richardson 2018), trained or loaded.

What is defined here:

- Text is normalised (NFKC, runs of white space become one space, none at the ends), so
  `decode(encode(line))` is `normalize(line)`, with `UNKNOWN` for what the vocabulary lacks.
- What is no text acts as a space: control characters (NUL, TAB, CR, U+0085, form feed, ...),
  U+2028, U+2029, lone surrogates, and U+2581, with which SentencePiece marks the start of a word.
- The names of the control symbols, such as <s>, are plain text where they stand in a line.
- Training gives the same bytes for the same lines and settings, on any number of processors.
"""

import hashlib
import heapq
import io
import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from seq2seq_cli import symbols, text
from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.tokenization.subwords import MergeSampler, UnigramSampler, WordSampler

UNKNOWN = "⁇"  # how decoded text shows UNK; normalised text never contains it

NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u2581\ud800-\udfff]+")
# SentencePiece leaves these out of what it learns from: the names of the control symbols, and whole
# lines that contain U+2585. Taken apart, or as a space, they no longer take other text with them.
RESERVED = re.compile("\u2585|" + "|".join(map(re.escape, symbols.PIECES.values())), re.IGNORECASE)

# The result of unigram training depends on how the sums of probabilities are split among threads,
# so the split is fixed; how many of the threads run at the same time does not matter.
TRAINING_THREADS = 8
THREADED_LINES = 256  # fewer are encoded one by one sooner than threads start
PART_CHARACTERS = 1000  # SentencePiece skips lines of more than 4192 bytes without a word
LEARNED_CHARACTERS = 40_000_000  # at most: training takes some 25 bytes of memory a character
UNLIMITED = 1 << 24  # pieces; more than there are characters

# Sentences and the vocabulary size for them; `automatic_vocabulary_size` names the sources.
MEASURED_SIZES = (
    (5_000, 2_000),
    (30_000, 4_000),
    (500_000, 8_000),
    (1_300_000, 8_000),
    (4_500_000, 32_000),
)
WORD_VOCABULARY = 50_000  # words; Luong et al. 2015

LANGUAGE = r"[A-Za-z][\w-]*"
TAG = re.compile(rf"\s*<2({LANGUAGE})>(?:\s+|$)")  # at the beginning of a line

MODEL_TYPE_FIELD = 3  # of the trainer's field
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
WORD = "\u2581"  # what the first piece of a word begins with
TRAINER_FIELD, NORMALIZER_FIELD = 2, 3  # in a serialized model; the pieces are field 1


@dataclass(frozen=True)
class TokenizerSettings:
    """How a tokenizer is learned. Sizes are in pieces and count the four control symbols."""

    vocabulary_size: int | Literal["auto"] = "auto"  # auto goes by the number of sentences
    model_type: Literal["unigram", "bpe", "char", "word"] = "unigram"
    character_coverage: float = 1.0  # the share of the text's characters that have a piece
    lowercase: bool = False  # text is folded to lower case, and decoded as such
    seed: int = 1  # chooses the lines, where there are more than are learned from
    languages: tuple[str, ...] = ()  # to translate into, each of which gets a symbol such as <2de>

    def __post_init__(self) -> None:
        smallest = len(symbols.PIECES) + 1
        require(
            self.vocabulary_size == "auto" or smallest <= self.vocabulary_size <= UNLIMITED,
            f"tokenizer.vocabulary_size = {self.vocabulary_size}: "
            f'"auto" or {smallest} to {UNLIMITED} is allowed',
        )
        require(
            0.98 <= self.character_coverage <= 1,
            f"tokenizer.character_coverage = {self.character_coverage}: 0.98 to 1 is allowed",
        )
        for language in self.languages:
            require(
                re.fullmatch(LANGUAGE, language) is not None,
                f'tokenizer.languages has "{language}": letters, digits, - and _ are allowed, '
                "the first a letter, as in de or pt-BR",
            )
        require(
            len(set(self.languages)) == len(self.languages),
            f"tokenizer.languages = {', '.join(self.languages)}: each is named once",
        )


@dataclass(frozen=True)
class TrainedTokenizer:
    """A new tokenizer, and sentences for the user: what was chosen or changed, and why."""

    tokenizer: "Tokenizer"
    notes: list[str]


class Tokenizer:
    """A vocabulary of pieces, and the way from lines to their ids and back."""

    model: bytes  # SentencePiece's own format, as its other tools read it
    vocabulary: list[str]  # id -> piece

    def __init__(self, model: bytes, name: str = "tokenizer model") -> None:
        """Read a serialized model; `name` is how messages call it.

        Raises InputError if it is damaged or its control symbols have other ids than ours.
        """
        self.model = model
        self._processor = SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            self.vocabulary = self._processor.IdToPiece(list(range(len(self._processor))))
            # A model cut off between two pieces is valid to SentencePiece; its ends take defaults.
            whole = {TRAINER_FIELD, NORMALIZER_FIELD} <= _protobuf_fields(model)
        except (RuntimeError, UnicodeDecodeError, IndexError):
            whole = False
        require(
            whole,
            f"{name} is no SentencePiece model, or a damaged one; copy it again, or train a new "
            "one with `seq2seq tokenizer train`",
        )
        _check_symbols(self._processor, name)
        self._ids = {piece: number for number, piece in enumerate(self.vocabulary)}
        # The languages that a line's tag can choose, with the ids of the tags.
        self.tags = {
            found[1]: number
            for piece, number in self._ids.items()
            if (found := TAG.fullmatch(piece)) is not None
        }

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a model file.

        Raises InputError if it is missing, is damaged, or is no model with our control symbols.
        """
        if path.is_dir():
            inside = next(iter(sorted(path.glob("*.model"))), None)
            guess = f"; did you mean {inside}?" if inside else ""
            raise InputError(f"{path} is a directory; a SentencePiece model file is wanted{guess}")
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
        """The ids of each line, without BOS and EOS; a blank line has none.

        A tag that a line begins with is one id. `threads` limits the processors that are used; None
        takes all.
        """
        cleaned = [_clean(line) for line in lines]
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

    def word_sampler(self, amount: float) -> WordSampler:
        """Cuts words at random: what `amount` is stands in `data.subword_sampling`.

        Raises InputError for tokenizers of characters and of words, which have one cut only.
        """
        kind = MODEL_TYPES.get(_model_type(self.model), "unknown")
        require(
            kind in ("unigram", "bpe"),
            f"data.subword_sampling = {amount} cuts words into other pieces, which a tokenizer of "
            f"type {kind} cannot; unigram and bpe can",
        )
        plain = [number for number in range(len(self)) if self._plain[number]]
        ids = {self.vocabulary[number]: number for number in plain}
        scores = {self.vocabulary[number]: self._processor.GetScore(number) for number in plain}
        return (UnigramSampler if kind == "unigram" else MergeSampler)(ids, scores, amount)

    @cached_property
    def _plain(self) -> list[bool]:
        """Which ids are pieces of text."""
        processor = self._processor
        return [
            not (processor.IsControl(number) or processor.IsUnknown(number))
            and number not in self.tags.values()
            for number in range(len(self))
        ]

    @cached_property
    def _begins(self) -> list[bool]:
        """Which ids do not go on with the word before them."""
        pairs = zip(self.vocabulary, self._plain, strict=True)
        return [piece.startswith(WORD) or not plain for piece, plain in pairs]

    def resampled(
        self, ids: Sequence[int], sampler: WordSampler, generator: random.Random
    ) -> list[int]:
        """Other ids for the same text. UNK and control symbols stay as they are."""
        begins, plain, vocabulary = self._begins, self._plain, self.vocabulary
        starts = [place for place, number in enumerate(ids) if begins[number] or not place]
        result: list[int] = []
        for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
            drawn = None
            if plain[ids[start]]:
                word = "".join([vocabulary[number] for number in ids[start:stop]])
                drawn = sampler.draw(word, generator)
            result.extend(drawn or ids[start:stop])
        return result

    def decode(
        self, sentences: Sequence[Sequence[int]], *, threads: int | None = None
    ) -> list[str]:
        """The text of each sentence of ids, as one line: it contains neither LF nor CR, and
        spaces as normalised text has them, whatever the ids.

        PAD, BOS and EOS leave no trace, UNK is shown as `UNKNOWN`. Raises IndexError for an id that
        is not in the vocabulary.
        """
        if not sentences:
            return []
        lists = [list(sentence) for sentence in sentences]
        if len(lists) < THREADED_LINES:
            lines = [self._processor.Decode(sentence) for sentence in lists]
        else:
            lines = self._processor.Decode(lists, num_threads=threads or -1)
        lines = [line.replace("\n", " ").replace("\r", " ") for line in lines]
        return [" ".join(filter(None, line.split(" "))) for line in lines] if self._joins else lines

    @cached_property
    def _joins(self) -> bool:
        """Whether normalised text has one space in the place of several, and none at its ends."""
        return self.normalize("a  b") == "a b"

    def pieces(self, line: str) -> list[str]:
        """The pieces of a line as the vocabulary names them; what it lacks is <unk>."""
        return self.named(self.encode([line])[0])

    def named(self, ids: Sequence[int]) -> list[str]:
        """The pieces with these ids. Raises IndexError for an id that is not in the vocabulary."""
        return [self.vocabulary[number] for number in ids]

    def piece_ids(self, pieces: Sequence[str]) -> list[int]:
        """The ids of pieces. Raises InputError for a piece that is not in the vocabulary."""
        try:
            return [self._ids[piece] for piece in pieces]
        except KeyError as error:
            raise InputError(
                f'"{error.args[0]}" is no piece of this vocabulary; pieces are what the same '
                "tokenizer's encode gives, with a space between them"
            ) from None

    def decode_pieces(self, pieces: Sequence[str]) -> str:
        """The text of one sentence of pieces. Raises InputError for an unknown piece."""
        return self.decode([self.piece_ids(pieces)])[0]

    def normalize(self, line: str) -> str:
        """The line as the tokenizer sees it, and as it comes back where every piece is known."""
        normalized: str = self._processor.Normalize(_clean(line))
        return normalized.replace("\u2581", " ").strip(" ")


def language_of(line: str) -> str:
    """The language that a line's tag chooses, or nothing."""
    found = TAG.match(line)
    return found[1] if found else ""


def split_tag(line: str) -> tuple[str, str]:
    """The tag that a line begins with, and a space, or nothing; and the rest."""
    found = TAG.match(line)
    return (f"{symbols.tag(found[1])} ", line[found.end() :]) if found else ("", line)


def automatic_vocabulary_size(sentences: int) -> int:
    """The number of pieces for a corpus of so many sentences (pairs count once).

    Published optima, joined by straight lines on doubly logarithmic paper:

    - 5,000 sentences, 2,000 pieces: Sennrich & Zhang 2019, "Revisiting Low-Resource Neural Machine
      Translation", whose 100,000 words did best with 2,000 symbols instead of 14,000.
    - 500,000 to 1.3 million, 8,000: Gowda & May 2020, "Finding the Optimal Vocabulary Size for
      Neural Machine Translation".
    - 4.5 million and more, 32,000: the same; Vaswani et al. 2017 took 37,000 for as many.

    That Transformers want few pieces for some 200,000 sentences is what Ding, Renduchintala & Duh
    found in 2019, "A Call for Prudent Choice of Subword Merge Operations". The 4,000 for 30,000
    sentences stand between these points and were chosen here, not published.
    """
    sizes = MEASURED_SIZES
    sentences = min(max(sentences, 1), sizes[-1][0])
    # The first pair whose end is far enough; below the first pair its line goes on.
    place = next(i for i in range(1, len(sizes)) if sentences <= sizes[i][0])
    (few, small), (many, large) = sizes[place - 1 : place + 1]
    share = math.log(sentences / few) / math.log(many / few)
    size: float = small * (large / small) ** share
    step = 500 if size < 10_000 else 1000
    return max(step, round(size / step) * step)


def train_tokenizer(
    lines: Iterable[str], settings: TokenizerSettings, *, sides: int = 1
) -> TrainedTokenizer:
    """Learn a tokenizer from lines of text: from all of them, or as many as are LEARNED_CHARACTERS,
    drawn at random.

    `sides` says how many lines make up a sentence pair: 2 where the lines are both sides of a
    parallel corpus. Only the automatic vocabulary size depends on it. A vocabulary that is too
    large for the text is reduced, one that is too small for its characters is raised, and the notes
    say so. Raises InputError if the lines are all blank.
    """
    if settings.languages:
        lines = (TAG.sub("", line, count=1) for line in lines)
    sample = _draw(lines, settings.seed)
    notes = []
    if sample.seen > len(sample.lines):
        notes.append(
            f"learned from {len(sample.lines):,} of {sample.seen:,} lines, drawn at random "
            f"(seed {settings.seed})"
        )
    wanted = settings.vocabulary_size
    if wanted == "auto":
        sentences = math.ceil(sample.seen / sides)
        wanted, note = _automatic_size(settings.model_type, sentences)
        notes.append(note)
    tokenizer = _learn_what_fits(sample.lines, settings, wanted)
    notes.extend(_size_notes(wanted, len(tokenizer)))
    return TrainedTokenizer(tokenizer, notes)


@dataclass(frozen=True)
class _Sample:
    """The lines that are learned from, cleaned, and how many they were drawn from."""

    lines: list[str]
    seen: int  # lines that are not blank


def _draw(lines: Iterable[str], seed: int) -> _Sample:
    """Take all lines or, where they are too many, as many at random as are LEARNED_CHARACTERS.

    Each line draws a number, and those with the least ones are kept.
    """
    generator = random.Random(seed)
    kept: list[tuple[float, int, str]] = []  # a heap: less the number drawn, place, line
    characters, seen, limit = 0, 0, 1.0
    for line in lines:
        cleaned = RESERVED.sub(_taken_apart, _clean(line))
        if not cleaned.strip():
            continue
        seen += 1
        drawn = generator.random()
        if drawn >= limit:
            continue
        heapq.heappush(kept, (-drawn, seen, cleaned))
        characters += len(cleaned)
        while characters > LEARNED_CHARACTERS and len(kept) > 1:
            least, _, left_out = heapq.heappop(kept)
            limit = -least
            characters -= len(left_out)
    if not kept:
        raise InputError("a tokenizer cannot be learned: the text has no lines, or only blank ones")
    kept.sort(key=lambda each: each[1])
    return _Sample([line for _, _, line in kept], seen)


def _clean(line: str) -> str:
    return NO_TEXT.sub(" ", line)


def _taken_apart(reserved: re.Match[str]) -> str:
    """Text that SentencePiece reserves for itself, as text that it learns from."""
    return " ".join(reserved[0]).replace("\u2585", " ")


def _reflowed(lines: Iterable[str]) -> Iterator[str]:
    """The words of all lines, in parts of at most PART_CHARACTERS that end where it helps.

    Pieces never contain a space, so line ends carry nothing. But unigram training takes as
    candidates only strings that are followed by two different things, and a word that is always
    followed by a space, as in the sentences of a small grammar, would never become a piece. So a
    part ends after the first occurrence of each word, and elsewhere goes on.
    """
    known: set[str] = set()
    part: list[str] = []
    characters = 0  # of the part, with a space after each word
    for word in _words(lines):
        if part and characters + len(word) > PART_CHARACTERS:
            yield " ".join(part)
            part, characters = [], 0
        part.append(word)
        characters += len(word) + 1
        if word not in known:
            known.add(word)
            yield " ".join(part)
            part, characters = [], 0
    if part:
        yield " ".join(part)


def _words(lines: Iterable[str]) -> Iterator[str]:
    """The words of all lines, those that are too long for a part in several."""
    for line in lines:
        for word in line.split():
            for start in range(0, len(word), PART_CHARACTERS):
                yield word[start : start + PART_CHARACTERS]


def _automatic_size(model_type: str, sentences: int) -> tuple[int, str]:
    """What "auto" means for a type of model, in pieces, and the note that says why."""
    if model_type == "char":
        return UNLIMITED, "vocabulary size: a piece for every character of the text"
    if model_type == "word":
        return WORD_VOCABULARY, (
            f"vocabulary size: at most {WORD_VOCABULARY:,} words (Luong et al. 2015)"
        )
    size = automatic_vocabulary_size(sentences)
    return size, (
        f"vocabulary size: {size:,} pieces for {sentences:,} sentences; the fewer sentences, the "
        "fewer pieces are best (Sennrich & Zhang 2019, Gowda & May 2020)"
    )


def _size_notes(wanted: int, size: int) -> Iterator[str]:
    """Say where the vocabulary has another size than was wanted."""
    if size < wanted < UNLIMITED:
        yield f"vocabulary size: reduced from {wanted:,} to {size:,}; the text has no more pieces"
    if size > wanted:
        yield (
            f"vocabulary size: raised from {wanted:,} to {size:,}, so that every character of the "
            "text has a piece; a character coverage of 0.9995 would leave out the rarest"
        )


def _learn_what_fits(lines: list[str], settings: TokenizerSettings, size: int) -> Tokenizer:
    """Learn a model of this size, or of the nearest one that the text allows."""
    try:
        try:
            return Tokenizer(_learn(lines, settings, size))
        except RuntimeError:
            characters = _learn(lines, replace(settings, model_type="char"), UNLIMITED)
            smallest = len(Tokenizer(characters))
            if size >= smallest:
                raise
            return Tokenizer(_learn(lines, settings, smallest))
    except RuntimeError as error:
        raise InputError(f"a tokenizer cannot be learned from this text: {error}") from None


def _learn(lines: list[str], settings: TokenizerSettings, size: int) -> bytes:
    """Run SentencePiece's training; raises RuntimeError if `size` is below the characters."""
    model = io.BytesIO()
    SentencePieceTrainer.train(
        # An iterator and a stream, since the model would record the names of files.
        sentence_iterator=_reflowed(lines),
        model_writer=model,
        model_type=settings.model_type,
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=settings.character_coverage,
        normalization_rule_name="nmt_nfkc_cf" if settings.lowercase else "nmt_nfkc",
        pad_id=symbols.PAD,
        unk_id=symbols.UNK,
        bos_id=symbols.BOS,
        eos_id=symbols.EOS,
        pad_piece=symbols.PIECES[symbols.PAD],
        unk_piece=symbols.PIECES[symbols.UNK],
        bos_piece=symbols.PIECES[symbols.BOS],
        eos_piece=symbols.PIECES[symbols.EOS],
        unk_surface=UNKNOWN,
        control_symbols=[symbols.tag(language) for language in settings.languages],
        num_threads=TRAINING_THREADS,
        minloglevel=4,  # silent: what matters of it is said in the notes and errors
    )
    return model.getvalue()


def _check_symbols(processor: SentencePieceProcessor, name: str) -> None:
    """Raise InputError unless the control symbols have the ids that `symbols` gives them."""
    found = (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id())
    wanted = (symbols.PAD, symbols.UNK, symbols.BOS, symbols.EOS)
    require(
        found == wanted,
        f"{name} has other control symbols: the ids of pad, unk, bos and eos are {found}, and "
        f"{wanted} is wanted (-1: none); train it with `seq2seq tokenizer train`, or with "
        "spm_train --pad_id=0 --unk_id=1 --bos_id=2 --eos_id=3",
    )


def _model_type(model: bytes) -> int:
    """The number of the type that a serialized model says it has; unigram where it says nothing."""
    for number, trainer in _protobuf(model):
        if number == TRAINER_FIELD and isinstance(trainer, bytes):
            for field, value in _protobuf(trainer):
                if field == MODEL_TYPE_FIELD and isinstance(value, int):
                    return value
    return 1


def _protobuf(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a valid protobuf message: numbers, and bytes of any other kind."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            length, place = _varint(message, place)
        yield tag >> 3, message[place : place + length]
        place += length


def _protobuf_fields(message: bytes) -> set[int]:
    """The numbers of the fields of a valid protobuf message that holds nothing but messages."""
    fields = set()
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        length, place = _varint(message, place)
        fields.add(tag >> 3)
        place += length
    return fields


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Read a protobuf integer; returns it and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
