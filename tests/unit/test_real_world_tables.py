"""Tables as people have them: CSV, JSON, TMX under any name, and rows that do not fit."""

import gzip
import io
import json
import re
from datetime import date
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from seq2seq_cli.cli.paths import check_paths
from seq2seq_cli.data.formats.base import BegunInput
from seq2seq_cli.data.formats.lines import Lines
from seq2seq_cli.data.formats.parquet import Parquet
from seq2seq_cli.data.formats.recognition import sampled_lines
from seq2seq_cli.data.parallel import parse_corpora
from seq2seq_cli.data.sources import parse_source, parse_text, plain_lines
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import READ_BYTES, Reading, open_input

CSV = 'en,de\r\n"A man, old","Ein ""Mann"""\r\nnull,NA\r\n"two\r\nlines",None\r\n007,1.0\r\n\r\n'
MEMORY = """<?xml version="1.0" encoding="{}"?>
<tmx version="1.4"><header srclang="en-GB"/><body>
<tu><tuv xml:lang="en-GB"><seg>Press <bpt i="1">&lt;b&gt;</bpt>on<ept i="1">&lt;/b&gt;</ept></seg>
</tuv><tuv xml:lang="de"><seg>Drück
&amp; dreh</seg></tuv></tu>
<tu><tuv xml:lang="en-GB"><seg>Two</seg></tuv></tu></body></tmx>
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def read(name: str, text: str | bytes = b"", **reading: str) -> tuple[list[str], list[str]]:
    """The lines of a text, after its file was written if its content is given, and warnings."""
    if text:
        data = text if isinstance(text, bytes) else text.encode()
        Path(name.partition(":")[0]).write_bytes(data)
    warnings: list[str] = []
    return list(parse_text(name, Reading(**reading)).lines(warnings.append)), warnings


def error_of(name: str, text: str | bytes = b"") -> str:
    with pytest.raises(InputError) as raised:
        read(name, text)
    return str(raised.value)


# CSV


def test_csv_is_read_by_its_rules_and_values_stay_as_they_are_written() -> None:
    en, warnings = read("c.csv:en", CSV)
    assert en == ["A man, old", "null", "two lines", "007"]
    assert warnings == ["c.csv: 1 line has line breaks within a cell, read as spaces (line 4)"]
    assert read("c.csv:de")[0] == ['Ein "Mann"', "NA", "None", "1.0"]
    assert error_of("c.csv") == (
        "c.csv holds more than one text; say which, as in c.csv:en. It has 1, 2, en, de"
    )
    Path("c.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    assert read("c.csv.gz:2")[0][1:] == ['Ein "Mann"', "NA", "None", "1.0"]


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "pipe")])
def test_the_delimiter_is_found_or_given(delimiter: str, name: str) -> None:
    rows = [("en", "de"), ("a, b", "c, d"), ("e", "f, g")]
    text = "".join(delimiter.join(row) + "\n" for row in rows)
    assert read("x.csv:de", text)[0] == ["c, d", "f, g"]
    assert read("x.csv:de", text, delimiter=name)[0] == ["c, d", "f, g"]
    assert read("x.csv:de", text, delimiter=delimiter)[0] == ["c, d", "f, g"]
    with pytest.raises(InputError, match="--delimiter ::: give one character, or one of tab"):
        Reading(delimiter="::")


def test_a_quote_that_is_never_closed_is_an_error_with_its_line() -> None:
    assert "o.csv, line 2: a quote opens a cell and none" in error_of("o.csv:1", 'a,b\n"x,y\nz,q\n')
    lines, warnings = read("q.csv:2", 'a,b\n"x"y,z\nc,d\n')
    assert lines == ["b", "", "d"]
    assert "1 line has quotes against the rules of CSV, read as blank (line 2)" in warnings[0]


def test_the_line_with_which_excel_says_the_delimiter_is_not_text() -> None:
    assert read("e.csv:de", "sep=;\nen;de\na;b,c\nd;\n")[0] == ["b,c", ""]
    warnings = read("e.csv:2", 'sep=;\na;b\nc\n"d"e;f\n')[1]
    assert [warning[-9:] for warning in warnings] == [" (line 3)", " (line 4)"]


# Rows that do not fit


def test_rows_that_do_not_fit_are_counted_together_and_shift_nothing() -> None:
    rows = ["x\ty"] * 5 + ["short"] * 7 + ["x\ty\tz", ""] + ["x\ty", "", ""]
    lines, warnings = read("r.tsv:2", "".join(f"{row}\n" for row in rows))
    assert lines == ["y"] * 5 + [""] * 7 + ["y", "", "y"]
    assert warnings == [
        "r.tsv: 8 lines have no column 2, read as blank (lines 6, 7, 8, 9, 10, …)",
        "r.tsv: 1 line has more than the 2 cells of the first line (line 13)",
    ]
    [corpus] = parse_corpora(["r.tsv:1"], ["r.tsv:2"])
    assert sum(bool(target) for _, target in corpus.pairs(warnings.append)) == 7


def test_a_column_that_the_first_line_lacks_is_an_error() -> None:
    assert error_of("t.tsv:3", "a\tb\n") == "t.tsv, line 1: there is no column 3, the line has 2"


def test_a_line_of_names_read_as_a_row_is_mentioned() -> None:
    lines, warnings = read("h.tsv:1", "en\tde\nWord\tWort\n")
    assert lines == ["en", "Word"]
    assert warnings == [
        'h.tsv: the first line looks like names of columns ("en") but is read as text, since '
        "columns are given by number; write h.tsv:en to leave it out"
    ]
    assert read("s.tsv:1", "A man\tEin Mann\n")[1] == []
    assert read("s.tsv:1", "no\tno\nyes\tja\n")[1] == []  # names differ


def test_cells_in_quotes_are_mentioned_where_quotes_are_text() -> None:
    text = '"A"\t"B"\n' * 3
    lines, warnings = read("q.tsv:1", text)
    assert lines == ['"A"'] * 3
    assert "q.tsv: the cells are in quotes, which are read as part of the text" in warnings[0]
    assert read("q.tsv:1", delimiter="tab") == (["A"] * 3, [])
    assert read("some.tsv:1", '"A"\tb\nc\td\n')[1] == []


# Names of columns


@pytest.mark.parametrize("field", ["English (US): plain", '"English (US): plain"'])
def test_a_column_name_may_have_any_characters(field: str) -> None:
    Path("n.tsv").write_text("id\tEnglish (US): plain\ta.b\t2019\n1\tx\ty\tz\n")
    assert read(f"n.tsv:{field}")[0] == ["x"]
    assert read("n.tsv:a.b")[0] == ["y"]
    assert read('n.tsv:"2019"')[0] == ["z"]
    assert read('q.csv:"so ""called"""', '"so ""called""",b\nx,y\n')[0] == ["x"]
    assert '"English (US): plain", a.b, "2019"' in error_of("n.tsv:none")


