"""Bytes to UTF-8: byte-order marks, text in other encodings, and lines that are broken.

Everything that reads text reads UTF-8. An input that begins with a byte-order mark of UTF-16 or
UTF-32 is in that encoding, and `--encoding` names any other. A few broken lines are a blemish of
the text, which one summary counts; more of them mean that the text is not UTF-8.
"""

import codecs
from collections.abc import Iterator

UTF8_MARK = b"\xef\xbb\xbf"
MARKS = (  # the longer before those that they begin with
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (UTF8_MARK, "utf-8"),
)
LONGEST_MARK = 4
NUMBERS_SHOWN = 5
FEW = 5  # lines, rows: more of them, and more than one in HUNDRED, are too many
HUNDRED = 100
SAMPLE_BYTES = 1 << 15  # of broken lines, for the detector
COMMON = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("iso8859_2", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8", "iso8859_15"),
    *("koi8_r", "koi8_u", "cp866", "mac_cyrillic", "mac_roman", "cp437", "cp850", "cp852"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949", "tis_620", "utf_16_le", "utf_16_be"),
)  # that the detector chooses from; it finds rare ones in short texts
LEAST_CHAOS, LEAST_COHERENCE = 0.02, 0.05  # smaller differences are chance
CERTAIN = 10  # characters of valid UTF-8 that are not ASCII; as many do not occur by chance
REPLACED = "\ud800"  # stands for broken bytes between two encodings
BROKEN = b"\xff"  # never occurs in UTF-8


def check_encoding(name: str) -> str:
    """Return the name of an encoding of text. Raises LookupError for any other name."""
    codec = codecs.lookup(name)
    if not getattr(codec, "_is_text_encoding", True):
        raise LookupError(f"{name} is not an encoding of text")
    return codec.name


def may_begin_mark(start: bytes) -> bool:
    """Whether more bytes are needed to tell if an input begins with a byte-order mark."""
    return any(mark.startswith(start) and mark != start for mark, _ in MARKS)


def mark_encoding(start: bytes) -> str:
    """The encoding whose byte-order mark an input begins with, or ""."""
    return next((encoding for mark, encoding in MARKS if start.startswith(mark)), "")


def utf8_characters(start: bytes) -> int:
    """How many characters a first block of UTF-8 has that are not ASCII; 0 if it is not UTF-8."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # the last one may be cut
    except UnicodeDecodeError:
        return 0
    return sum(not character.isascii() for character in text)


def keeps_ascii(encoding: str) -> bool:
    """Whether ASCII bytes mean ASCII in an encoding, and nothing else."""
    ascii_bytes = bytes(range(128))
    others = ("éжΩأאก한日".encode(encoding, "ignore")).translate(None, ascii_bytes)
    return bool(others) and ascii_bytes.decode(encoding, "replace") == ascii_bytes.decode("ascii")


def transcoded(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield text in UTF-8; broken bytes become one that is broken in UTF-8 too."""
    decoder = codecs.getincrementaldecoder(encoding)(_REPLACE)
    for block in blocks:
        if text := decoder.decode(block):
            yield _as_utf8(text)
    if text := decoder.decode(b"", final=True):
        yield _as_utf8(text)


def _as_utf8(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return data.replace(REPLACED.encode("utf-8", "surrogatepass"), BROKEN)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return REPLACED, error.end


_REPLACE = "seq2seq-replace"
codecs.register_error(_REPLACE, _replace)


def likeliest_encoding(data: bytes) -> str:
    """The encoding that bytes are likeliest in, by charset-normalizer; "" if it finds none."""
    import logging

    from charset_normalizer import from_bytes

    logging.getLogger("charset_normalizer").setLevel(logging.CRITICAL)
    found = [*from_bytes(data, cp_isolation=[*COMMON])]
    if not found:
        return ""
    tidy = [each for each in found if each.chaos <= found[0].chaos + LEAST_CHAOS]
    coherence = max(each.coherence for each in tidy)
    # Of those that make equally good text of these bytes, name the one that is most common.
    names: set[str] = {
        name
        for each in tidy
        if each.coherence >= coherence - LEAST_COHERENCE
        for name in (each.encoding, *each.could_be_from_charset)
    }
    return next(name for name in (*COMMON, *names) if name in names)


def too_many(count: int, total: int) -> bool:
    """Whether so many lines or rows are wrong that all must be meant otherwise."""
    return count > FEW and count * HUNDRED > total


class Numbers:
    """How many lines or rows something is true of, and the first of their numbers."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[int] = []

    def add(self, number: int) -> None:
        self.count += 1
        if self.count <= NUMBERS_SHOWN:
            self.first.append(number)

    def named(self, noun: str) -> str:
        """The numbers as messages show them, such as "line 7" or "lines 1, 2, 3, 4, 5, …"."""
        listed = ", ".join(f"{number:,}" for number in sorted(self.first))
        more = ", …" if self.count > len(self.first) else ""
        return f"{noun if self.count == 1 else noun + 's'} {listed}{more}"


class BrokenLines(Numbers):
    """The lines of an input that are not valid UTF-8."""

    def __init__(self) -> None:
        super().__init__()
        self._sample = bytearray()

    def add_line(self, number: int, raw: bytes) -> None:
        self.add(number)
        if len(self._sample) < SAMPLE_BYTES:
            self._sample += raw[:SAMPLE_BYTES] + b"\n"

    def likeliest_encoding(self) -> str:
        """The encoding that the lines are likeliest in, or ""."""
        return likeliest_encoding(bytes(self._sample))
