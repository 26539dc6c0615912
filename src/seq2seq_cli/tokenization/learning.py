"""SentencePiece training: which lines to learn from, and how many pieces.

Training gives the same bytes for the same lines and settings, on any number of processors.
"""

import heapq
import io
import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from sentencepiece import SentencePieceTrainer

from seq2seq_cli import symbols
from seq2seq_cli.config.tokenizer import UNLIMITED, TokenizerSettings
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import counted
from seq2seq_cli.text import check_is_list
from seq2seq_cli.tokenization.language_tags import language_tag, split_languages
from seq2seq_cli.tokenization.protobuf import FORMS_FIELD, length_delimited
from seq2seq_cli.tokenization.text_form import (
    SIDES,
    TITLE,
    UPPER,
    ChangedLines,
    Side,
    TextForm,
    forms_to_json,
    plain,
)
from seq2seq_cli.tokenization.tokenizer import UNKNOWN, Tokenizer

# SentencePiece does not learn from the names of the control symbols. With spaces between their
# characters they no longer hide the text around them.
RESERVED = re.compile("|".join(map(re.escape, symbols.PIECES.values())), re.IGNORECASE)

# The result of unigram training depends on how sums of probabilities are split among threads, so
# the number of threads is fixed. How many of them run at the same time does not matter.
TRAINING_THREADS = 8
REFLOWED_CHARACTERS = 1000  # of a line at most; SentencePiece skips lines of more than 4192 bytes
SAMPLED_CHARACTERS = 40_000_000  # to learn from at most: training takes about 25 bytes for each

# Numbers of sentences and their vocabulary sizes; `automatic_vocabulary_size` names the sources.
PUBLISHED_SIZES = (
    (5_000, 2_000),
    (30_000, 4_000),
    (500_000, 8_000),
    (1_300_000, 8_000),
    (4_500_000, 32_000),
)
BYTES = 256  # pieces of byte fallback
ROOM_FOR_BYTES = 8_000  # pieces of text; 256 bytes are 3% of as many
COVERAGE_WITH_BYTES = 0.9995  # SentencePiece's default; the rest is learned in bytes
WORD_VOCABULARY = 50_000  # words; Luong et al. 2015


@dataclass(frozen=True)
class TrainedTokenizer:
    """A new tokenizer, and sentences for the user: what was chosen or changed, and why."""

    tokenizer: Tokenizer
    notes: list[str]


def automatic_vocabulary_size(sentences: int) -> int:
    """Choose the number of pieces for a corpus of `sentences` sentences (a pair counts once).

    Interpolates linearly, both axes logarithmic, between published optima:

    - 5,000 sentences, 2,000 pieces: Sennrich & Zhang 2019, "Revisiting Low-Resource Neural Machine
      Translation", where 100,000 words did best with 2,000 symbols instead of 14,000.
    - 500,000 to 1.3 million, 8,000: Gowda & May 2020, "Finding the Optimal Vocabulary Size for
      Neural Machine Translation".
    - 4.5 million and more, 32,000: the same; Vaswani et al. 2017 took 37,000 for as many.

    Ding, Renduchintala & Duh 2019, "A Call for Prudent Choice of Subword Merge Operations", found
    that Transformers do best with few pieces for about 200,000 sentences. The 4,000 for 30,000
    sentences lie between these points and were chosen here, not published.
    """
    sizes = PUBLISHED_SIZES
    sentences = min(max(sentences, 1), sizes[-1][0])
    # The first interval that ends high enough; below the first interval its line is continued.
    end = next(i for i in range(1, len(sizes)) if sentences <= sizes[i][0])
    (few, small), (many, large) = sizes[end - 1 : end + 1]
    share = math.log(sentences / few) / math.log(many / few)
    size: float = small * (large / small) ** share
    step = 500 if size < 10_000 else 1000
    return max(step, round(size / step) * step)


def train_tokenizer(
    lines: Iterable[str], settings: TokenizerSettings, *, sides: int = 1
) -> TrainedTokenizer:
    """Train a tokenizer on lines of text, or on a random sample of SAMPLED_CHARACTERS of them.

    Each line may be source or target: where the settings treat these differently, pieces are
    learned from both. `sides` is the number of lines in a sentence pair: 2 if the lines are both
    sides of a parallel corpus. Only the automatic vocabulary size depends on it. Raises InputError
    as `train_tokenizer_on_sides` does.
    """
    check_is_list(lines, "lines")
    return train_tokenizer_on_sides([(SIDES, lines)], settings, sides=sides)