def test_a_name_that_two_columns_have_is_refused_with_their_numbers() -> None:
    text = "en\ten\tde\na\tb\tc\n"
    assert error_of("d.tsv:en", text) == (
        "d.tsv has 2 columns with the name en; give one by its number: 1, 2"
    )
    assert read("d.tsv:de")[0] == ["c"]


@pytest.mark.parametrize("name", ["b.csv", "b.tsv"])
def test_names_of_columns_are_listed_after_blank_lines_too(name: str) -> None:
    text = "\n\nen\tde\na\tb\n"
    assert error_of(name, text).endswith("It has 1, 2, en, de")
    assert read(f"{name}:de")[0] == ["b"]


def test_one_long_name_hides_no_other() -> None:
    assert error_of("l.tsv:x", f"en\t{'long ' * 30}\tde\n") == (
        "l.tsv has no field x; it has 1, 2, 3, en, de"
    )


# JSON


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.jsonl", "a"])
@pytest.mark.parametrize("shape", ["array", "indented array", "lines"])
def test_json_is_read_in_every_shape_and_under_any_name(name: str, shape: str) -> None:
    text = '[{"en": "a\\nb", "n": 1.0, "x": ["p", "q"]}, {"en": null, "n": 007, "x": ["r"]}]'
    text = text.replace("007", "7e0")
    if shape == "indented array":
        text = text.replace("{", "{\n  ").replace("}, ", "\n},\n")
    elif shape == "lines":
        text = text[1:-1].replace("}, ", "}\n")
    assert read(f"{name}:en", text)[0] == ["a b", ""]
    assert read(f"{name}:n")[0] == ["1.0", "7e0"]
    assert read(f"{name}:x.0")[0] == ["p", "r"]
    lines, warnings = read(f"{name}:x.1")
    assert lines == ["q", ""]
    assert " has no x.1, read as blank" in warnings[0]
    message = error_of(f"{name}:x")
    assert "x is not text but a list; say which part: x.0, x.1" in message


