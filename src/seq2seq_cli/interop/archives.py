"""Unpacks zip archives of strangers: plain files, within a folder, of a sane size."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError

OTHERS = (  # archives that are not unpacked
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"),
    *(".7z", ".rar"),
)
MOST_ENTRIES = 10_000
FREE_BYTES = 1 << 28  # any archive may grow to this, and a larger one to MOST_GROWTH times its size
MOST_GROWTH = 20  # weights hardly shrink, vocabularies five times


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive of files, not one of arrays (.npz) or of tensors (.pt)."""
    if path.suffix in (".zip", ".argosmodel"):
        return True  # also if it is damaged
    try:
        with path.open("rb") as stream:
            if stream.read(4) != b"PK\x03\x04":
                return False
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    arrays = all(name.endswith(".npy") for name in names)
    return not (arrays or any(name.endswith("/data.pkl") for name in names))


def check_kind(path: Path) -> None:
    """Raise InputError for a file that is an archive of another kind than zip."""
    suffix = next((each for each in OTHERS if path.name.lower().endswith(each)), "")
    by = f" (tar -xf {path.name})" if suffix.startswith(".t") else ""
    require(
        not suffix or not path.is_file(),
        f"{path}: of archives, only zip is unpacked; unpack it{by} and name the folder of the "
        "model",
    )


def unpack(path: Path, folder: Path) -> Path:
    """Unpack an archive into a folder, which is made.

    Returns the folder, or the one folder that everything in it is in. Raises InputError for an
    archive that is damaged or encrypted, whose files would lie elsewhere or are links, and for one
    that grows too much.
    """
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_entries(path, entries)
            for entry in entries:
                target = folder.joinpath(*PurePosixPath(entry.filename).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, target.open("xb") as stream:
                    shutil.copyfileobj(packed, stream, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise InputError(f"{path} is damaged, or no zip archive: {error}") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        name = Path(str(error.filename)).name
        raise InputError(f"{path} is damaged: it has two entries for {name}") from None
    inner = list(folder.iterdir())
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else folder


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Raise InputError for what no archive of a model has, before anything is written."""
    require(len(entries) > 0, f"{path} is an empty archive")
    require(
        len(entries) <= MOST_ENTRIES,
        f"{path} has {len(entries):,} files; up to {MOST_ENTRIES:,} are allowed",
    )
    for entry in entries:
        name = PurePosixPath(entry.filename)
        require(
            not name.is_absolute() and ".." not in name.parts and bool(name.parts),
            f"{path}: its entry {entry.filename} would lie outside of the folder; nothing was "
            "unpacked",
        )
        kind = stat.S_IFMT(entry.external_attr >> 16)
        require(
            kind in (0, stat.S_IFREG),
            f"{path}: its entry {entry.filename} is a link or a device, not a file; nothing was "
            "unpacked",
        )
        require(not entry.flag_bits & 1, f"{path}: its entry {entry.filename} is encrypted")
    size = path.stat().st_size
    total = sum(entry.file_size for entry in entries)
    require(
        total <= max(FREE_BYTES, MOST_GROWTH * size),
        f"{path} has {size:,} bytes and would be unpacked to {total:,}; nothing was unpacked",
    )