def train_tokenizer_on_sides(
    texts: Iterable[tuple[Sequence[Side], Iterable[str]]],
    settings: TokenizerSettings,
    *,
    sides: int,
) -> TrainedTokenizer:
    """Train a tokenizer as `train_tokenizer` does, on texts that are given after their sides.

    A vocabulary that is too large for the text is reduced, one that is too small for its characters
    is raised, and the notes say so; they also say what the model will never write as it was, since
    a setting changes it. Raises InputError if all lines are blank.
    """
    reader = _Reader(settings)
    sample = _sample_lines(reader.read(texts), settings.seed)
    notes = [*reader.notes()]
    if sample.seen > len(sample.lines):
        notes.append(
            f"learned from {len(sample.lines):,} of {sample.seen:,} lines, drawn at random "
            f"(seed {settings.seed})"
        )
    size = settings.vocabulary_size
    settings = _with_byte_fallback(settings, size, reader.lines / sides)
    if size == "auto":
        sentences = math.ceil(reader.lines / sides)
        size, note = _automatic_size(settings.model_type, sentences)
        notes.append(note)
        if settings.byte_fallback == "on" and size < UNLIMITED:
            size += BYTES
            notes.append(f"vocabulary size: {BYTES} more for bytes, which spell rare characters")
    tokenizer = _train_nearest_size(sample.lines, settings, size)
    notes.extend(_size_notes(size, len(tokenizer)))
    return TrainedTokenizer(tokenizer, notes)


class _Reader:
    """Reads lines as the sides do, and notes those that cannot be written as they were."""

    def __init__(self, settings: TokenizerSettings) -> None:
        self.lines = 0  # that are not blank
        self.changed = ChangedLines()
        self._settings = settings
        self._forms = {side: TextForm.of(settings, side) for side in SIDES}

    def read(self, texts: Iterable[tuple[Sequence[Side], Iterable[str]]]) -> Iterator[str]:
        """Yield the lines of texts as each of their sides reads them, once if they read alike."""
        target = self._forms["target"]
        for sides, lines in texts:
            for line in lines:
                if self._settings.languages:
                    line = split_languages(line)[2]
                found = dict.fromkeys(self._forms[side].read(line) for side in sides)
                if "target" in sides and not target.is_faithful:
                    self.changed.compare(plain(line), target.written(line))
                self.lines += any(read.strip(" ") for read in found)
                yield from found

    def notes(self) -> Iterator[str]:
        """Say what the target side can never write."""
        yield from self.changed.notes(self._forms["target"].settings("target"))


@dataclass(frozen=True)
class _Sample:
    """Cleaned lines to learn from."""

    lines: list[str]
    seen: int  # lines, without blank ones, that these were drawn from


def _sample_lines(lines: Iterable[str], seed: int) -> _Sample:
    """Take all lines or, if they are too many, as many at random as fit SAMPLED_CHARACTERS.

    Each line draws a number, and the lines with the lowest numbers are taken.
    """
    generator = random.Random(seed)
    taken: list[tuple[float, int, str]] = []  # a heap of: minus the number drawn, position, line
    characters, seen, limit = 0, 0, 1.0
    for line in lines:
        cleaned = RESERVED.sub(_space_out, line)
        if not cleaned.strip(" "):
            continue
        seen += 1
        drawn = generator.random()
        if drawn >= limit:
            continue
        heapq.heappush(taken, (-drawn, seen, cleaned))
        characters += len(cleaned)
        while characters > SAMPLED_CHARACTERS and len(taken) > 1:
            negative, _, left_out = heapq.heappop(taken)
            limit = -negative
            characters -= len(left_out)
    if not taken:
        raise InputError("a tokenizer cannot be learned: the text has no lines, or only blank ones")
    taken.sort(key=lambda each: each[1])
    return _Sample([line for _, _, line in taken], seen)


def _space_out(reserved: re.Match[str]) -> str:
    """Put spaces between the characters of text that SentencePiece reserves for itself."""
    return " ".join(reserved[0])


def _reflow(lines: Iterable[str]) -> Iterator[str]:
    """Yield the words of all lines in new lines of at most REFLOWED_CHARACTERS.

    Pieces never contain a space, so line ends carry no information. But unigram training takes as
    candidates only strings that are followed by two different things, so a word that is always
    followed by a space, as in the sentences of a small grammar, would never become a piece. So
    lines end after the first occurrence of each word, and otherwise only when they are full.
    """
    known: set[str] = set()
    line: list[str] = []
    characters = 0  # of the line, with a space after each word
    for word in _words(lines):
        if line and characters + len(word) > REFLOWED_CHARACTERS:
            yield " ".join(line)
            line, characters = [], 0
        line.append(word)
        characters += len(word) + 1
        if word not in known:
            known.add(word)
            yield " ".join(line)
            line, characters = [], 0
    if line:
        yield " ".join(line)