def test_a_large_array_is_read_element_by_element() -> None:
    records = [{"en": f"{'long ' * 50}{number}", "de": "[{]}"} for number in range(2000)]
    lines, _ = read("big.json:en", json.dumps(records, ensure_ascii=False))
    assert lines == [record["en"] for record in records]


def test_a_byte_order_mark_within_an_array_is_text() -> None:
    start = '[{"en": "'
    text = "x" * (READ_BYTES - len(start)) + "\ufeffy"  # at the start of a block that is read
    assert read("m.json:en", f'\ufeff{start}x"}}]')[0] == ["x"]
    assert read("m.json:en", f'{start}{text}"}}]')[0] == [text]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", ""),
        ('[{"en": "a"} {"en": "b"}]', "element 1: there is no , after it"),
        ('[{"en": "a"}, {"en": ', "element 2: not JSON"),
        ('[{"en": "a"}]\n[{"en": "b"}]', "element 1: the array ends after it, and the file"),
        ('[{"en": "a"}, 3]', "element 2: not a JSON object with fields"),
        ('{"data": [{"en": "a"}]}', "has no field en; it has data.0.en"),
    ],
)
def test_what_is_wrong_with_an_array_is_said(text: str, message: str) -> None:
    if not message:
        assert read("e.json:en", text) == ([], [])
    else:
        assert message in error_of("e.json:en", text)


def test_a_name_with_a_dot_and_half_a_character_are_read() -> None:
    text = '{"a.b": "dot", "a": {"b": "nested", "c": {"d.e": "deep"}}, "s": "\\ud800x"}\n'
    assert read("j.jsonl:a.b", text)[0] == ["dot"]
    assert read("j.jsonl:a.c.d.e")[0] == ["deep"]
    assert read("j.jsonl:s")[0] == ["?x"]
    assert read("j.json:s", f"[{text}]")[0] == ["?x"]


def test_numbers_of_json_that_are_none_stay_as_they_are_written() -> None:
    assert read("n.jsonl:n", '{"n": NaN}\n{"n": -Infinity}\n')[0] == ["NaN", "-Infinity"]


def test_every_field_that_is_listed_can_be_read() -> None:
    record = {"id": 7, "t": {"en": "a"}, "l": ["x", {"y": "z"}], "e": [], "n": None, "b": True}
    text = json.dumps(record) + "\n"
    names = re.findall(r"[\w.]+", error_of("f.jsonl", text).partition("It has ")[2])
    assert names == ["id", "t.en", "l.0", "l.1.y", "n", "b"]
    assert [read(f"f.jsonl:{name}")[0] for name in names] == [
        ["7"], ["a"], ["x"], ["z"], [""], ["true"],
    ]  # fmt: skip


# TMX


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
@pytest.mark.parametrize("name", ["m.tmx", "m.xml"])
def test_a_translation_memory_has_its_languages_as_columns(name: str, encoding: str) -> None:
    Path(name).write_bytes(MEMORY.format(encoding).encode(encoding))
    assert read(f"{name}:en-GB")[0] == ["Press on", "Two"]
    assert read(f"{name}:en") == read(f"{name}:EN-gb")
    lines, warnings = read(f"{name}:de")
    assert lines == ["Drück & dreh", ""]
    assert warnings == [
        f"{name}: 1 unit has line breaks within a cell, read as spaces (unit 1)",
        f"{name}: 1 unit has no de, read as blank (unit 2)",
    ]
    assert error_of(f"{name}:fr") == f"{name} has no field fr; it has de, en-GB"


def test_a_language_of_a_memory_must_be_clear() -> None:
    text = MEMORY.format("utf-8").replace('"en-GB"><seg>Two', '"en-US"><seg>Two')
    assert "may be en-GB or en-US; say which, as in a.tmx:en-GB" in error_of("a.tmx:en", text)


