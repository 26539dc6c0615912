"""The rules of reading lines one by one, its messages, and its behaviour on pipes."""

import gzip
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from seq2seq_cli import read_ahead, whole_files
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import STDIN, open_input
from seq2seq_cli.messages import counted_subject
from seq2seq_cli.text import arriving_lines, read_lines


def read(path: Path, data: bytes | None = None) -> list[str]:
    """Read a file, after writing it where data is given; any warning is a failure."""
    if data is not None:
        path.write_bytes(data)
    return list(read_lines(path, pytest.fail))


def test_wc_counts_the_same_lines(tmp_path: Path) -> None:
    path = tmp_path / "odd"
    text = "a\u2028b\x85c\x0cd\re\x00f\n\n\r\nlast\n"
    assert len(read(path, text.encode())) == int(
        subprocess.run(["wc", "-l", path], capture_output=True, check=True).stdout.split()[0]
    )


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r\r\nc\rd\r", ["a", "b\r", "c\rd"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (
            gzip.compress(b"a\nb\n", mtime=0) + gzip.compress(b"c\n", mtime=0) + b"\0\0",
            ["a", "b", "c"],
        ),
        (gzip.compress(b"", mtime=0), []),
        (b"\x1f\n", ["\x1f"]),
    ],
    ids=["empty", "blank", "no LF", "inner blank", "CR", "BOM", "gzip", "empty gzip", "half magic"],
)
def test_line_ends_marks_and_gzip(tmp_path: Path, data: bytes, lines: list[str]) -> None:
    assert read(tmp_path / "name.txt", data) == lines


def test_large_gzip_is_read_in_blocks(tmp_path: Path) -> None:
    lines = read(tmp_path / "large", gzip.compress(b"the same line\n" * 100_000))
    assert lines == ["the same line"] * 100_000


def test_invalid_utf8_is_replaced_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "latin1"
    path.write_bytes("gut\nschön\ngut\n".encode("latin-1"))
    warnings: list[str] = []
    assert list(read_lines(path, warnings.append)) == ["gut", "sch\ufffdn", "gut"]
    assert warnings == [
        f"{path}: 1 line is not valid UTF-8, broken bytes are replaced by U+FFFD (line 2)"
    ]


@pytest.mark.parametrize("damage", ["cut", "changed", "garbage behind"])
def test_damaged_gzip_names_the_file(tmp_path: Path, damage: str) -> None:
    whole = gzip.compress(b"some text\n" * 100)
    data = {"cut": whole[:-9], "changed": whole[:-8] + b"12345678", "garbage behind": whole + b"x"}
    with pytest.raises(InputError, match=r"corpus\.gz, after line \d+: damaged gzip data"):
        read(tmp_path / "corpus.gz", data[damage])


def test_missing_file_suggests_a_similar_name(tmp_path: Path) -> None:
    (tmp_path / "train.en").touch()
    with pytest.raises(InputError, match=r"trian\.en: no such file; did you mean .*/train\.en\?"):
        read(tmp_path / "trian.en")
    with pytest.raises(InputError, match=r"the directory .*/absent does not exist"):
        read(tmp_path / "absent" / "train.en")


def test_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory; name a text file"):
        read(tmp_path)


def test_closed_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        open_input(STDIN)


def test_a_line_arrives_at_once_while_the_pipe_stays_open() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as stream:
        lines = arriving_lines(stream, "pipe", 100, pytest.fail)
        os.write(writing, b"\n")
        assert next(lines) == [""]
        os.write(writing, b"one\ntw")
        assert next(lines) == ["one"]
        os.write(writing, b"o\nthree")
        assert next(lines) == ["two"]
        os.close(writing)
        assert next(lines) == ["three"]
        assert next(lines, None) is None


class Blocks(io.BytesIO):
    """A stream of given blocks, then an error or the end. It says when all blocks were taken."""

    def __init__(self, blocks: list[bytes], error: Exception | None = None) -> None:
        super().__init__()
        self.blocks = blocks
        self.error = error
        self.all_taken = threading.Event()
        self.go_on = threading.Event()

    def read1(self, size: int | None = -1, /) -> bytes:
        if self.blocks:
            return self.blocks.pop(0)
        self.all_taken.set()
        self.go_on.wait()
        if self.error:
            raise self.error
        return b""


