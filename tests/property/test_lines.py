"""Whatever bytes come in, a line is what `wc -l` counts, and every way of reading agrees."""

import gzip
import io
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.inputs import Reading
from seq2seq_cli.messages import ignore_warning
from seq2seq_cli.text import arriving_lines, read_lines, write_lines

ANY_BYTES = Reading(as_text=True)  # or else many broken lines are refused

# Characters that other tools take for line ends, or that tempt a reader to drop something.
TRAPS = "\n\r\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\x00\x1a\ufeff \t"
odd_text = st.text(st.one_of(st.sampled_from(TRAPS), st.characters(exclude_categories=["Cs"])))
odd_bytes = st.one_of(
    odd_text.map(str.encode),
    st.binary(),
    st.lists(st.sampled_from([b"\n", b"\r", b"\xef\xbb\xbf", b"\xff", b"a", b"\xe2\x80\xa8"])).map(
        b"".join
    ),
    st.builds(bytes.__add__, st.sampled_from([b"\xff\xfe", b"\xfe\xff"]), st.binary()),
)
block_sizes = st.integers(min_value=1, max_value=7)
limits = st.integers(min_value=1, max_value=5)


class Dribble(io.BytesIO):
    """A stream that hands over a few bytes at a time, as a slow pipe does."""

    def __init__(self, data: bytes, block_size: int) -> None:
        super().__init__(data)
        self.block_size = block_size

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(self.block_size)


def lines_of_file(data: bytes) -> list[str]:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        path.write_bytes(data)
        return list(read_lines(path, ignore_warning, reading=ANY_BYTES))


@given(odd_bytes)
def test_counts_lines_as_wc_does(data: bytes) -> None:
    without_end = bool(data) and not data.endswith(b"\n")
    # What begins as gzip does is taken for it, so keep that out of this test.
    expected = (b"x" + data).count(b"\n") + (without_end or not data)
    assert len(lines_of_file(b"x" + data)) == expected


@given(odd_text)
def test_keeps_every_character_of_a_line(text: str) -> None:
    lines = lines_of_file(("x" + text).encode())
    assert lines == [
        line.removesuffix("\r") for line in ("x" + text).removesuffix("\n").split("\n")
    ]


@given(odd_bytes, block_sizes, limits, st.booleans())
def test_arriving_lines_are_the_lines_of_the_file(
    data: bytes, block_size: int, limit: int, compressed: bool
) -> None:
    data = gzip.compress(data) if compressed else b"x" + data
    stream = Dribble(data, block_size)
    arrived = list(arriving_lines(stream, "pipe", limit, ignore_warning, ANY_BYTES))
    assert [line for lines in arrived for line in lines] == lines_of_file(data)
    assert all(1 <= len(lines) <= limit for lines in arrived)


@given(st.lists(odd_text.map(lambda text: text.replace("\n", " ").rstrip("\r"))))
def test_written_lines_are_read_back(lines: list[str]) -> None:
    lines = ["first", *lines]  # a U+FEFF at the very start would be a byte-order mark
    with TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        write_lines(path, lines)
        assert list(read_lines(path, ignore_warning)) == lines
