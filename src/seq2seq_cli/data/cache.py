"""A folder of results that take long to compute, found by a hash of what decides their content.

    CACHE/KEY/        an entry; it appears in one step, so it is complete or missing
    CACHE/.KEY.tmp/   an entry that is being made, or the remains of a process that was killed
    CACHE/KEY.lock    held by the process that makes the entry; its age is that of the last use

Everything in it may be removed at any time; it is made again. When an entry is made, entries that
were not used for UNUSED_DAYS are removed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.text import sync_directory

UNUSED_DAYS = 60


def default_cache() -> Path:
    """The folder for tokenised corpora in the user's cache (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seq2seq-cli"


class Cache:
    """A folder of entries, each made once. Several processes may use it at the same time."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError if the path exists and is not a folder."""
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is not a folder for a cache; name another with --cache")
        self.folder = folder

    def entry(self, key_parts: object, make: Callable[[Path], None]) -> Path:
        """Return the folder of an entry; `make` fills it if the entry is new.

        `key_parts` is JSON data that contains everything that decides the content. If another
        process makes the entry, waits for it. Raises Seq2seqError if it cannot be written.
        """
        key = hashlib.sha256(json.dumps(key_parts, sort_keys=True).encode()).hexdigest()[:32]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locked(key):
                if not (self.folder / key).is_dir():
                    self._make(key, make)
                    self._remove_unused()
                os.utime(self.folder / f"{key}.lock")
        except OSError as error:
            raise Seq2seqError(
                f"cannot write to the cache {self.folder}: {error.strerror or error}; make room, "
                "or name another folder with --cache"
            ) from error
        return self.folder / key

    def _make(self, key: str, make: Callable[[Path], None]) -> None:
        temporary = self.folder / f".{key}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
        temporary.mkdir()
        try:
            make(temporary)
            sync_directory(temporary)
            temporary.rename(self.folder / key)
            sync_directory(self.folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _remove_unused(self) -> None:
        """Remove old entries. A process that reads one goes on: the system keeps open files."""
        oldest = time.time() - UNUSED_DAYS * 24 * 3600
        for path in self.folder.glob("*.lock"):
            with path.open("r+") as lock, suppress(BlockingIOError):  # held by another process
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock.fileno()).st_mtime < oldest:  # not used since it was listed
                    shutil.rmtree(self.folder / path.stem, ignore_errors=True)
                    shutil.rmtree(self.folder / f".{path.stem}.tmp", ignore_errors=True)

    def remove(self, entry: Path) -> None:
        """Remove an entry that turned out to be damaged."""
        with self._locked(entry.name):
            shutil.rmtree(entry, ignore_errors=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the lock of an entry; the system releases it if the process is killed."""
        with (self.folder / f"{key}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
