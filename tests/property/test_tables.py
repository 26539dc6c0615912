"""Whatever text cells hold, a row is one line, and what was written is what is read."""

import csv
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.data.parallel import parse_corpora
from seq2seq_cli.inputs import Reading
from seq2seq_cli.messages import ignore_warning

TRAPS = "\n\r\t\",;|'\\{}[]:\u2028\x85\x0b\x00\ufeff "
texts = st.text(st.one_of(st.sampled_from(TRAPS), st.characters(exclude_categories=["Cs"])))
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=8)
READING = Reading(delimiter=",", as_text=True)


def pairs_of(path: Path, source: str, target: str) -> list[tuple[str, str]]:
    [corpus] = parse_corpora([f"{path}:{source}"], [f"{path}:{target}"], READING)
    return list(corpus.pairs(ignore_warning))


def one_line(text: str) -> str:
    return re.sub(r"\s*\r?\n\s*", " ", text).strip() if "\n" in text else text


@given(pairs)
def test_cells_of_csv_are_read_as_they_were_written(rows: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "table.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("id", "s", "t"), *(("x", *row) for row in rows)])
        expected = [tuple(map(one_line, row)) for row in rows]
        assert pairs_of(path, "s", "t") == expected
        assert pairs_of(path, "2", "3")[1:] == expected


@given(pairs)
def test_fields_of_json_are_read_as_they_were_written(rows: list[tuple[str, str]]) -> None:
    records = [{"s": one, "t": {"x": [other]}} for one, other in rows]
    expected = [tuple(map(one_line, row)) for row in rows]
    with TemporaryDirectory() as directory:
        path = Path(directory) / "records"
        for text in (
            "".join(json.dumps(record) + "\n" for record in records),
            json.dumps(records, ensure_ascii=False),
            json.dumps(records, indent=1),
        ):
            path.write_text(text, encoding="utf-8")
            assert pairs_of(path, "s", "t.x.0") == expected
