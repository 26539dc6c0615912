"""Kinds of files and data sets that hold text, one file for each.

To read them, begin with `base` and `tsv`.

- `base`: what all kinds have in common
- `records`: text in the fields of records, such as JSON objects
- `lines`: a file of lines
- `tsv`: a table with tabs between its columns
- `json_lines`: a JSON object on each line
- `parquet`: a Parquet file
- `hugging_face`: a data set from a folder or the Hugging Face hub

To add a format, write a subclass of `TextFile` in a file of its own, and name it in this list and
in FORMATS.
"""

from pathlib import Path

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.json_lines import JsonLines
from seq2seq_cli.data.formats.parquet import Parquet
from seq2seq_cli.data.formats.tsv import Tsv

FORMATS: tuple[type[TextFile], ...] = (Tsv, JsonLines, Parquet)


def format_of(name: str) -> type[TextFile] | None:
    """The format with fields that a file name ends like, with or without .gz; None if none does."""
    suffix = Path(name.removesuffix(".gz")).suffix
    return next((each for each in FORMATS if suffix in each.suffixes), None)
