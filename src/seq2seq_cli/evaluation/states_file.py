"""Hidden states in one file, written as they are computed: memory does not grow with the lines.

NPZ and safetensors have an array of all sentences, one after the other, for each layer:

    source/offsets            (sentences + 1,)  sentence i has the rows offsets[i] to offsets[i + 1]
    source/line               (source pieces,)  the number of the line, from 1
    source/word               (source pieces,)  the index of the word in its line, from 0; -1: none
    source/embedding, …       (source pieces, width)
    source/attention          (pairs of pieces, layers, heads)
    source/attention_offsets  (sentences + 1,)
    sentences                 bytes: a line of JSON for each sentence, with its pieces and words

and the same of `target`; `cross` has attention alone. Parquet has a row for each sentence. Arrays
are as `SentenceStates.arrays` describes them.
"""

import json
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.evaluation.plots.files import STATES_FORMATS, check_format
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.whole_files import replacing_file

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.hidden_states import SentenceStates


COPY_BYTES = 1 << 20
ROW_GROUP_BYTES = 1 << 24  # of a parquet file: what is in memory at a time
SAFETENSORS_TYPES = {"int64": "I64", "float32": "F32", "uint8": "U8"}
ALIGNMENT = 8


def save_states(
    states: "Iterable[SentenceStates]", path: Path, only: Collection[str] = ()
) -> tuple[int, int]:
    """Write states to a file that appears only when it is whole; returns lines and bytes.

    `only` are the names of the layers and attentions to write; none are all of them. Raises
    InputError for a name with another ending than STATES_FORMATS, for a layer that the model does
    not have, and without sentences.
    """
    check_format(path, STATES_FORMATS)
    remaining = iter(states)
    first = next(remaining, None)
    if first is None:
        raise InputError("there are no sentences, so there are no states to write")
    check_names(only, list(first.arrays()))
    write = _write_parquet if path.suffix == ".parquet" else _write_flat
    try:
        with replacing_file(path) as stream:
            lines = write(chain([first], remaining), only, stream, path)
            return lines, stream.tell()
    except OSError as error:  # as a full disk
        raise Seq2seqError(f"{path}: cannot be written: {error.strerror or error}") from None


def check_names(only: Collection[str], names: Collection[str]) -> None:
    """Raise InputError for names of arrays that a model does not have."""
    for name in only:
        if name not in names:
            raise InputError(
                f"--only {name}: this model does not have that; it has {', '.join(names)}"
            )


def _chosen(states: "SentenceStates", only: Collection[str]) -> dict[str, Array]:
    """The arrays to write, in their order."""
    return {name: each for name, each in states.arrays().items() if not only or name in only}


# NPZ and safetensors


@dataclass
class _Spool:
    """An array that grows row by row, in a file without a name, which no crash leaves behind."""

    stream: BinaryIO
    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]
    rows: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows, *self.row_shape)

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def append(self, rows: Array) -> None:
        """Add rows."""
        self.stream.write(np.ascontiguousarray(rows, dtype=self.dtype).data.cast("B"))
        self.rows += len(rows)

    def copy_to(self, stream: Any) -> None:
        """Write all rows to a stream."""
        self.stream.seek(0)
        while block := self.stream.read(COPY_BYTES):
            stream.write(block)


def _write_flat(
    states: "Iterable[SentenceStates]", only: Collection[str], stream: BinaryIO, path: Path
) -> int:
    """Write the arrays of all sentences, one after the other."""
    with ExitStack() as open_files:

        def spool(dtype: type[np.generic], row_shape: tuple[int, ...] = ()) -> _Spool:
            file = open_files.enter_context(TemporaryFile(dir=path.parent))
            return _Spool(file, np.dtype(dtype), row_shape)

        spools: dict[str, _Spool] = {}
        ends: Counter[str] = Counter()  # of the arrays that each array of offsets is for
        for number, sentence in enumerate(states, start=1):
            growth, rows = _of_sentence(number, sentence, only)
            if not spools:
                spools = {name: spool(np.int64) for name in growth}
                spools |= {
                    name: spool(each.dtype.type, each.shape[1:]) for name, each in rows.items()
                }
                for name in growth:
                    spools[name].append(np.zeros(1, dtype=np.int64))
            for name, more in growth.items():
                ends[name] += more
                spools[name].append(np.array([ends[name]]))
            for name, each in rows.items():
                spools[name].append(each)
        assemble = _write_npz if path.suffix == ".npz" else _write_safetensors
        assemble(spools, stream)
    return number


