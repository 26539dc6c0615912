"""Files that a run reads are told from what they were by hashes."""

import gzip
import hashlib
from pathlib import Path

import pytest

from seq2seq_cli.data.contents import (
    SAMPLE_BYTES,
    SAMPLES,
    InputFile,
    InputFiles,
    files_at,
    files_of_corpora,
)
from seq2seq_cli.data.parallel import parse_corpora
from seq2seq_cli.inputs import Reading

SIDES = ("data.source", "data.target")


def test_only_files_whose_content_was_known_and_differs_have_changed() -> None:
    now = InputFiles(
        (
            InputFile("data.source", "a", "1"),
            InputFile("data.source", "b", "2"),
            InputFile("data.source", "pipe", ""),
            InputFile("data.source", "c", "3"),
            InputFile("data.target", "d", "4"),
        )
    )
    assert now.changed(now.hashes()) == []
    assert now.changed({}) == []
    assert now.changed({"data.source": ["1", "9", "9", ""]}) == ["b (data.source)"]
    assert now.changed({"data.source": ["9"], "data.target": ["9"]}) == [
        "a (data.source)",
        "d (data.target)",
    ]


@pytest.mark.parametrize("place", [0, -1, "longer"])
def test_a_large_file_that_changes_at_its_ends_or_in_size_has_another_hash(
    place: int | str, tmp_path: Path
) -> None:
    text = bytearray(b"line\n" * (2 * SAMPLES * SAMPLE_BYTES // 5))
    for name in SIDES:
        (tmp_path / name).write_bytes(text)
    paths = [str(tmp_path / name) for name in SIDES]
    corpora = parse_corpora(paths[:1], paths[1:])
    before = files_of_corpora(corpora, SIDES, whole=False)
    assert files_of_corpora(corpora, SIDES, whole=False) == before
    if isinstance(place, int):
        text[place] = ord("x")
    else:
        text[SAMPLE_BYTES:SAMPLE_BYTES] = b"line\n"
    (tmp_path / SIDES[1]).write_bytes(text)
    after = files_of_corpora(corpora, SIDES, whole=False)
    assert after.changed(before.hashes()) == [f"{paths[1]} (data.target)"]


def test_a_compressed_copy_is_the_same_text(tmp_path: Path) -> None:
    texts = {"a": "one\ntwo\n", "b": "eins\nzwei\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))

    def files(*names: str) -> InputFiles:
        source, target = (str(tmp_path / name) for name in names)
        corpora = parse_corpora([source], [target], Reading(encoding="latin-1"))
        return files_of_corpora(corpora, SIDES) + files_at([target], "data.alignments")

    before = files("a", "b")
    assert files("a", "b.gz").changed(before.hashes()) == []
    (tmp_path / "a").write_text("one\n2\n")
    assert files("a", "b.gz").changed(before.hashes()) == [f"{tmp_path}/a (data.source)"]


@pytest.mark.parametrize("size", [10, 3 * SAMPLES * SAMPLE_BYTES])
def test_a_compressed_copy_of_a_stream_is_the_same_text(size: int, tmp_path: Path) -> None:
    text = bytearray(b"a line\n" * (size // 7 + 1))
    paths = [str(tmp_path / name) for name in ("a", "b.gz")]

    def files(name: str) -> InputFiles:
        corpora = parse_corpora([str(tmp_path / name)], [paths[0]])
        return files_of_corpora(corpora, SIDES, whole=False)

    Path(paths[0]).write_bytes(text)
    before = files("a").hashes()
    Path(paths[1]).write_bytes(gzip.compress(text, 1))
    assert files("b.gz").changed(before) == []
    assert files("b.gz").files[0].compressed  # the hash that older checkpoints have
    text[-2] = ord("x")
    Path(paths[1]).write_bytes(gzip.compress(text, 1))
    assert files("b.gz").changed(before) == [f"{paths[1]} (data.source)"]
    damaged = Path(paths[1]).read_bytes()[:-9]
    Path(paths[1]).write_bytes(damaged)  # is said when it is read
    assert files("b.gz").changed(before) == [f"{paths[1]} (data.source)"]


def test_a_compressed_file_is_known_by_the_hash_that_older_checkpoints_have(tmp_path: Path) -> None:
    path, changed = tmp_path / "a.gz", tmp_path / "b.gz"
    for file, text in ((path, b"one\n"), (changed, b"two\n")):
        file.write_bytes(gzip.compress(text))
    before = {"data.alignments": [hashlib.sha256(path.read_bytes()).hexdigest()]}
    assert files_at([str(path)], "data.alignments").changed(before) == []
    assert files_at([str(changed)], "data.alignments").changed(before) != []


def test_a_file_that_is_not_there_has_no_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    files = files_at([str(tmp_path / "a"), str(tmp_path / "b")], "data.alignments")
    first, second = files.hashes()["data.alignments"]
    assert (len(first), second) == (64, "")
