"""Sentence pairs to tokens: which pairs are used, and a report of how many."""

import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.data.joining import PairJoiner, SentenceJoiner
from seq2seq_cli.data.parallel import Corpus, is_blank, is_same_text, no_pairs_error
from seq2seq_cli.data.sentence_arrays import SentenceArray
from seq2seq_cli.data.token_pairs import SubwordSampler
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.padding import Ids, Indices
from seq2seq_cli.symbols import UNK
from seq2seq_cli.tokenization.language_tags import split_languages, with_language
from seq2seq_cli.tokenization.sentence_form import SentenceForm
from seq2seq_cli.tokenization.tokenizer import Tokenizer

CHUNK_LINES = 1 << 14  # pairs that are tokenised at a time
ARRAYS = 5  # that a chunk consists of

Lines = list[tuple[str, str]]


@dataclass(frozen=True)
class DataReport:
    """How many training pairs were used and dropped. Tokens are counted without BOS and EOS."""

    read: int = 0
    blank: int = 0
    too_long: int = 0
    uneven: int = 0  # the longer side has more than max_length_ratio times the tokens of the other
    used: int = 0
    same: int = 0  # of these, with the same text on both sides
    source_tokens: int = 0
    target_tokens: int = 0
    source_unknown: int = 0
    target_unknown: int = 0

    def __add__(self, other: "DataReport") -> "DataReport":
        """The report of two corpora, or of two chunks of one."""
        values = dataclasses.asdict(self)
        return DataReport(**{name: values[name] + getattr(other, name) for name in values})

    def lines(self) -> Iterator[str]:
        """The report as lines for the user."""
        yield f"training pairs: {self.read:,} read, {self.used:,} used"
        dropped = [
            (self.blank, "with a blank side"),
            (self.too_long, "longer than data.max_length"),
            (self.uneven, "beyond data.max_length_ratio"),
        ]
        for count, why in dropped:
            if count:
                yield f"  dropped {count:,} {why}"
        for side, tokens, unknown in (
            ("source", self.source_tokens, self.source_unknown),
            ("target", self.target_tokens, self.target_unknown),
        ):
            yield (
                f"  {side}: {tokens:,} tokens, {tokens / self.used:.1f} a sentence, "
                f"{unknown / tokens:.2%} unknown"
            )
        yield f"  length ratio target/source: {self.target_tokens / self.source_tokens:.2f}"


def check_pairs_left(corpora: Sequence[Corpus], data: DataConfig, report: DataReport) -> None:
    """Raise InputError if no pair is left to train on."""
    if report.read == report.blank:
        raise no_pairs_error(corpora, report.blank)
    if not report.used:
        raise InputError(
            f"none of the {report.read - report.blank:,} pairs is left: {report.too_long:,} are "
            f"longer than data.max_length = {data.max_length} tokens, {report.uneven:,} beyond "
            f"data.max_length_ratio = {data.max_length_ratio:g}"
        )


def tagged_pair(source: str, target: str, data: DataConfig) -> tuple[str, str]:
    """A pair of lines with the tags that each side has, from the tags of the source."""
    if data.language_tags == "source":
        return source, target
    into, own, text = split_languages(source)
    return with_language(text, own or data.source_language), with_language(target, into)


def numbered_chunks(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[int, Lines]]:
    """Yield CHUNK_LINES pairs at a time, and the number of the first of them."""
    pairs = iter(pairs)
    first_line = 0
    while lines := list(islice(pairs, CHUNK_LINES)):
        yield first_line, lines
        first_line += len(lines)


@dataclass(frozen=True)
class TokenisedChunk:
    """Some pairs of a corpus as tokens, without those that were dropped."""

    report: DataReport
    line_numbers: Indices  # of the pairs in the corpus, from 0
    source: SentenceArray
    target: SentenceArray

    def arrays(self) -> list[NDArray[np.int32]]:
        """All of the chunk but its report, as ARRAYS arrays of numbers."""
        sides = [(np.diff(side.offsets), side.ids) for side in (self.source, self.target)]
        arrays = [*(each for side in sides for each in side), self.line_numbers]
        return [each.astype(np.int32) for each in arrays]

    @classmethod
    def from_arrays(
        cls, report: DataReport, arrays: Sequence[NDArray[np.int32]]
    ) -> "TokenisedChunk":
        """The chunk that has this report and these arrays."""
        source_lengths, source, target_lengths, target, lines = arrays
        offsets = [
            np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
            for lengths in (source_lengths, target_lengths)
        ]
        return cls(report, lines, *map(SentenceArray, offsets, (source, target)))


