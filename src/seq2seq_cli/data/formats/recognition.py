"""Recognises the content of a file by its first block: text, or what only looks like it.

A file that is read as lines although it is an archive, a document, a table or JSON would be trained
on, or translated, in silence. What it is and how to read it is said instead.
"""

import csv
import json
import re
from collections.abc import Sequence
from typing import Any

from seq2seq_cli.data.formats.records import names_of
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import STDIN, display_name

SAMPLED_LINES = 100
FEWEST_LINES = 3  # of which a rule must be true to be more than chance
CRS_FOR_LF = 20  # so many lone CRs for each LF are line ends
FEWEST_CONTROLS, MOST_CONTROLS = 16, 0.1  # control characters: so few, or this share, are text

PARQUET_COLUMN = "{}:COLUMN"
# How files begin that are not text: what they are, and how to read them.
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed twice with gzip", "<(zcat {} | zcat)"),
    (b"BZh", "compressed with bzip2", "<(bzcat {})"),
    (b"\xfd7zXZ\0", "compressed with xz", "<(xzcat {})"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "<(zstdcat {})"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "<(lz4cat {})"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "<(7z x -so {})"),
    (b"Rar!", "a rar archive", "<(unrar p -inul {})"),
    (b"PAR1", "a Parquet file", PARQUET_COLUMN),
    (b"ARROW1", "an Arrow file", "hf:FOLDER:SPLIT:FIELD, for a folder that `datasets` saved"),
    (b"%PDF-", "a PDF document", "<(pdftotext {} -), or its text saved to a file"),
    (b"{\\rtf", "an RTF document", "its text, saved as plain text in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "a document of old Office", "its text, saved as plain text in UTF-8"),
    (b"SQLite format 3", "an SQLite database", "a table of it, written as CSV: FILE.csv:COLUMN"),
    (b"\x89PNG", "a picture", ""),
    (b"\xff\xd8\xff", "a picture", ""),
    (b"\x7fELF", "a program", ""),
)
# What zip archives hold: documents are told by names within them.
ARCHIVES: tuple[tuple[bytes, str, str], ...] = (
    (b"word/", "a Word document (docx)", "its text, saved as plain text in UTF-8"),
    (b"xl/", "an Excel table (xlsx)", "the table saved as CSV in UTF-8, as FILE.csv:COLUMN"),
    (b"ppt/", "a PowerPoint document (pptx)", "its text, saved as plain text in UTF-8"),
    (b"opendocument.spreadsheet", "a spreadsheet (ods)", "the table saved as CSV: FILE.csv:COLUMN"),
    (b"opendocument", "an OpenDocument text", "its text, saved as plain text in UTF-8"),
    (b"epub", "an EPUB book", "its text, saved as plain text in UTF-8"),
)
MARKUP: tuple[tuple[bytes, str, str], ...] = (
    (b"<tmx", "a translation memory (TMX)", "{}:LANGUAGE, as in {}:en"),
    (b"<xliff", "an XLIFF file", "its text, or a TMX file made of it: FILE.tmx:LANGUAGE"),
    (b"<html", "an HTML page", "its text, saved as plain text in UTF-8"),
    (b"<refset", "an SGML test set", "its text: `sacrebleu --echo`, or a file of its segments"),
    (b"<srcset", "an SGML test set", "its text: `sacrebleu --echo`, or a file of its segments"),
    (b"<mteval", "an SGML test set", "its text: `sacrebleu --echo`, or a file of its segments"),
    (b"<?xml", "an XML file", "its text, as lines"),
    (b"<!doctype", "an XML or HTML file", "its text, as lines"),
)
# Commands that read a file from its end, and those that read - as standard input.
NEED_A_FILE = ("<(unzip", "<(7z", "<(unrar")
TAKE_A_DASH = ("<(tar", "<(pdftotext")
CSV_FOUND = ("a table with quoted cells (CSV)", "{}:1 for the first column")
CONTROLS = bytes({*range(32)} - {*b"\t\n\r\x0b\x0c\x1b"})


def check_is_text(start: bytes, name: str) -> None:
    """Raise InputError if a first block is not text at all, or its lines do not end in LF."""
    found = _binary(start) or _wide(start) or _escaped(start) or _old_line_ends(start)
    if found is not None:
        raise refusal(name, *found)


