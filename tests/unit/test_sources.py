"""Every format gives the same pairs, and errors name the source and what is wrong."""

import gzip
import json
import re
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from seq2seq_cli.data.parallel import parse_corpora, read_parallel
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import Reading

PAIRS = [("a b", "c"), ("„d“ e\tf", "g\u2028h"), ("", "i"), ("j", "k l")]
TABLE = [(source.replace("\t", " "), target) for source, target in PAIRS]


def records(source: str = "en", target: str = "de") -> list[dict[str, str]]:
    return [{"id": "x", source: one, target: other} for one, other in PAIRS]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the pairs in every format, and the working directory."""
    nested = [{"translation": {"en": one, "de": other}} for one, other in PAIRS]
    lines = ["\t".join((other, "x", one)) for one, other in TABLE]
    as_json = "".join(json.dumps(record) + "\n\n" for record in records())
    for name, text in {
        "text.en": "".join(f"{one}\n" for one, _ in PAIRS),
        "text.de": "".join(f"{other}\n" for _, other in PAIRS),
        "bare.tsv": "".join(f"{line}\n" for line in lines),
        "head.tsv": "".join(f"{line}\n" for line in ("de\tid\ten", *lines)),
        "flat.jsonl": as_json,
        "nested.jsonl": "".join(json.dumps(record) + "\n" for record in nested),
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    for name, rows in (("flat", records()), ("nested", nested)):
        table = pyarrow.Table.from_pylist(rows)
        pyarrow.parquet.write_table(table, tmp_path / f"{name}.parquet", row_group_size=2)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text(as_json.replace("\n\n", "\n"), encoding="utf-8")
    saved = datasets.DatasetDict({"dev": datasets.Dataset.from_list(nested)})
    saved.save_to_disk(tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("text.en", "text.de"),
        ("text.en.gz", "flat.jsonl:de"),
        ("bare.tsv:3", "bare.tsv:1"),
        ("head.tsv:en", "head.tsv:de"),
        ("head.tsv.gz:en", "head.tsv.gz:1"),
        ("flat.jsonl:en", "flat.jsonl:de"),
        ("nested.jsonl.gz:translation.en", "text.de"),
        ("flat.parquet:en", "flat.parquet:de"),
        ("nested.parquet:translation.en", "nested.parquet:translation.de"),
        ("hf:set:train:en", "hf:set:train:de"),
        ("hf:set:default:train:en", "text.de"),
        ("hf:saved:dev:translation.en", "hf:saved:dev:translation.de"),
        ("hf:saved/dev:train:translation.en", "hf:saved/dev:train:translation.de"),
    ],
)
def test_the_same_pairs_are_read_from_every_format(
    source: str, target: str, streamed: bool
) -> None:
    [corpus] = parse_corpora([source], [target], streamed=streamed)
    expected = TABLE if "tsv" in source else PAIRS
    for _ in range(2):
        assert list(corpus.pairs(pytest.fail)) == expected


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("flat.jsonl", "flat.jsonl holds more than one text; say which, as in flat.jsonl:id"),
        ("head.tsv", "It has 1, 2, 3, de, id, en"),
        ("flat.parquet", "It has id, en, de"),
        ("head.tsv:english", "head.tsv has no field english; it has 1, 2, 3, de, id, en"),
        ("bare.tsv:4", "bare.tsv, line 1: there is no column 4, the line has 3"),
        ("flat.jsonl:dee", "no field dee; it has id, en, de; did you mean de?"),
        ("nested.jsonl:en", "line 1 has no field en; it has translation.en, translation.de"),
        ("nested.jsonl:translation", "translation is not text"),
        ("flat.parquet:fr", "flat.parquet has no field fr; it has id, en, de"),
        ("hf:set:train", "hf:set:train: add the field, as in hf:set:train:FIELD; there are id, en"),
        ("hf:set", "hf:set: write hf:NAME:SPLIT:FIELD or hf:NAME:CONFIG:SPLIT:FIELD"),
        ("hf:set:test:en", 'hf:set:test cannot be loaded: Unknown split "test"'),
        ("hf:saved:test:en", "hf:saved:test: there is no split test; saved has dev"),
        ("hf:set:train:fr", "row 1 has no field fr; it has id, en, de"),
        ("gone.parquet:en", "gone.parquet: no such file"),
        ("broken.jsonl:en", "broken.jsonl, line 2: not JSON"),
        ("broken.parquet:en", "broken.parquet is not a Parquet file"),
    ],
)
def test_errors_name_the_source_and_what_is_wrong(source: str, message: str) -> None:
    Path("broken.jsonl").write_text('{"en": "a"}\n{"en": \n')
    Path("broken.parquet").write_text("no table")
    with pytest.raises(InputError, match=re.escape(message)):
        read_parallel(parse_corpora([source], ["text.de"]), pytest.fail)


@pytest.mark.usefixtures("folder")
def test_several_corpora_are_paired_one_by_one() -> None:
    both = parse_corpora(["text.en", "flat.jsonl:en"], ["text.de", "flat.jsonl:de"])
    assert read_parallel(both, pytest.fail).source == ["a b", PAIRS[1][0], "j"] * 2
    one_side = parse_corpora(["text.en", "text.en"], ["long.de"])
    Path("long.de").write_text("x\n" * 8)
    assert len(read_parallel(one_side, pytest.fail).source) == 6
    Path("long.de").write_text("x\n" * 5)
    with pytest.raises(InputError, match=re.escape("text.en has 4 lines but long.de has 5")):
        read_parallel(parse_corpora(["text.en", "text.en"], ["text.de", "long.de"]), pytest.fail)


@pytest.mark.usefixtures("folder")
def test_digests_differ_by_field_format_and_content() -> None:
    named = [
        ("flat.jsonl:en", "flat.jsonl:de"),
        ("flat.jsonl:de", "flat.jsonl:en"),
        ("flat.jsonl:en", "text.de"),
        ("text.en", "text.de"),
        ("hf:set:train:en", "hf:set:train:de"),
    ]
    digests = [json.dumps(parse_corpora([one], [other])[0].digest()) for one, other in named]
    assert len(set(digests)) == len(named)
    readings = [Reading(), Reading(delimiter=";"), Reading("cp1252"), Reading("cp1252", ";")]
    read = [parse_corpora(["text.en"], ["text.de"], each)[0].digest() for each in readings]
    assert len(set(map(json.dumps, read))) == len(readings)
    Path("moved.en").write_bytes(Path("text.en").read_bytes())
    assert json.dumps(parse_corpora(["moved.en"], ["text.de"])[0].digest()) == digests[3]
