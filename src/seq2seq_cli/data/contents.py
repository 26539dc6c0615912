"""Hashes of the files that a run reads: they tell whether it resumes with what it began with."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.parallel import Corpus
from seq2seq_cli.data.sources import Source

SAMPLES = 32  # blocks of a file that is too large to read as a whole
SAMPLE_BYTES = 1 << 16

Hashes = dict[str, list[str]]  # setting -> the hash of each of its files, "" where there is none


@dataclass(frozen=True)
class InputFile:
    """One of the files that a setting names, and the hash of its content, or ""."""

    setting: str  # such as "data.source"
    name: str
    sha256: str


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
                if file.sha256 and was and file.sha256 != was:
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
                found.append(InputFile(setting, source.name, _hash(corpus, source, whole=whole)))
    return InputFiles(tuple(found))


def files_at(paths: Iterable[str], setting: str) -> InputFiles:
    """The files at paths that this setting names; those that are pipes have no hash."""
    return InputFiles(
        tuple(
            InputFile(setting, path, _whole(Path(path)) if Path(path).is_file() else "")
            for path in paths
        )
    )


def _hash(corpus: Corpus, source: Source, *, whole: bool) -> str:
    """The hash of a file, or "" for a pipe and for a data set, which is not one file."""
    container = source.container
    if not isinstance(container, TextFile) or not corpus.can_be_reread():
        return ""
    return corpus.hashes[container] if whole else _sampled(container.path)


def _whole(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sampled(path: Path) -> str:
    """A hash of the size of a file, its beginning, its end and blocks in between."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        for number in range(SAMPLES):
            stream.seek(max(0, size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            digest.update(stream.read(SAMPLE_BYTES))
    return digest.hexdigest()
