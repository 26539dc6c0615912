"""Tokenised corpora on disk: made once, stored in Arrow files, read through a memory map.

    CACHE/KEY/pairs.arrow  the ids of both sides, and the number of the line they come from
    CACHE/KEY/report.json  how many pairs were used and dropped
    CACHE/.KEY.UID.work/   blocks that are done, until all are and become an entry

KEY is a hash of everything that decides the content: the texts, the tokenizers, the settings.
"""

import dataclasses
import json
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seq2seq_cli.data import pair_tokenizer
from seq2seq_cli.data.cache import Cache, work_folder
from seq2seq_cli.data.pair_tokenizer import DataReport, PairTokenizer, check_pairs_left
from seq2seq_cli.data.parallel import Corpus
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_blocks import TokenBlocks, record_batch, schema_of, sentences_of
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.data.tokenising import tokenise_blocks
from seq2seq_cli.messages import Warn, counted
from seq2seq_cli.whole_files import replace_file

FORMAT = 3  # raise it when the content of an entry or of a block changes
PAIRS, REPORT = "pairs.arrow", "report.json"


def tokenise_or_load(
    corpus: Corpus, tokenizer: PairTokenizer, cache: Cache | None, warn: Warn, *, workers: int = 1
) -> tuple[TokenPairs, DataReport]:
    """Tokenise a corpus, or map it from the cache. Without a cache, tokens stay in memory.

    With a cache, `workers` processes share the work, and what a killed process had done is used.
    Raises InputError if no pair is left.
    """
    if cache is None:
        return _tokenise_in_memory(corpus, tokenizer, warn)
    key = [corpus.digest(), [FORMAT, *tokenizer.cache_key()]]

    def make(folder: Path) -> None:
        blocks = TokenBlocks(work_folder(folder))
        if done := blocks.remove_damaged():
            warn(
                f"{corpus.name}: going on with a preparation that was broken off; "
                f"{counted(done, 'block')} of {pair_tokenizer.CHUNK_LINES:,} pairs "
                f"{'is' if done == 1 else 'are'} done"
            )
        count = tokenise_blocks(corpus, tokenizer, blocks, warn, workers)
        report = blocks.report(count)
        check_pairs_left([corpus], tokenizer.data, report)
        with (folder / PAIRS).open("wb") as stream:
            fingerprint = blocks.join(count, stream, schema_of(tokenizer))
            stream.flush()
            os.fsync(stream.fileno())
        about = {"fingerprint": fingerprint, **dataclasses.asdict(report)}
        replace_file(folder / REPORT, json.dumps(about, indent=1).encode())

    loaded = cache.load(key, make, load_entry)
    return _tokenise_in_memory(corpus, tokenizer, warn) if loaded is None else loaded


def _tokenise_in_memory(
    corpus: Corpus, tokenizer: PairTokenizer, warn: Warn
) -> tuple[TokenPairs, DataReport]:
    import pyarrow

    sink, schema = pyarrow.BufferOutputStream(), schema_of(tokenizer)
    report = DataReport()
    with pyarrow.ipc.new_file(sink, schema) as writer:
        for chunk in tokenizer.tokenise(corpus.pairs(warn)):
            report += chunk.report
            writer.write_batch(record_batch(chunk, schema))
    check_pairs_left([corpus], tokenizer.data, report)
    return _pairs(sink.getvalue(), lambda: None), report


def load_entry(entry: Path) -> tuple[TokenPairs, DataReport]:
    """Read the report of an entry and map its tokens into memory.

    Raises OSError, ValueError, KeyError or TypeError if the entry is damaged; Arrow's errors are
    subclasses of these.
    """
    about = json.loads((entry / REPORT).read_text(encoding="utf-8"))
    fingerprint = about.pop("fingerprint")
    report = DataReport(**about)
    pairs = _map_pairs(entry / PAIRS, fingerprint)
    if len(pairs) != report.used:
        raise ValueError("the entry has another number of pairs than it was written with")
    return pairs, report


def _map_pairs(path: Path, fingerprint: str = "") -> TokenPairs:
    """Map the pairs of a file into memory, with a release function for the pages that were read.

    Otherwise its pages would count as resident memory, up to the whole file after an epoch.
    """
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    mapped.madvise(mmap.MADV_RANDOM)  # rows are read in the order of an epoch
    return _pairs(mapped, lambda: mapped.madvise(mmap.MADV_DONTNEED), fingerprint)


def _pairs(buffer: Any, release: Callable[[], None], fingerprint: str = "") -> TokenPairs:
    """The pairs of an Arrow file in a buffer, without a copy."""
    import pyarrow

    reader = pyarrow.ipc.open_file(pyarrow.py_buffer(buffer))
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    source, target = (
        Sentences.from_arrays([sentences_of(batch.column(side)) for batch in batches], release)
        for side in ("source", "target")
    )
    line_numbers = [batch.column("line").to_numpy() for batch in batches]
    return TokenPairs(source, target, fingerprint=fingerprint, line_numbers=line_numbers)
