"""Blocks of a tokenised corpus on disk, each complete or absent, so that a killed process goes on.

    FOLDER/00000012.arrow  the pairs of the thirteenth CHUNK_LINES lines, and the report on them

Blocks are written in any order by any process, and joined in their order to one Arrow file.
"""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from seq2seq_cli.data.pair_tokenizer import DataReport, PairTokenizer, TokenisedChunk
from seq2seq_cli.data.sentence_arrays import SentenceArray, SentenceHash, fingerprint_of

if TYPE_CHECKING:
    import pyarrow

REPORT_FIELD = b"report"  # of the metadata of a block's schema
DAMAGED = (OSError, ValueError, KeyError, TypeError)  # Arrow's errors are subclasses of these


def schema_of(tokenizer: PairTokenizer) -> "pyarrow.Schema":
    """The columns of tokenised pairs: the ids of both sides, and the number of their line."""
    import pyarrow

    types = [
        pyarrow.uint16() if len(each) <= 1 << 16 else pyarrow.int32()
        for each in (tokenizer.source, tokenizer.target)
    ]
    sides = zip(("source", "target"), map(pyarrow.list_, types), strict=True)
    return pyarrow.schema([*sides, ("line", pyarrow.int32())])


def record_batch(chunk: TokenisedChunk, schema: "pyarrow.Schema") -> "pyarrow.RecordBatch":
    """The pairs of a chunk in these columns."""
    import pyarrow

    sides = zip((chunk.source, chunk.target), schema.types[:2], strict=True)
    arrays = [_list_array(sentences, kind.value_type) for sentences, kind in sides]
    arrays.append(pyarrow.array(chunk.line_numbers))
    return pyarrow.record_batch(arrays, schema=schema)


def _list_array(sentences: SentenceArray, kind: "pyarrow.DataType") -> "pyarrow.ListArray":
    """Sentences as an Arrow array of lists of ids of this type."""
    import pyarrow

    ids = pyarrow.array(sentences.ids.astype(kind.to_pandas_dtype()))
    return pyarrow.ListArray.from_arrays(sentences.offsets.astype(np.int32), ids)


def sentences_of(column: "pyarrow.ListArray") -> SentenceArray:
    """The sentences of a column, without a copy."""
    return SentenceArray(column.offsets.to_numpy(), column.values.to_numpy())


@dataclass(frozen=True)
class TokenBlocks:
    """The blocks of a corpus that are done so far."""

    path: Path

    def block(self, index: int) -> Path:
        """The file of a block, which is complete if it exists."""
        return self.path / f"{index:08d}.arrow"

    def write(self, index: int, chunk: TokenisedChunk, schema: "pyarrow.Schema") -> None:
        """Write a block, whole or not at all; another process may write the same at this time."""
        import pyarrow

        report = json.dumps(dataclasses.asdict(chunk.report)).encode()
        partial = self.path / f".{index:08d}.{uuid4().hex}.tmp"
        try:
            with partial.open("wb") as stream:
                described = schema.with_metadata({REPORT_FIELD: report})
                with pyarrow.ipc.new_file(stream, described) as writer:
                    writer.write_batch(record_batch(chunk, schema))
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(self.block(index))
        except BaseException:  # on a full disk, the partial file takes up space
            partial.unlink(missing_ok=True)
            raise

    def remove_damaged(self) -> int:
        """Remove blocks that are not whole, as after a power cut; returns how many are left."""
        found = 0
        for path in sorted(self.path.iterdir()):
            try:
                if path.suffix != ".arrow":  # partial
                    raise ValueError(path.name)
                _, batch = _read(path)
                batch.validate(full=True)
                found += 1
            except DAMAGED:
                path.unlink(missing_ok=True)
        return found

    def report(self, count: int) -> DataReport:
        """The report on all of so many blocks."""
        return sum((_read(self.block(index))[0] for index in range(count)), start=DataReport())

    def join(self, count: int, stream: Any, schema: "pyarrow.Schema") -> str:
        """Write so many blocks to an Arrow file, one after the other; returns the fingerprint."""
        import pyarrow

        source, target = SentenceHash(), SentenceHash()
        with pyarrow.ipc.new_file(stream, schema) as writer:
            for index in range(count):
                _, batch = _read(self.block(index))
                source.add(sentences_of(batch.column("source")))
                target.add(sentences_of(batch.column("target")))
                writer.write_batch(batch.replace_schema_metadata(None))
        return fingerprint_of(source.digest(), target.digest())


def _read(path: Path) -> tuple[DataReport, "pyarrow.RecordBatch"]:
    """The report of a block, and its pairs, mapped into memory."""
    import pyarrow

    reader = pyarrow.ipc.open_file(pyarrow.memory_map(str(path)))
    report = DataReport(**json.loads(reader.schema.metadata[REPORT_FIELD]))
    return report, reader.get_batch(0)
