"""A folder of what takes long to make: entries by the hash of what decides their content.

    CACHE/KEY/        an entry, which appears in one step: it is whole or not there
    CACHE/.KEY.tmp/   one that is being made, or what a kill left of it
    CACHE/KEY.lock    held by the process that makes the entry; as old as its last use

Any of it may be removed at any time; it is made again. Entries that were not used for UNUSED_DAYS
are removed when a new one is made.
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
    """Where tokenised corpora are kept: a folder of the user's cache (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seq2seq-cli"


class Cache:
    """A folder of entries that are made once. Several processes may use it at the same time."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError where something else is in its place."""
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is no folder to keep a cache in; name another with --cache")
        self.folder = folder

    def entry(self, parts: object, make: Callable[[Path], None]) -> Path:
        """The folder of an entry, by all that decides its content; `make` fills it if it is new.

        Who comes second waits for who makes it. Raises Seq2seqError if it cannot be written.
        """
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
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
        shutil.rmtree(temporary, ignore_errors=True)  # what a kill left
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
        """Whoever reads such an entry goes on reading: the system keeps its files so long."""
        oldest = time.time() - UNUSED_DAYS * 24 * 3600
        for path in self.folder.glob("*.lock"):
            with path.open("r+") as lock, suppress(BlockingIOError):  # in use by another process
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock.fileno()).st_mtime < oldest:  # asked for since it was listed?
                    shutil.rmtree(self.folder / path.stem, ignore_errors=True)
                    shutil.rmtree(self.folder / f".{path.stem}.tmp", ignore_errors=True)

    def remove(self, entry: Path) -> None:
        """Remove an entry that turned out to be damaged."""
        with self._locked(entry.name):
            shutil.rmtree(entry, ignore_errors=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the entry's lock, which the system takes back from a process that is killed."""
        with (self.folder / f"{key}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
