"""Kinds of files and data sets that hold text, one file for each.

To read them, begin with `base`, `table` and `tsv`.

- `records`: text in the fields of records, such as JSON objects; rows that do not fit
- `recognition`: what a file holds by its first block, and what is not text
- `base`: what all kinds have in common
- `lines`: a file of lines
- `table`: what tables with delimited cells have in common
- `tsv`: a table with tabs between its columns
- `csv_table`: a table in CSV
- `json_lines`: a JSON object on each line
- `json_array`: a JSON array of objects
- `tmx`: a translation memory
- `parquet`: a Parquet file
- `hugging_face`: a data set from a folder or the Hugging Face hub

To add a format, write a subclass of `TextFile` in a file of its own, and name it in this list and
in FORMATS.
"""

from pathlib import Path

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.csv_table import Csv
from seq2seq_cli.data.formats.json_array import JsonArray
from seq2seq_cli.data.formats.json_lines import JsonLines
from seq2seq_cli.data.formats.parquet import Parquet
from seq2seq_cli.data.formats.tmx import Tmx
from seq2seq_cli.data.formats.tsv import Tsv

# What recognises the content goes first; a table in CSV can look like anything.
FORMATS: tuple[type[TextFile], ...] = (Parquet, Tmx, JsonLines, JsonArray, Tsv, Csv)


def format_of(name: str) -> type[TextFile] | None:
    """The format with fields that a file name ends like, with or without .gz; None if none does."""
    suffix = Path(name.removesuffix(".gz")).suffix.lower()
    return next((each for each in FORMATS if suffix in each.suffixes), None)


def recognised_format(start: bytes) -> type[TextFile] | None:
    """The format with fields that the first block of a file has, whatever its name; or None."""
    return next((each for each in FORMATS if each.recognises(start)), None)
