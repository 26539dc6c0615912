"""Tokenised corpora: made once, kept in Arrow files, read through a memory map.

    CACHE/KEY/pairs.arrow      the ids of both sides, and the line
    CACHE/KEY/report.json      what became of the pairs that were read
    CACHE/KEY/tokenizer.model  in an entry of its own
    CACHE/KEY/notes.json       what was said when it was learned

KEY is a hash of all that decides the content: the texts, the tokenizers, the settings.
"""

import dataclasses
import json
import mmap
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seq2seq_cli.config.settings import DataConfig
from seq2seq_cli.data.cache import Cache
from seq2seq_cli.data.parallel import Corpus, is_blank, nothing_in
from seq2seq_cli.data.token_pairs import SentenceArray, Sentences, SubwordSampler, TokenPairs
from seq2seq_cli.errors import InputError
from seq2seq_cli.padding import Ids, Indices
from seq2seq_cli.symbols import UNK
from seq2seq_cli.text import Warn, ignore_warning, replace_file
from seq2seq_cli.tokenization.learning import TrainedTokenizer, train_tokenizer
from seq2seq_cli.tokenization.settings import TokenizerSettings
from seq2seq_cli.tokenization.tokenizer import Tokenizer

if TYPE_CHECKING:
    import pyarrow

FORMAT = 2  # raised when what an entry holds changes
LINES = 1 << 14  # tokenised at a time, and then an Arrow record batch
PAIRS, REPORT = "pairs.arrow", "report.json"

TOKENIZER, NOTES = "tokenizer.model", "notes.json"


@dataclass(frozen=True)
class DataReport:
    """What became of the training pairs. Tokens are counted without BOS and EOS."""

    read: int = 0
    blank: int = 0
    too_long: int = 0
    uneven: int = 0  # the longer side more than max_length_ratio times the shorter
    kept: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    source_unknown: int = 0
    target_unknown: int = 0

    def __add__(self, other: "DataReport") -> "DataReport":
        """The report of two corpora, or of two parts of one."""
        values = dataclasses.asdict(self)
        return DataReport(**{name: values[name] + getattr(other, name) for name in values})

    def lines(self) -> Iterator[str]:
        """The report as sentences for the user."""
        yield f"training pairs: {self.read:,} read, {self.kept:,} used"
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
                f"  {side}: {tokens:,} tokens, {tokens / self.kept:.1f} a sentence, "
                f"{unknown / tokens:.2%} unknown"
            )
        yield f"  length ratio target/source: {self.target_tokens / self.source_tokens:.2f}"


def learned(
    corpora: Sequence[Corpus],
    sides: Sequence[int],
    settings: TokenizerSettings,
    cache: Cache | None,
) -> TrainedTokenizer:
    """A tokenizer of these sides, 0 source and 1 target, from the cache if it was learned before.

    Raises InputError where there is no sentence pair.
    """
    if cache is None:
        return train_tokenizer(_lines(corpora, sides), settings, sides=len(sides))

    def make(folder: Path) -> None:
        trained = train_tokenizer(_lines(corpora, sides), settings, sides=len(sides))
        replace_file(folder / TOKENIZER, trained.tokenizer.model)
        replace_file(folder / NOTES, json.dumps(trained.notes, indent=1).encode())

    key = [FORMAT, [each.digest() for each in corpora], list(sides), dataclasses.asdict(settings)]
    entry = cache.entry(key, make)
    notes = json.loads((entry / NOTES).read_text(encoding="utf-8"))
    return TrainedTokenizer(Tokenizer.load(entry / TOKENIZER), notes)


def _lines(corpora: Sequence[Corpus], sides: Sequence[int]) -> Iterator[str]:
    """The lines of all pairs with words, one side after the other."""
    for side in sides:
        blank = found = 0
        for corpus in corpora:
            for pair in corpus.pairs(ignore_warning):
                if is_blank(*pair):
                    blank += 1
                else:
                    found += 1
                    yield pair[side]
        if not found:
            raise nothing_in(corpora, blank)


