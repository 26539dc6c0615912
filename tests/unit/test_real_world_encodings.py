"""Texts in the encodings that people have: read, or refused with the likeliest name."""

import gzip
import io
from pathlib import Path

import pytest

from seq2seq_cli.encodings import likeliest_encoding
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import Reading
from seq2seq_cli.messages import ignore_warning
from seq2seq_cli.text import arriving_lines, read_lines

GERMAN = "Die Katze schläft.\nEr fährt über die Brücke.\nSchöne Grüße aus München!\n"
RUSSIAN = "Мужчина едет на велосипеде.\nСтарая женщина читает книгу.\n"
CHINESE = "现在，我吃书。\n一个男人在骑自行车。\n"
JAPANESE = "男が自転車に乗っている。\n子供たちが公園で遊んでいます。\n"
KOREAN = "한 남자가 자전거를 타고 있다.\n아이들이 공원에서 놀고 있다.\n"
ARABIC = "رجل يركب دراجة.\nالأطفال يلعبون في الحديقة.\n"


def write(path: Path, text: str, encoding: str) -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_byte_order_mark_says_the_encoding(
    tmp_path: Path, encoding: str, compressed: bool
) -> None:
    text = GERMAN + CHINESE + "𐍈 \u2028 Ċ\n"  # U+010A ends in the byte of a line feed
    data = text.encode(encoding)  # which writes the mark, except where the byte order is given
    if encoding == "utf-16-be":
        data = "\ufeff".encode(encoding) + data
    path = tmp_path / "text"
    path.write_bytes(gzip.compress(data) if compressed else data)
    assert list(read_lines(path, pytest.fail)) == text.split("\n")[:-1]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (CHINESE, "gb18030"),
        (JAPANESE, "cp932"),
        (KOREAN, "cp949"),
        (ARABIC, "cp1256"),
    ],
)
def test_a_file_in_another_encoding_is_refused_and_read_with_the_name(
    tmp_path: Path, text: str, encoding: str
) -> None:
    path = write(tmp_path / "old", text * 3, encoding)
    assert likeliest_encoding(text.encode(encoding) * 3) == encoding
    with pytest.raises(InputError) as raised:
        list(read_lines(path, pytest.fail))
    assert f"It is likely {encoding}: read it with --encoding {encoding};" in str(raised.value)
    assert "lines are broken (lines 1, 2, 3, 4, 5, …)" in str(raised.value)
    reading = Reading(encoding=encoding)
    assert list(read_lines(path, pytest.fail, reading=reading)) == (text * 3).split("\n")[:-1]


def test_single_broken_lines_are_counted_in_one_warning(tmp_path: Path) -> None:
    lines = [b"ab"] * 5000
    for number in (17, 240, 3001, 3002, 4000, 4500, 5000):
        lines[number - 1] = b"sch\xf6n"
    path = tmp_path / "text"
    path.write_bytes(b"\n".join(lines))
    warnings: list[str] = []
    read = list(read_lines(path, warnings.append))
    assert (len(read), read[16]) == (5000, "sch\ufffdn")
    assert warnings == [
        f"{path}: 7 lines are not valid UTF-8, broken bytes are replaced by U+FFFD "
        "(lines 17, 240, 3,001, 3,002, 4,000, …); they may be cp1252, which --encoding cp1252 reads"
    ]


def test_one_broken_line_in_a_hundred_is_still_a_blemish(tmp_path: Path) -> None:
    path = tmp_path / "text"
    for whole, is_read in ((594, True), (593, False)):
        path.write_bytes(b"ab\n" * whole + b"sch\xf6n\n" * 6)
        if is_read:
            assert len(list(read_lines(path, ignore_warning))) == 600
        else:
            with pytest.raises(InputError, match="6 of the first 599 lines are broken"):
                list(read_lines(path, ignore_warning))


def test_half_a_character_at_the_end_is_broken_and_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes("ab\ncd".encode("utf-16") + b"e")
    warnings: list[str] = []
    assert list(read_lines(path, warnings.append)) == ["ab", "cd\ufffd"]
    assert len(warnings) == 1


def test_insisting_reads_what_is_broken(tmp_path: Path) -> None:
    path = write(tmp_path / "old", GERMAN * 4, "latin-1")
    warnings: list[str] = []
    assert len([*read_lines(path, warnings.append, reading=Reading(as_text=True))]) == 12
    assert len(warnings) == 1


def test_a_pipe_in_another_encoding_is_refused_too() -> None:
    stream = io.BytesIO(RUSSIAN.encode("koi8-r") * 9)
    with pytest.raises(InputError, match=r"pipe is not UTF-8.*--encoding koi8_r"):
        list(arriving_lines(stream, "pipe", 100, ignore_warning))


def test_text_in_utf8_is_read_as_such_beside_another_encoding(tmp_path: Path) -> None:
    path = write(tmp_path / "new", GERMAN + RUSSIAN, "utf-8")
    warnings: list[str] = []
    read = [*read_lines(path, warnings.append, reading=Reading(encoding="cp1251"))]
    assert read == (GERMAN + RUSSIAN).split("\n")[:-1]
    assert warnings == [f"{path} is UTF-8, and is read as such in spite of --encoding cp1251"]


def test_a_few_characters_that_may_be_utf8_are_read_as_the_user_says(tmp_path: Path) -> None:
    path = write(tmp_path / "short", "schön\n", "utf-8")
    warnings: list[str] = []
    assert [*read_lines(path, warnings.append, reading=Reading(encoding="cp1252"))] == ["schÃ¶n"]
    assert warnings == [f"{path} may be UTF-8; it is read as cp1252, as --encoding says"]


def test_the_first_characters_beyond_ascii_tell_the_encoding(tmp_path: Path) -> None:
    path = write(tmp_path / "new", "plain line\n" * 20_000 + RUSSIAN, "utf-8")
    warnings: list[str] = []
    read = [*read_lines(path, warnings.append, reading=Reading(encoding="cp1252"))]
    assert read[-2:] == RUSSIAN.split("\n")[:-1]
    assert len(warnings) == 1


def test_encodings_that_change_the_meaning_of_ascii_are_read(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "iso2022_jp", "utf-7", "hz"):
        text = CHINESE if encoding == "hz" else JAPANESE
        path = write(tmp_path / "text", text, encoding)
        read = list(read_lines(path, pytest.fail, reading=Reading(encoding=encoding)))
        assert read == text.split("\n")[:-1]


def test_bytes_that_the_given_encoding_lacks_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_bytes("ä\n".encode("shift_jis", "ignore") + JAPANESE.encode("shift_jis") + b"\xff\n")
    warnings: list[str] = []
    read = [*read_lines(path, warnings.append, reading=Reading(encoding="shift_jis"))]
    assert read[-1] == "\ufffd"
    assert warnings == [
        f"{path}: 1 line is not valid shift_jis, broken bytes are replaced by U+FFFD (line 4)"
    ]


@pytest.mark.parametrize("name", ["klingon", "base64", "rot13"])
def test_an_unknown_encoding_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"--encoding {name}: no such encoding"):
        Reading(encoding=name)
