"""Which files make up a model of Firefox or Bergamot, and what they hold once decompressed.

    model.enes.intgemm.alphas.bin    the weights, in Marian's binary container
    vocab.enes.spm                   or srcvocab.enes.spm and trgvocab.enes.spm
    lex.50.50.enes.s2t.bin           likely translations of each source token; may be missing

Each may be compressed: .gz, .zst.
"""

import gzip
import io
import mmap
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.marian.binary import Buffer, is_binary

MAX_LENGTH = 128  # tokens at which Firefox divides a sentence
COMPRESSED = (".gz", ".zst")
GZIP, ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # what such files begin with
MOST_GROWTH, FREE_BYTES = 20, 1 << 28  # of compressed files: weights hardly shrink
MODEL, VOCABULARY = ".bin", ".spm"
SHORTLIST = re.compile(r"(lex\b.*|.*\.s2t)(\.bin|\.txt)?")
LANGUAGES = re.compile(r"\.([a-z]{2,3})-?([a-z]{2,3})(?=\.)")  # in names such as model.enes.bin


@dataclass(frozen=True)
class FirefoxFiles:
    """The files of a model; both vocabularies are one file where the sides share it."""

    model: Path
    source: Path
    target: Path
    shortlist: Path | None

    @property
    def source_language(self) -> str:
        """The source language that the name of the model says, or ""."""
        found = LANGUAGES.search(self.model.name)
        return found[1] if found else ""


def plain_name(path: Path) -> str:
    """The name of a file without the suffix of its compression."""
    return path.stem if path.suffix in COMPRESSED else path.name


def is_model(path: Path) -> bool:
    """Whether a file is a model, or damaged one: by its beginning, after decompression."""
    if not path.is_file() or not plain_name(path).endswith(MODEL) or is_shortlist(path):
        return False
    try:
        with _opened(path) as stream:
            return is_binary(stream.read(16))
    except InputError:
        return path.suffix == ".zst"  # the package to tell is missing
    except (OSError, EOFError, zlib.error):
        return False


def is_shortlist(path: Path) -> bool:
    """Whether a file is a shortlist, by its name."""
    return SHORTLIST.fullmatch(plain_name(path)) is not None


def models_in(folder: Path) -> list[Path]:
    """The files of a folder that are models."""
    return sorted(path for path in folder.iterdir() if is_model(path))


def find_files(path: Path) -> FirefoxFiles:
    """Find the files of a model, by its folder or its file of weights.

    Raises InputError if one is missing or it is not clear which belong together.
    """
    folder = path if path.is_dir() else path.parent
    model = _only(models_in(folder), folder, "model, model.bin,") if path.is_dir() else path
    others = sorted(each for each in folder.iterdir() if each.is_file())
    vocabularies = [each for each in others if plain_name(each).endswith(VOCABULARY)]
    sources = [each for each in vocabularies if each.name.startswith(("src", "source"))]
    targets = [each for each in vocabularies if each.name.startswith(("trg", "tgt", "target"))]
    if sources or targets:
        source = _only(sources, folder, "source vocabulary, srcvocab.spm,")
        target = _only(targets, folder, "target vocabulary, trgvocab.spm,")
    else:
        source = target = _only(vocabularies, folder, "vocabulary, vocab.spm,")
    shortlists = [each for each in others if is_shortlist(each)]
    shortlist = _only(shortlists, folder, "shortlist") if shortlists else None
    return FirefoxFiles(model, source, target, shortlist)


def _only(found: Sequence[Path], folder: Path, kind: str) -> Path:
    """The one file, whatever its compression. Raises InputError if there is none or several."""
    if len({plain_name(each) for each in found}) > 1:
        names = ", ".join(each.name for each in found)
        raise InputError(
            f"{folder} has more than one {kind} ({names}); put each model into a folder of its own"
        )
    require(bool(found), f"{folder} is no whole model of Firefox: it has no {kind} file")
    return min(found, key=lambda each: each.suffix in COMPRESSED)


def content(path: Path) -> Buffer:
    """The content of a file: mapped, or decompressed into memory.

    Raises InputError for a file that is missing or damaged, or grows too much.
    """
    try:
        with _opened(path) as stream:
            if not isinstance(stream, io.BufferedReader):
                return _read_all(stream, path)
            if not path.stat().st_size:
                return b""
            return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:  # gzip's errors are of this type too
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged or was cut off: {error}; copy it again") from None


def _opened(path: Path) -> Any:
    """Open a file, through what decompresses it."""
    stream = path.open("rb")
    beginning = stream.read(4)
    stream.seek(0)
    if beginning.startswith(GZIP):
        return gzip.GzipFile(fileobj=stream)
    if beginning == ZSTANDARD:
        return _zstandard(stream, path)
    return stream


def _zstandard(stream: BinaryIO, path: Path) -> Any:
    try:
        import zstandard
    except ImportError:
        stream.close()
        raise InputError(
            f"{path} is compressed with Zstandard, and the package for that is not installed; pip "
            f"install zstandard installs it, or decompress the file: zstd -d {path.name}"
        ) from None
    return zstandard.ZstdDecompressor().stream_reader(stream, closefd=True)


def _read_all(stream: BinaryIO, path: Path) -> bytes:
    most = max(FREE_BYTES, MOST_GROWTH * path.stat().st_size)
    parts, size = [], 0
    try:
        while part := stream.read(1 << 20):
            size += len(part)
            require(
                size <= most,
                f"{path} holds more than {most:,} bytes once it is decompressed, which no model of "
                "its size does",
            )
            parts.append(part)
    except InputError:
        raise
    except Exception as error:
        # The errors of zstandard derive from Exception alone.
        if type(error).__name__ != "ZstdError":
            raise
        raise InputError(f"{path} is damaged or was cut off: {error}; copy it again") from None
    return b"".join(parts)