@dataclass(frozen=True)
class Chunk:
    """Some pairs of a corpus as tokens, without those that are left out."""

    report: DataReport
    lines: Indices  # the number of each pair's line, from 0
    source: SentenceArray
    target: SentenceArray


@dataclass(frozen=True)
class Recipe:
    """How sentence pairs become tokens."""

    source: Tokenizer
    target: Tokenizer
    data: DataConfig  # of which max_length and max_length_ratio matter here

    def key(self) -> list[object]:
        """All that decides what becomes of a pair."""
        limits = [self.data.max_length, self.data.max_length_ratio]
        return [FORMAT, self.source.sha256, self.target.sha256, *limits]

    def apply(self, pairs: Iterable[tuple[str, str]]) -> Iterator[Chunk]:
        """Tokenise pairs, some at a time."""
        pairs = iter(pairs)
        first = 0
        while lines := list(islice(pairs, LINES)):
            yield self._apply(lines, first)
            first += len(lines)

    def _apply(self, lines: Sequence[tuple[str, str]], first: int) -> Chunk:
        found = [place for place, pair in enumerate(lines) if not is_blank(*pair)]
        source = self.source.encode([lines[place][0] for place in found])
        target = self.target.encode([lines[place][1] for place in found])
        counts = dict.fromkeys(("blank", "too_long", "uneven"), 0)
        counts["blank"] = len(lines) - len(found)
        kept = []
        for row, (one, other) in enumerate(zip(source, target, strict=True)):
            fault = self._fault(len(one), len(other))
            if fault:
                counts[fault] += 1
            else:
                kept.append(row)
        places = np.array([first + found[row] for row in kept], dtype=np.int32)
        sides = (
            SentenceArray.from_sentences(source[row] for row in kept),
            SentenceArray.from_sentences(target[row] for row in kept),
        )
        report = DataReport(
            read=len(lines),
            **counts,
            kept=len(kept),
            source_tokens=len(sides[0].ids),
            target_tokens=len(sides[1].ids),
            source_unknown=int((sides[0].ids == UNK).sum()),
            target_unknown=int((sides[1].ids == UNK).sum()),
        )
        return Chunk(report, places, *sides)

    def _fault(self, source: int, target: int) -> str:
        """Why a pair of these lengths is left out, or nothing."""
        longer, shorter = max(source, target), min(source, target)
        if shorter == 0:  # control characters alone are no text
            return "blank"
        if longer > self.data.max_length:
            return "too_long"
        return "uneven" if longer > self.data.max_length_ratio * shorter else ""

    def sampler(self) -> SubwordSampler | None:
        """What draws other tokens for the same text, if the settings want that."""
        amount = self.data.subword_sampling
        if not amount:
            return None

        samplers = [(each, each.word_sampler(amount)) for each in (self.source, self.target)]

        def draw(ids: Ids, side: int, generator: random.Random) -> Ids:
            tokenizer, sampler = samplers[side]
            drawn = tokenizer.resample(ids.tolist(), sampler, generator)
            # What would become too long for the model stays as it is.
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


def tokenised(
    corpus: Corpus, recipe: Recipe, cache: Cache | None, warn: Warn
) -> tuple[TokenPairs, DataReport]:
    """The tokens of a corpus, from the cache if it has them. Without a cache they stay in memory.

    Raises InputError if no pair is left.
    """
    if cache is None:
        import pyarrow

        sink = pyarrow.BufferOutputStream()
        report = _write(sink, corpus, recipe, warn)
        return _pairs(sink.getvalue(), lambda: None), report

    def make(folder: Path) -> None:
        with (folder / PAIRS).open("wb") as stream:
            report = _write(stream, corpus, recipe, warn)
            stream.flush()
            os.fsync(stream.fileno())
        fingerprint = _mapped(folder / PAIRS).fingerprint()
        about = {"fingerprint": fingerprint, **dataclasses.asdict(report)}
        replace_file(folder / REPORT, json.dumps(about, indent=1).encode())

    key = [corpus.digest(), recipe.key()]
    entry = cache.entry(key, make)
    try:
        return opened(entry)
    except (OSError, ValueError, KeyError, TypeError):  # Arrow's errors are such too
        cache.remove(entry)
        return opened(cache.entry(key, make))