def _words(lines: Iterable[str]) -> Iterator[str]:
    """Yield the words of all lines; words that are too long for a line are split."""
    for line in lines:
        for word in line.split(" "):
            for start in range(0, len(word), REFLOWED_CHARACTERS):
                yield word[start : start + REFLOWED_CHARACTERS]


def _with_byte_fallback(
    settings: TokenizerSettings, size: int | Literal["auto"], sentences: float
) -> TokenizerSettings:
    """The settings with byte fallback switched on or off, and the coverage that goes with it.

    With a piece for every character, bytes would never occur in training; a model could neither
    read nor write them.
    """
    text_pieces = (
        automatic_vocabulary_size(math.ceil(sentences)) if size == "auto" else size - BYTES
    )
    has_room = settings.model_type in ("unigram", "bpe") and text_pieces >= ROOM_FOR_BYTES
    spells = settings.byte_fallback == "on" or (settings.byte_fallback == "auto" and has_room)
    coverage = settings.character_coverage
    if coverage == "auto":
        coverage = COVERAGE_WITH_BYTES if spells else 1.0
    return replace(settings, byte_fallback="on" if spells else "off", character_coverage=coverage)


def _automatic_size(model_type: str, sentences: int) -> tuple[int, str]:
    """Return what "auto" means for a model type, in pieces, and the note that says why."""
    if model_type == "char":
        return UNLIMITED, "vocabulary size: a piece for every character of the text"
    if model_type == "word":
        return WORD_VOCABULARY, (
            f"vocabulary size: at most {WORD_VOCABULARY:,} words (Luong et al. 2015)"
        )
    size = automatic_vocabulary_size(sentences)
    return size, (
        f"vocabulary size: {size:,} pieces for {counted(sentences, 'sentence')}; the fewer "
        "sentences, the fewer pieces are best (Sennrich & Zhang 2019, Gowda & May 2020)"
    )


def _size_notes(requested: int, size: int) -> Iterator[str]:
    """Say why the vocabulary has another size than requested, if it has."""
    if size < requested < UNLIMITED:
        yield (
            f"vocabulary size: reduced from {requested:,} to {size:,}; the text has no more pieces"
        )
    if size > requested:
        yield (
            f"vocabulary size: raised from {requested:,} to {size:,}, so that every character of "
            "the text has a piece; a character coverage of 0.9995 would leave out the rarest"
        )


def _train_nearest_size(lines: list[str], settings: TokenizerSettings, size: int) -> Tokenizer:
    """Train a model of this size, or of the nearest size that the text allows."""
    try:
        try:
            return Tokenizer(_run_sentencepiece(lines, settings, size))
        except RuntimeError:
            by_character = replace(settings, model_type="char")
            smallest = len(Tokenizer(_run_sentencepiece(lines, by_character, UNLIMITED)))
            if size >= smallest:
                raise
            return Tokenizer(_run_sentencepiece(lines, settings, smallest))
    except RuntimeError as error:
        raise InputError(f"a tokenizer cannot be learned from this text: {error}") from None


def _run_sentencepiece(lines: list[str], settings: TokenizerSettings, size: int) -> bytes:
    """Return a trained model; raises RuntimeError if `size` is less than the characters need."""
    model = io.BytesIO()
    marks = (TITLE, UPPER) if settings.casing == "inline" else ()
    SentencePieceTrainer.train(
        # An iterator and a stream, since the model would record the names of files.
        sentence_iterator=_reflow(lines),
        model_writer=model,
        model_type=settings.model_type,
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=settings.character_coverage,
        byte_fallback=settings.byte_fallback == "on",
        split_digits=settings.split_digits,
        user_defined_symbols=[*settings.user_symbols, *marks],
        normalization_rule_name="identity",
        pad_id=symbols.PAD,
        unk_id=symbols.UNK,
        bos_id=symbols.BOS,
        eos_id=symbols.EOS,
        pad_piece=symbols.PIECES[symbols.PAD],
        unk_piece=symbols.PIECES[symbols.UNK],
        bos_piece=symbols.PIECES[symbols.BOS],
        eos_piece=symbols.PIECES[symbols.EOS],
        unk_surface=UNKNOWN,
        control_symbols=[language_tag(language) for language in settings.languages],
        num_threads=TRAINING_THREADS,
        minloglevel=4,  # silent: notes and errors say what matters
    )
    # In front, so that a file that is cut off is not taken for a whole one of another tool.
    return length_delimited(FORMS_FIELD, forms_to_json(settings)) + model.getvalue()
