"""Tokenised corpora on disk: made once, stored in Arrow files, read through a memory map.

    CACHE/KEY/pairs.arrow  the ids of both sides, and the number of the line they come from
    CACHE/KEY/report.json  how many pairs were used and dropped

KEY is a hash of everything that decides the content: the texts, the tokenizers, the settings.
"""

import dataclasses
import json
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seq2seq_cli.data.cache import Cache
from seq2seq_cli.data.pair_tokenizer import DataReport, PairTokenizer, check_pairs_left
from seq2seq_cli.data.parallel import Corpus
from seq2seq_cli.data.token_pairs import SentenceArray, Sentences, TokenPairs
from seq2seq_cli.text import Warn, replace_file

if TYPE_CHECKING:
    import pyarrow

FORMAT = 3  # raise it when the content of an entry changes
PAIRS, REPORT = "pairs.arrow", "report.json"


def tokenise_or_load(
    corpus: Corpus, tokenizer: PairTokenizer, cache: Cache | None, warn: Warn
) -> tuple[TokenPairs, DataReport]:
    """Tokenise a corpus, or map it from the cache. Without a cache, tokens stay in memory.

    Raises InputError if no pair is left.
    """
    if cache is None:
        return _tokenise_in_memory(corpus, tokenizer, warn)

    def make(folder: Path) -> None:
        with (folder / PAIRS).open("wb") as stream:
            report = _write(stream, corpus, tokenizer, warn)
            stream.flush()
            os.fsync(stream.fileno())
        fingerprint = _map_pairs(folder / PAIRS).fingerprint()
        about = {"fingerprint": fingerprint, **dataclasses.asdict(report)}
        replace_file(folder / REPORT, json.dumps(about, indent=1).encode())

    key = [corpus.digest(), [FORMAT, *tokenizer.cache_key()]]
    loaded = cache.load(key, make, load_entry)
    return _tokenise_in_memory(corpus, tokenizer, warn) if loaded is None else loaded


def _tokenise_in_memory(
    corpus: Corpus, tokenizer: PairTokenizer, warn: Warn
) -> tuple[TokenPairs, DataReport]:
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    report = _write(sink, corpus, tokenizer, warn)
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
        Sentences.from_arrays([_sentences(batch.column(side)) for batch in batches], release)
        for side in ("source", "target")
    )
    line_numbers = [batch.column("line").to_numpy() for batch in batches]
    return TokenPairs(source, target, fingerprint=fingerprint, line_numbers=line_numbers)


def _sentences(column: "pyarrow.ListArray") -> SentenceArray:
    return SentenceArray(column.offsets.to_numpy(), column.values.to_numpy())


def _write(stream: Any, corpus: Corpus, tokenizer: PairTokenizer, warn: Warn) -> DataReport:
    """Tokenise a corpus into an Arrow file. Raises InputError if no pair is left."""
    import pyarrow

    types = [
        pyarrow.uint16() if len(each) <= 1 << 16 else pyarrow.int32()
        for each in (tokenizer.source, tokenizer.target)
    ]
    sides_of_schema = zip(("source", "target"), map(pyarrow.list_, types), strict=True)
    schema = pyarrow.schema([*sides_of_schema, ("line", pyarrow.int32())])
    report = DataReport()
    with pyarrow.ipc.new_file(stream, schema) as writer:
        for chunk in tokenizer.tokenise(corpus.pairs(warn)):
            report += chunk.report
            sides = zip((chunk.source, chunk.target), types, strict=True)
            arrays = [_list_array(sentences, kind) for sentences, kind in sides]
            arrays.append(pyarrow.array(chunk.line_numbers))
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
    check_pairs_left([corpus], tokenizer.data, report)
    return report


def _list_array(sentences: SentenceArray, kind: "pyarrow.DataType") -> "pyarrow.ListArray":
    """Sentences as an Arrow array of lists of ids of this type."""
    import pyarrow

    ids = pyarrow.array(sentences.ids.astype(kind.to_pandas_dtype()))
    return pyarrow.ListArray.from_arrays(sentences.offsets.astype(np.int32), ids)