def check_is_lines(start: bytes, name: str) -> None:
    """Raise InputError if a first block is not lines of text but markup, JSON or a table."""
    found = _markup(start) or _json(start) or _table(start)
    if found is not None:
        raise refusal(name, *found)


def refusal(name: str, what: str, how: str) -> InputError:
    """The error for a file that is not what its reader takes it for."""
    read = _from_pipe(how) if name == display_name(STDIN) else how.replace("{}", name)
    readable = f"; read {read}" if how else ""
    return InputError(f"{name} is {what}, not lines of text{readable} (--as-text insists)")


def _from_pipe(how: str) -> str:
    """How to read what comes from standard input: by a command in the pipe, if one can read it."""
    if how == PARQUET_COLUMN:
        return "it from a file: FILE.parquet:COLUMN"
    if how.startswith(NEED_A_FILE):
        return f"it from a file: {how.replace('{}', 'FILE')}"
    if how.startswith(TAKE_A_DASH):
        how = how.replace("{}", str(STDIN))
    command = re.sub("( <)? {}(?![:}])", "", how)  # others read standard input without a name
    return re.sub(r"<\((.*)\)", r"… | \1 | seq2seq …", command).replace("{}", str(STDIN))


def _binary(start: bytes) -> tuple[str, str] | None:
    for signature, what, how in SIGNATURES:
        if start.startswith(signature):
            return what, how
    if start.startswith(b"PK\x03\x04"):
        for part, what, how in ARCHIVES:
            if part in start:
                return what, how
        return "a zip archive", "<(unzip -p {})"
    if start[257:262] == b"ustar":
        return "a tar archive", "<(tar -xOf {} NAME)"
    return None


def _wide(start: bytes) -> tuple[str, str] | None:
    """UTF-16 without a byte-order mark, or binary data: both have many NULs."""
    controls = len(start) - len(start.translate(None, CONTROLS))
    if controls < max(FEWEST_CONTROLS, len(start) * MOST_CONTROLS):
        return None
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) > 0.9 * controls:
        encoding = "utf-16-le" if odd > even else "utf-16-be"
        return f"likely {encoding} without a byte-order mark", f"it with --encoding {encoding}"
    return "binary data", ""


def _escaped(start: bytes) -> tuple[str, str] | None:
    """Japanese in ISO-2022-JP, which consists of ASCII bytes."""
    if b"\x1b$B" not in start and b"\x1b$@" not in start:
        return None
    return "likely iso2022_jp", "it with --encoding iso2022_jp"


def _old_line_ends(start: bytes) -> tuple[str, str] | None:
    inner = start.rstrip(b"\r").count(b"\r") - start.count(b"\r\n")
    ends = start.count(b"\n")  # one may have come behind the last line
    if inner < max(FEWEST_LINES - 1, CRS_FOR_LF * ends):
        return None
    return "a text whose lines end in CR alone, as on old Macs", "<(tr '\\r' '\\n' < {})"


def _markup(start: bytes) -> tuple[str, str] | None:
    begin = start.lstrip()[:4096].lower()
    if not begin.startswith((b"<?xml", b"<!doctype", *(tag for tag, _, _ in MARKUP))):
        return None
    return next((what, how) for tag, what, how in MARKUP if tag in begin)


def _json(start: bytes) -> tuple[str, str] | None:
    if is_json_lines(start) or is_json_array(start):
        fields = names_of(_first_record(start))
        return (
            "JSON",
            f"{{}}:FIELD, with one of {', '.join(fields)}" if fields else "{}:FIELD",
        )
    if start[:1] == b"{" and start[1:].lstrip()[:1] == b'"' and b"\n" in start[:3]:
        return "a JSON object", "its records as lines: jq -c '.FIELD[]' {} > FILE.jsonl"
    return None


def sampled_lines(start: bytes) -> list[str]:
    """The first complete lines of a block, without their ends; all of a short one."""
    text = start.decode("utf-8", errors="replace")
    lines = [line.removesuffix("\r") for line in text.split("\n", SAMPLED_LINES)]
    if len(lines) > 1:
        lines.pop()  # it may go on after the block, or there is nothing behind the last LF
    return lines