def test_lists_fill_up_while_their_user_is_busy() -> None:
    stream = Blocks([b"%d\n" % number for number in range(20)])
    lines = arriving_lines(stream, "pipe", 100, pytest.fail)
    first = next(lines)
    assert stream.all_taken.wait(timeout=10)  # the user is busy, and all lines have come
    stream.go_on.set()
    others = list(lines)
    assert len(others) <= 1
    assert sum(map(len, [first, *others])) == 20


def test_reads_ahead_by_the_limit_and_one_block() -> None:
    stream = Blocks([b"line\n" * 1000 for _ in range(50)])
    lines = arriving_lines(stream, "pipe", 100, pytest.fail)
    assert len(next(lines)) == 100
    time.sleep(0.1)
    assert len(stream.blocks) == 49


def test_huge_lines_are_read_ahead_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", 3000)
    stream = Blocks([b"x" * 999 + b"\n" for _ in range(50)])
    lines = arriving_lines(stream, "pipe", 100, pytest.fail)
    assert all(len(each) <= 4 for each in (next(lines), next(lines)))
    time.sleep(0.1)
    assert len(stream.blocks) > 35


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), EOFError("it ends")])
def test_lines_before_a_failure_are_not_lost(error: Exception) -> None:
    stream = Blocks([b"one\ntwo\nhalf a li"], error)
    stream.go_on.set()
    arrived: list[str] = []
    lines = arriving_lines(stream, "pipe", 100, pytest.fail)
    with pytest.raises(InputError, match="pipe, after line 2: "):
        arrived.extend(line for each in lines for line in each)
    assert arrived == ["one", "two"]


def test_an_unexpected_error_of_the_reader_does_not_hang() -> None:
    stream = Blocks([], RuntimeError("unforeseen"))
    stream.go_on.set()
    with pytest.raises(RuntimeError, match="unforeseen"):
        list(arriving_lines(stream, "pipe", 100, pytest.fail))


def test_stopping_early_ends_the_thread() -> None:
    before = threading.active_count()
    lines = arriving_lines(Blocks([b"line\n" * 1000]), "pipe", 10, pytest.fail)
    next(lines)
    lines.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


STOP_EARLY = """
import sys
from seq2seq_cli.inputs import STDIN, open_input
from seq2seq_cli.text import arriving_lines
print(next(arriving_lines(open_input(STDIN), "standard input", 10, print)), flush=True)
sys.exit(3)
"""


def test_exit_while_standard_input_stays_open() -> None:
    """The waiting thread must not make the interpreter abort, as a locked sys.stdin does."""
    command = [sys.executable, "-c", STOP_EARLY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert process.stdout.read() == b"['hello']\n"
        assert process.wait(timeout=20) == 3


PRINT_ALL = """
from seq2seq_cli.inputs import STDIN
from seq2seq_cli.text import read_lines
print(list(read_lines(STDIN, print)))
"""


def test_gzip_on_standard_input() -> None:
    command = [sys.executable, "-c", PRINT_ALL]
    data = gzip.compress(b"a\nb\n")
    assert subprocess.run(command, input=data, capture_output=True).stdout == b"['a', 'b']\n"


@pytest.mark.parametrize("fails", [False, True])
def test_a_file_is_replaced_when_its_text_has_arrived_or_not_at_all(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    arrived: list[bytes] = []

    def fsync(descriptor: int) -> None:
        found = Path(f"/proc/self/fd/{descriptor}").resolve()
        if found.is_file():
            arrived.append(found.read_bytes())
            assert path.read_bytes() == b"before"
            if fails:
                raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    if fails:
        with pytest.raises(OSError, match="No space"):
            whole_files.replace_file(path, b"after")
    else:
        whole_files.replace_file(path, b"after")
    assert arrived == [b"after"]
    assert path.read_bytes() == (b"before" if fails else b"after")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 lines have"), (1, "1 line has"), (2000, "2,000 lines have"), (0.5, "0.5 lines have")],
)
def test_what_is_counted_agrees_with_its_number(count: float, said: str) -> None:
    assert counted_subject(count, "line", "have") == said
