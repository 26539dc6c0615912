"""Hashes of the files that a run reads: they tell whether it resumes with what it began with."""

import gzip
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.parallel import Corpus
from seq2seq_cli.data.sources import Source
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.inputs import GZIP_MAGIC, READ_ERRORS, decompressed_blocks

SAMPLES = 32  # blocks of a file that is too large to read as a whole
SAMPLE_BYTES = 1 << 16
MOST_DECOMPRESSED = 64 << 20  # bytes of gzip data, which then take a few seconds

Hashes = dict[str, list[str]]  # setting -> the hash of each of its files, "" where there is none


@dataclass(frozen=True)
class InputFile:
    """One of the files that a setting names, and the hash of its content, or ""."""

    setting: str  # such as "data.source"
    name: str
    sha256: str
    compressed: str = ""  # the hash of a file of gzip data as it is, which old checkpoints have


@dataclass(frozen=True)
class InputFiles:
    """All files that a run reads text from."""

    files: tuple[InputFile, ...] = ()

    def __add__(self, other: "InputFiles") -> "InputFiles":
        return InputFiles(self.files + other.files)

    def hashes(self) -> Hashes:
        """The hashes of the files of each setting, in their order; a checkpoint holds them."""
        found: Hashes = {}
        for file in self.files:
            found.setdefault(file.setting, []).append(file.sha256)
        return found

    def changed(self, before: Mapping[str, Sequence[str]]) -> list[str]:
        """The files whose content differs, as far as hashes are known, as messages name them."""
        changed = []
        for setting, now in self.hashes().items():
            files = [file for file in self.files if file.setting == setting]
            old = before.get(setting, [])
            for file, was in zip(files, [*old, *now[len(old) :]], strict=False):
                if file.sha256 and was and was not in (file.sha256, file.compressed):
                    changed.append(f"{file.name} ({setting})")
        return changed


def files_of_corpora(
    corpora: Sequence[Corpus], settings: tuple[str, str], *, whole: bool = True
) -> InputFiles:
    """The files of both sides of corpora, which these settings name.

    Unless they are hashed as a whole, their size and blocks at even distances are.
    """
    found = []
    for setting, side in zip(settings, ("source", "target"), strict=True):
        for corpus in corpora:
            for source in getattr(corpus, side):
                hashes = _hashes(corpus, source, whole=whole)
                found.append(InputFile(setting, source.name, *hashes))
    return InputFiles(tuple(found))


def files_at(paths: Iterable[str], setting: str) -> InputFiles:
    """The files at paths that this setting names; those that are pipes have no hash."""
    found = []
    for name in paths:
        path, hashes = Path(name), ("", "")
        if path.is_file():
            hashes = _text_hashes(path, file_sha256(path))
        found.append(InputFile(setting, name, *hashes))
    return InputFiles(tuple(found))


def _hashes(corpus: Corpus, source: Source, *, whole: bool) -> tuple[str, str]:
    """Two hashes of a file, as `_text_hashes`.

    The first is "" for a pipe and for a data set, which is not one file.
    """
    container = source.container
    if not isinstance(container, TextFile) or not corpus.can_be_reread():
        return "", ""
    if not whole:
        return _sampled_hashes(container.path)
    return _text_hashes(container.path, corpus.hashes[container])


def _text_hashes(path: Path, digest: str) -> tuple[str, str]:
    """The hash of what a file says, compressed or not, and that of its gzip data if it has any.

    `digest` is the hash of its bytes, with what says how they are read.
    """
    with path.open("rb") as stream:
        if stream.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            return digest, ""
        stream.seek(0)
        text = hashlib.sha256()
        for block in decompressed_blocks(stream):
            text.update(block)
    _, *reading = digest.split(" ", 1)
    return " ".join([text.hexdigest(), *reading]), digest


def file_sha256(path: Path) -> str:
    """The SHA-256 of the bytes of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sampled_hashes(path: Path) -> tuple[str, str]:
    """As `_text_hashes`, of the size of a text and of blocks at even distances.

    Gzip data that would take long to decompress counts as it is.
    """
    size = path.stat().st_size
    digest = _sampled(_blocks_at, path, size)
    with path.open("rb") as stream:
        if stream.read(len(GZIP_MAGIC)) != GZIP_MAGIC or size > MOST_DECOMPRESSED:
            return digest, ""
        stream.seek(0)
        try:
            size = sum(map(len, decompressed_blocks(stream)))
            return _sampled(_decompressed_at, path, size), digest
        except READ_ERRORS:  # damaged, which is said once training reads so far
            return digest, ""


Blocks = Callable[[Path, list[int]], Iterator[bytes]]  # of SAMPLE_BYTES, at ascending offsets


def _sampled(blocks: Blocks, path: Path, size: int) -> str:
    """A hash of the size of a text, its beginning, its end and blocks in between."""
    digest = hashlib.sha256(str(size).encode())
    offsets = [max(0, size - SAMPLE_BYTES) * number // (SAMPLES - 1) for number in range(SAMPLES)]
    for block in blocks(path, offsets):
        digest.update(block)
    return digest.hexdigest()


def _blocks_at(path: Path, offsets: list[int]) -> Iterator[bytes]:
    with path.open("rb") as stream:
        for offset in offsets:
            stream.seek(offset)
            yield stream.read(SAMPLE_BYTES)


def _decompressed_at(path: Path, offsets: list[int]) -> Iterator[bytes]:
    with gzip.open(path) as stream:
        for offset in offsets:
            stream.seek(offset)
            yield stream.read(SAMPLE_BYTES)