@dataclass(frozen=True)
class PairTokenizer:
    """Turns sentence pairs into tokens and drops those that cannot be used."""

    source: Tokenizer
    target: Tokenizer
    data: DataConfig
    threads: int | None = None  # that SentencePiece may use; None takes all

    @property
    def form(self) -> SentenceForm:
        """The form in which models read a source."""
        return SentenceForm.of(self.data, self.source)

    def cache_key(self) -> list[object]:
        """Everything that decides the tokens of a pair, and whether it is used."""
        limits = [self.data.max_length, self.data.max_length_ratio]
        both = ["both", self.data.source_language] if self.data.language_tags != "source" else []
        return [self.source.sha256, self.target.sha256, *limits, *both]

    def tokenise(self, pairs: Iterable[tuple[str, str]]) -> Iterator[TokenisedChunk]:
        """Tokenise pairs, CHUNK_LINES at a time."""
        for first_line, lines in numbered_chunks(pairs):
            yield self.tokenise_chunk(lines, first_line)

    def tokenise_chunk(self, lines: Lines, first_line: int) -> TokenisedChunk:
        """Tokenise pairs that begin at this line of their corpus."""
        not_blank = [index for index, pair in enumerate(lines) if not is_blank(*pair)]
        tagged = [tagged_pair(*lines[index], self.data) for index in not_blank]
        sources = self.source.encode([source for source, _ in tagged], threads=self.threads)
        targets = self.target.encode([target for _, target in tagged], threads=self.threads)
        dropped = dict.fromkeys(("blank", "too_long", "uneven"), 0)
        dropped["blank"] = len(lines) - len(not_blank)
        used = []
        for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
            reason = self._reason_to_drop(len(source), len(target))
            if reason:
                dropped[reason] += 1
            else:
                used.append(row)
        source_array = SentenceArray.from_sentences(sources[row] for row in used)
        target_array = SentenceArray.from_sentences(targets[row] for row in used)
        report = DataReport(
            read=len(lines),
            **dropped,
            used=len(used),
            same=sum(is_same_text(*lines[not_blank[row]]) for row in used),
            source_tokens=len(source_array.ids),
            target_tokens=len(target_array.ids),
            source_unknown=int((source_array.ids == UNK).sum()),
            target_unknown=int((target_array.ids == UNK).sum()),
        )
        numbers = np.array([first_line + not_blank[row] for row in used], dtype=np.int32)
        return TokenisedChunk(report, numbers, source_array, target_array)

    def _reason_to_drop(self, source: int, target: int) -> str:
        """Why a pair of these lengths is dropped, as a field of DataReport; "" if it is used."""
        longer, shorter = max(source, target), min(source, target)
        if shorter == 0:  # a side of nothing but control characters has no tokens
            return "blank"
        if longer > self.data.max_length:
            return "too_long"
        return "uneven" if longer > self.data.max_length_ratio * shorter else ""

    def pair_joiner(self) -> PairJoiner | None:
        """Make what joins neighbouring pairs, or None without `data.join_sentences`."""
        if not self.data.join_sentences:
            return None
        longest = self.data.max_length
        source, target = (SentenceJoiner(each, longest) for each in (self.source, self.target))
        return PairJoiner(source, target, self.data.join_sentences, longest)

    def subword_sampler(self) -> SubwordSampler | None:
        """Make a sampler of other segmentations, or None without `data.subword_sampling`."""
        amount = self.data.subword_sampling
        if not amount:
            return None
        samplers = [(each, each.word_sampler(amount)) for each in (self.source, self.target)]

        def draw(ids: Ids, side: int, generator: random.Random) -> Ids:
            tokenizer, sampler = samplers[side]
            drawn = tokenizer.resample(ids.tolist(), sampler, generator)
            # A sentence that would become too long for the model stays as it is.
            return np.array(drawn) if len(drawn) <= self.data.max_length else ids

        def sample(
            source: Sequence[Ids], target: Sequence[Ids], seed: int
        ) -> tuple[list[Ids], list[Ids]]:
            generator = random.Random(seed)
            return (
                [draw(ids, 0, generator) for ids in source],
                [draw(ids, 1, generator) for ids in target],
            )

        return sample