def test_a_unit_has_the_first_segment_of_a_language() -> None:
    text = MEMORY.format("utf-8").replace("</tuv></tu></body>", "</tuv>{}</tu></body>")
    text = text.format('<tuv xml:lang="en-GB"><seg>Pair</seg></tuv>')
    for field in ("en-GB", "en_gb"):
        assert read(f"f.tmx:{field}", text)[0] == ["Press on", "Two"]


def test_entities_of_a_memory_are_never_expanded() -> None:
    bomb = '<!DOCTYPE tmx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><tmx><tu><tuv lang="en"><seg>&b;'
    assert "b.tmx defines the XML entity a; entities are not resolved" in error_of("b.tmx:en", bomb)
    assert "c.tmx is not valid XML" in error_of("c.tmx:en", "<tmx><tu></tmx>")


# Parquet and data sets


def test_values_of_parquet_are_text_or_a_clear_error() -> None:
    table = pyarrow.table(
        {
            "bytes": ["ü".encode(), None],
            "broken": [b"\xff", b"x"],
            "date": [date(2020, 1, 2)] * 2,
            "list": [["p", "q"], []],
            "a.b": ["dot", "name"],
            "number": [7, None],
        }
    )
    pyarrow.parquet.write_table(table, "p.parquet")
    assert read("p.parquet:bytes")[0] == ["ü", ""]
    assert read("p.parquet:date")[0] == ["2020-01-02"] * 2
    assert read("p.parquet:list.1")[0] == ["q", ""]
    assert read("p.parquet:a.b")[0] == ["dot", "name"]
    assert read("p.parquet:number")[0] == ["7", ""]
    assert error_of("p.parquet:broken") == (
        "p.parquet, row 1: broken is not text but bytes that are not UTF-8"
    )
    assert "It has bytes, broken, date, list.0, list.1, a.b, number" in error_of("p.parquet")
    Path("p.parquet").rename("named.txt")
    assert read("named.txt:number")[0] == ["7", ""]
    assert "named.txt is a Parquet file, not lines of text; read named" in error_of("named.txt")


@pytest.mark.parametrize("streamed", [False, True])
def test_words_such_as_null_stay_in_csv_through_the_hub_library(streamed: bool) -> None:
    Path("set").mkdir()
    Path("set/train.csv").write_text("en,de: 1\nnull,007\nNA,1.0\nNone,2\n")
    for field, expected in (("en", ["null", "NA", "None"]), ('"de: 1"', ["007", "1.0", "2"])):
        source = parse_source(f"hf:set:train:{field}", streamed=streamed)
        assert list(source.lines(pytest.fail)) == expected