def opened(entry: Path) -> tuple[TokenPairs, DataReport]:
    """Read an entry's report and map its tokens into memory."""
    about = json.loads((entry / REPORT).read_text(encoding="utf-8"))
    fingerprint = about.pop("fingerprint")
    report = DataReport(**about)
    pairs = _mapped(entry / PAIRS, fingerprint)
    if len(pairs) != report.kept:
        raise ValueError("the entry has not the pairs that it was written with")
    return pairs, report


def _mapped(path: Path, fingerprint: str = "") -> TokenPairs:
    """The pairs of a file; what was read of it does not stay in memory.

    Its pages would count as resident memory, up to the whole file after an epoch.
    """
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    mapped.madvise(mmap.MADV_RANDOM)  # rows are read in the order of an epoch
    return _pairs(mapped, lambda: mapped.madvise(mmap.MADV_DONTNEED), fingerprint)


def _pairs(buffer: Any, release: Callable[[], None], fingerprint: str = "") -> TokenPairs:
    """The pairs of an Arrow file, which stay where they are."""
    import pyarrow

    reader = pyarrow.ipc.open_file(pyarrow.py_buffer(buffer))
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    source, target = (
        Sentences.from_arrays([_part(batch.column(side)) for batch in batches], release)
        for side in ("source", "target")
    )
    lines = [batch.column("line").to_numpy() for batch in batches]
    return TokenPairs(source, target, fingerprint, lines)


def _part(column: "pyarrow.ListArray") -> SentenceArray:
    return SentenceArray(column.offsets.to_numpy(), column.values.to_numpy())


def _write(stream: Any, corpus: Corpus, recipe: Recipe, warn: Warn) -> DataReport:
    """Tokenise a corpus into an Arrow file. Raises InputError if no pair is left."""
    import pyarrow

    types = [
        pyarrow.uint16() if len(each) <= 1 << 16 else pyarrow.int32()
        for each in (recipe.source, recipe.target)
    ]
    sides_of_schema = zip(("source", "target"), map(pyarrow.list_, types), strict=True)
    schema = pyarrow.schema([*sides_of_schema, ("line", pyarrow.int32())])
    report = DataReport()
    with pyarrow.ipc.new_file(stream, schema) as writer:
        for chunk in recipe.apply(corpus.pairs(warn)):
            report += chunk.report
            sides = zip((chunk.source, chunk.target), types, strict=True)
            arrays = [*(_array(part, kind) for part, kind in sides), pyarrow.array(chunk.lines)]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
    refuse_nothing([corpus], recipe.data, report)
    return report


def _array(part: SentenceArray, kind: "pyarrow.DataType") -> "pyarrow.ListArray":
    """Sentences as an Arrow array of lists of ids of this kind."""
    import pyarrow

    ids = pyarrow.array(part.ids.astype(kind.to_pandas_dtype()))
    return pyarrow.ListArray.from_arrays(part.offsets.astype(np.int32), ids)


def refuse_nothing(corpora: Sequence[Corpus], data: DataConfig, report: DataReport) -> None:
    """Raise InputError if no pair is left."""
    if report.read == report.blank:
        raise nothing_in(corpora, report.blank)
    if not report.kept:
        raise InputError(
            f"none of the {report.read - report.blank:,} pairs is left: {report.too_long:,} are "
            f"longer than data.max_length = {data.max_length} tokens, {report.uneven:,} beyond "
            f"data.max_length_ratio = {data.max_length_ratio:g}"
        )
