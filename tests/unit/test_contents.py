"""Files that a run reads are told from what they were by hashes."""

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


def test_a_file_that_is_not_there_has_no_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    files = files_at([str(tmp_path / "a"), str(tmp_path / "b")], "data.alignments")
    first, second = files.hashes()["data.alignments"]
    assert (len(first), second) == (64, "")