# Text that is not what it seems


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"PK\x03\x04....word/document.xml", "a Word document (docx), not lines of text"),
        (b"PK\x03\x04....text.txt", "a zip archive, not lines of text; read <(unzip -p it.txt)"),
        (b"%PDF-1.7\n", "a PDF document, not lines of text; read <(pdftotext it.txt -)"),
        (b"\xfd7zXZ\0\0\0", "compressed with xz, not lines of text; read <(xzcat it.txt)"),
        (gzip.compress(gzip.compress(b"a\n", mtime=0), mtime=0), "compressed twice with gzip"),
        ("<?xml version='1.0'?>\n<doc>\n", "an XML file"),
        (MEMORY.format("utf-8"), "a translation memory (TMX), not lines of text; read it.txt:LANG"),
        ('{"en": "a", "de": "b"}\n', "JSON, not lines of text; read it.txt:FIELD, with one of en"),
        ('[{"en": "a"}]', "JSON, not lines of text; read it.txt:FIELD, with one of en"),
        ('{\n "data": []\n}', "a JSON object, not lines of text"),
        ("a\tb\nc\td\ne\tf\n", "a table with 2 columns, not lines of text; read one of them"),
        ('"a","b"\n"c, d","e"\n"f","g"\n', "a table with quoted cells (CSV)"),
        ("a\rb\rc\r", "a text whose lines end in CR alone, as on old Macs"),
        ("Hallo du\n".encode("utf-16-le") * 9, "likely utf-16-le without a byte-order mark"),
        ("Hallo du\n".encode("utf-16-be") * 9, "likely utf-16-be without a byte-order mark"),
        (b"\0\1\2\3\4\5" * 9, "binary data"),
        ("日本語\n".encode("iso2022_jp"), "likely iso2022_jp"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused_with_what_it_is(text: str | bytes, what: str) -> None:
    message = error_of("it.txt", text)
    assert message.startswith(f"it.txt is {what}"), message
    assert "--as-text insists" in message
    assert list(parse_text("it.txt", Reading(as_text=True)).lines(lambda warning: None))


@pytest.mark.parametrize(
    "text",
    [
        CSV,
        'en,de\n"A man, old",Ein Mann\nA dog,Ein Hund\n',
        'A dog;Ein Hund\n"The ""old"" man";Der Mann\nNo;Nein',
        'a,b\n"c, d",e\nf,g\n"cut where the block en',
        'a,b\n"c, d",e\nf,g\ncut where',
    ],
)
def test_csv_is_refused_under_any_name_by_quotes_that_cells_need(text: str) -> None:
    assert error_of("c.text", text) == (
        "c.text is a table with quoted cells (CSV), not lines of text; read c.text:1 for the first "
        "column (--as-text insists)"
    )


@pytest.mark.parametrize(
    ("start", "how"),
    [
        (b"BZh91", "… | bzcat | seq2seq …"),
        (gzip.compress(b"\x1f\x8b", mtime=0), "… | zcat | zcat | seq2seq …"),
        (b"PK\x03\x04....text.txt", "it from a file: <(unzip -p FILE)"),
        (b"7z\xbc\xaf\x27\x1c", "it from a file: <(7z x -so FILE)"),
        (b"PAR1", "it from a file: FILE.parquet:COLUMN"),
        (b"x" * 257 + b"ustar", "… | tar -xOf - NAME | seq2seq …"),
        (b"%PDF-1.7", "… | pdftotext - - | seq2seq …, or its text saved to a file"),
        (b"a\rb\rc\r", "… | tr '\\r' '\\n' | seq2seq …"),
        (b'{\n "data": []\n}', "its records as lines: jq -c '.FIELD[]' > FILE.jsonl"),
        (b"a\tb\nc\td\ne\tf\n", "one of them, as in -:1 or -:2"),
        (b'<tmx version="1.4">', "-:LANGUAGE, as in -:en"),
    ],
)
def test_what_standard_input_holds_is_read_by_a_command_in_the_pipe(start: bytes, how: str) -> None:
    file = Lines("standard input", Path("-"))
    if start.startswith(b"\x1f"):
        start = gzip.decompress(start)
    with pytest.raises(InputError) as raised:
        file.check(start)
    assert f", not lines of text; read {how} (--as-text insists)" in str(raised.value)


def test_lines_that_end_in_cr_are_recognised_before_a_last_lf() -> None:
    assert "lines end in CR alone" in error_of("mac.txt", "A man\r" * 200 + "\n")
    assert read("dos.txt", "A\r\n" * 200)[0] == ["A"] * 200


@pytest.mark.parametrize(
    ("asked", "proposed"),
    [
        ("cc.csv:en", "c.csv:en"),
        ("c.cvs:en", "c.csv:en"),
        ('c.csv: "en"', "'c.csv:\"en\"'"),
        ("cc.csv", "c.csv"),
    ],
)
def test_a_missing_table_is_proposed_with_the_column(asked: str, proposed: str) -> None:
    Path("c.csv").write_text(CSV)
    with pytest.raises(InputError) as raised:
        open_input(Path("cc.csv")) if asked == "cc.csv" else read(asked)
    assert str(raised.value).endswith(f": no such file; did you mean {proposed}?")
    with pytest.raises(InputError) as before:
        check_paths([parse_text(asked)] if ":" in asked else [plain_lines(Path(asked))], [])
    assert str(before.value) == str(raised.value)


def test_a_column_of_lines_is_refused_as_text_without_columns() -> None:
    assert error_of("train.en:en", "The man sleeps.\nThe dog barks.\n") == (
        "train.en holds lines of text, not a table: leave out :en"
    )
    assert error_of("train.en:2") == "train.en holds lines of text, not a table: leave out :2"
    assert error_of("one.csv:x", "en\na\n") == "one.csv has no field x; it has 1, en"
    assert read("named.txt:en", "en\na\n")[0] == ["a"]


def test_parquet_from_a_pipe_needs_a_file() -> None:
    begun = BegunInput(io.BytesIO(b"PAR1..."))
    file = Parquet("standard input", Path("-"), begun=begun)
    with pytest.raises(InputError, match="is read from its end; save it to a file"):
        list(file.rows(("en",), pytest.fail))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[{"a": "x"}, {"a": "y"', "element 2: not JSON (Expecting ',' delimiter)"),
        ('[{"a": "x"},', "element 2: not JSON (Expecting value)"),
    ],
)
def test_an_array_that_is_cut_off_says_after_which_element(text: str, where: str) -> None:
    assert f"cut.json, {where}: the file is cut off or invalid after element 1;" in error_of(
        "cut.json:a", text
    )
    assert "cut.json, element 1: the file is cut off after it" in error_of(
        "cut.json:a", '[{"a": "x"}'
    )


def test_rows_that_need_a_remark_are_named_in_order() -> None:
    _, warnings = read("gap.tsv:2", "x\ty\n" * 2 + "\nshort\nx\ty\n")
    assert "(lines 3, 4)" in warnings[0]


def test_a_short_text_of_broken_lines_names_its_encoding() -> None:
    name = "greek.txt"
    text = "Ο άνδρας κοιμάται.\nΈνα παιδί παίζει.\nΗ γυναίκα διαβάζει ένα βιβλίο.\n"
    lines, [warning] = read(name, text.encode("iso8859_7"))
    assert len(lines) == 3
    assert "; they may be " in warning
    encoding = warning.split("--encoding ")[1].split()[0]
    assert read(name, encoding=encoding)[0][0] == "Ο άνδρας κοιμάται."
    assert "may be" not in read(name, "Ο άνδρας\n".encode("iso8859_7") + b"one\ntwo\n")[1][0]


def test_a_table_named_as_such_can_be_read_as_lines() -> None:
    Path("w.tsv").write_text("a\tb\nc\td\n")
    assert [*parse_text("w.tsv", Reading(as_text=True)).lines(pytest.fail)] == ["a\tb", "c\td"]


@pytest.mark.parametrize(
    "text",
    [
        "a\tb\nc d\ne\tf\n",  # tabs, but not in each line
        "\tindented\n\tlines\n\tof text\n",
        "[Music]\n[1] See page 3.\n{curly} start\n",
        '"Come!"\n"No," he said, "never."\n"Yes."\n',
        '"No, no", she said.\n' * 4,
        '"No, no", she said.\nYes, he said.\nHe said, "No, no"\n',
        '"你好,世界",他说\n' * 4,
        "A man, old\nA dog, young\nA cat, here\n",
        "1,000 men\n2,000 men\n3,000 men\n",
        "<b>bold</b> text\n< 3 >\n",
        "1\n2\n3\n",
        "a\rb\n",
        "BZ is short\n",
        "one\0two\n",
    ],
)
def test_text_that_only_resembles_something_is_read(text: str) -> None:
    assert read("t.txt", text) == (text.removesuffix("\n").split("\n"), [])


def test_a_line_that_goes_on_after_the_first_block_is_not_judged() -> None:
    assert sampled_lines(b"a\tb\r\nc\td\ne") == ["a\tb", "c\td"]
    assert sampled_lines(b"a") == ["a"]
    rows = "".join(f"{number}\ttext\n" for number in range(20))
    message = error_of("c.txt", f"{rows}{'x' * READ_BYTES}\ty\n")
    assert message.startswith("c.txt is a table with 2 columns")


def test_a_pipe_is_looked_into_and_then_read_from_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Standard:
        buffer = io.BytesIO(b"1\tx\n2\ty\n3\tz\n")

        def fileno(self) -> int:
            raise io.UnsupportedOperation

    monkeypatch.setattr("sys.stdin", Standard())
    [corpus] = parse_corpora(["-:1"], ["-:2"])
    assert list(corpus.pairs(pytest.fail)) == [("1", "x"), ("2", "y"), ("3", "z")]

    Standard.buffer = io.BytesIO(b"1\tx\n2\ty\n3\tz\n")
    [corpus] = parse_corpora(["-:1"], ["-:2"])
    Path("copies").mkdir()
    corpus = corpus.make_rereadable(Path("copies"))
    for _ in range(2):
        assert list(corpus.pairs(pytest.fail)) == [("1", "x"), ("2", "y"), ("3", "z")]