def _of_sentence(
    number: int, sentence: "SentenceStates", only: Collection[str]
) -> tuple[dict[str, int], dict[str, Array]]:
    """By how much each array of offsets grows with a sentence, and the rows of the others."""
    growth: dict[str, int] = {}
    rows: dict[str, Array] = {"sentences": np.frombuffer(_record(number, sentence), dtype=np.uint8)}
    for side, indices in (
        ("source", sentence.source_word_indices),
        ("target", sentence.target_word_indices),
    ):
        growth[f"{side}/offsets"] = len(indices)
        rows[f"{side}/line"] = np.full(len(indices), number, dtype=np.int64)
        rows[f"{side}/word"] = np.array(indices, dtype=np.int64)
    for name, each in _chosen(sentence, only).items():
        rows[name] = each
        if name.endswith("/attention"):
            growth[f"{name}_offsets"] = len(each)
    return growth, rows


def _record(number: int, sentence: "SentenceStates") -> bytes:
    """Pieces and words of a sentence as a line of JSON, in ASCII."""
    record = {
        "line": number,
        "source_pieces": sentence.source_pieces,
        "target_pieces": sentence.target_pieces,
        "source_words": sentence.source_words,
        "target_words": sentence.target_words,
    }
    return f"{json.dumps(record)}\n".encode()


def _write_npz(spools: Mapping[str, _Spool], stream: BinaryIO) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, spool in spools.items():
            # A member that is named alone has the same date in every file.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                header = {
                    "descr": np.lib.format.dtype_to_descr(spool.dtype),
                    "fortran_order": False,
                    "shape": spool.shape,
                }
                np.lib.format.write_array_header_1_0(member, header)
                spool.copy_to(member)


def _write_safetensors(spools: Mapping[str, _Spool], stream: BinaryIO) -> None:
    """Write the header, then the data, with the largest types first so that all are aligned."""
    header: dict[str, Any] = {}
    ordered = sorted(spools, key=lambda name: -spools[name].dtype.itemsize)
    end = 0
    for name in ordered:
        spool = spools[name]
        start, end = end, end + spool.bytes
        header[name] = {
            "dtype": SAFETENSORS_TYPES[spool.dtype.name],
            "shape": spool.shape,
            "data_offsets": (start, end),
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    stream.write(len(text).to_bytes(8, "little"))
    stream.write(text)
    for name in ordered:
        spools[name].copy_to(stream)


# Parquet


def _write_parquet(
    states: "Iterable[SentenceStates]", only: Collection[str], stream: BinaryIO, path: Path
) -> int:
    """Write a row for each sentence; layers and heads of attention are one dimension."""
    import pyarrow.parquet

    writer: Any = None
    number = 0
    try:
        for number, group in _row_groups(states, only):
            table = _table(number - len(group) + 1, group)
            if writer is None:
                # Numbers hardly repeat: a dictionary of them would only take memory.
                writer = pyarrow.parquet.ParquetWriter(stream, table.schema, use_dictionary=False)
            writer.write_table(table, row_group_size=len(group))
    finally:
        if writer is not None:
            writer.close()
    return number


Row = tuple["SentenceStates", dict[str, Array]]


def _row_groups(
    states: "Iterable[SentenceStates]", only: Collection[str]
) -> Iterator[tuple[int, list[Row]]]:
    """Yield the number of the last sentence of a row group, and its sentences."""
    group: list[Row] = []
    size = number = 0
    for number, sentence in enumerate(states, start=1):
        arrays = _chosen(sentence, only)
        group.append((sentence, arrays))
        size += sum(each.nbytes for each in arrays.values())
        if size >= ROW_GROUP_BYTES:
            yield number, group
            group, size = [], 0
    if group:
        yield number, group


def _table(first: int, group: list[Row]) -> Any:
    import pyarrow

    columns: dict[str, Any] = {
        "line": pyarrow.array(range(first, first + len(group)), pyarrow.int64())
    }
    for side in ("source", "target"):
        for kind, dtype in (
            ("pieces", pyarrow.string()),
            ("words", pyarrow.string()),
            ("word_indices", pyarrow.int64()),
        ):
            values = [getattr(sentence, f"{side}_{kind}") for sentence, _ in group]
            name = f"{side}/{'word' if kind == 'word_indices' else kind}"
            columns[name] = pyarrow.array(values, pyarrow.list_(dtype))
    shapes = {}
    for name in group[0][1]:
        each = [arrays[name] for _, arrays in group]
        shapes[name] = each[0].shape[1:]
        width = int(np.prod(shapes[name]))
        flat = pyarrow.array(np.concatenate(each).reshape(-1), pyarrow.float32())
        rows = pyarrow.FixedSizeListArray.from_arrays(flat, width)
        offsets = np.cumsum([0, *map(len, each)], dtype=np.int32)
        columns[name] = pyarrow.ListArray.from_arrays(pyarrow.array(offsets), rows)
    return pyarrow.table(columns).replace_schema_metadata({"shapes": json.dumps(shapes)})