def is_json_lines(start: bytes) -> bool:
    """Whether a block begins with records of JSON, one on each line."""
    if start.lstrip()[:1] not in (b"{", b"["):
        return False
    lines = [line for line in sampled_lines(start) if line.strip()][:FEWEST_LINES]
    try:
        records = [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return False
    if all(isinstance(record, dict) and record for record in records):
        return bool(records)
    return len(records) > 1 and all(
        isinstance(record, list) and any(isinstance(each, str | dict) for each in record)
        for record in records
    )


def is_json_array(start: bytes) -> bool:
    """Whether a block begins with an array of JSON records."""
    text = start.decode("utf-8", errors="replace").lstrip()
    if not text.startswith("[") or is_json_lines(start):
        return False
    begin = text[1:].lstrip()
    if begin[:1] not in ("{", "["):
        return False
    try:
        json.JSONDecoder().raw_decode(begin)
    except (ValueError, RecursionError):
        return begin[:1] == "{" and begin[1:].lstrip()[:1] == '"'  # cut where the block ends
    return True


def _first_record(start: bytes) -> Any:
    text = start.decode("utf-8", errors="replace").lstrip()
    if not is_json_lines(start):
        text = text[1:].lstrip()  # behind the bracket of the array
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):  # it goes on after the block
        return None


def _table(start: bytes) -> tuple[str, str] | None:
    """Lines with the same number of tabs in each, or with quoted cells by the rules of CSV."""
    if is_csv(start):
        return CSV_FOUND
    lines = sampled_lines(start)
    if len(lines) < FEWEST_LINES:
        return None
    if is_tab_table(lines):
        columns = lines[0].count("\t") + 1
        return (
            f"a table with {columns} columns",
            f"one of them, as in {{}}:1 or {{}}:{columns}",
        )
    if all(line[:1] == line[-1:] == '"' and len(line) > 1 for line in lines):
        for delimiter in ",;":
            widths = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
            if len(widths) == 1 and widths.pop() > 1:
                return CSV_FOUND
    return None


def is_csv(start: bytes) -> bool:
    """Whether a block surely is CSV: even rows, and quoted cells that need their quotes.

    A comma in a sentence has a space behind it, also behind a quotation; one between cells has
    none. So such a comma within quotes, or a quote written twice, tells a cell from a quotation.
    """
    if b'"' not in start:
        return False
    text = start.decode("utf-8", errors="replace")
    return any(_has_csv_cells(text, delimiter) for delimiter in ",;|")


def _has_csv_cells(text: str, delimiter: str) -> bool:
    cell = re.compile(
        rf'(?:"(?P<quoted>(?:[^"]|"")*+)"|(?P<bare>(?:(?![ "])[^"{delimiter}\r\n]'
        rf'[^"{delimiter}\r\n]*)?))(?P<end>{re.escape(delimiter)}|\r?\n|\Z)'
    )
    widths, cells, needed, position = list[int](), 0, 0, 0
    while position < len(text) and len(widths) < SAMPLED_LINES:
        found = cell.match(text, position)
        if found is None:
            if '"' in text[position:] and text.count('"', position) % 2 and text[position] == '"':
                break  # a cell that goes on after the block
            return False
        cells += 1
        inner = found["quoted"] or ""
        needed += f"{delimiter} " in inner or '""' in inner
        position = found.end()
        if found["end"] == delimiter:
            continue
        if not (cells == 1 and not found["bare"] and found["quoted"] is None):  # a blank line
            if found["end"] == "" and widths and cells != widths[0]:
                break  # a row that goes on after the block
            widths.append(cells)
        cells = 0
    return needed > 0 and len(widths) >= FEWEST_LINES and widths[0] > 1 and len({*widths}) == 1


def is_tab_table(lines: Sequence[str]) -> bool:
    """Whether lines have the same number of tabs, above 0, and text in two cells of each."""
    return (
        0 < lines[0].count("\t") == max(line.count("\t") for line in lines)
        and lines[0].count("\t") == min(line.count("\t") for line in lines)
        and all(
            sum(not cell.isspace() and cell != "" for cell in line.split("\t")) > 1
            for line in lines
        )
    )
