"""A folder of results that take long to compute, found by a hash of what decides their content.

    CACHE/KEY/          an entry; it appears in one step, so it is complete or missing
    CACHE/.KEY-*.tmp/   an entry that is being made, or the remains of a process that was killed
    CACHE/.KEY.UID.work/  what is done of an entry, for the user's process that goes on with it
    CACHE/KEY.lock      held by the process that makes the entry; its age is that of the last use

Everything in it may be removed at any time; it is made again. When an entry is made, entries that
were not used for UNUSED_DAYS are removed. Several users may share a cache: each uses the entries of
others as far as the system lets it read them, and does without the cache otherwise.
"""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.messages import Warn, ignore_warning
from seq2seq_cli.whole_files import sync_directory

Loaded = TypeVar("Loaded")

UNUSED_DAYS = 60
DAMAGED = (OSError, ValueError, KeyError, TypeError, InputError)  # raised by reading an entry
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)  # what another user's cache may answer


def default_cache() -> Path:
    """The folder for tokenised corpora in the user's cache (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seq2seq-cli"


def work_folder(entry: Path) -> Path:
    """The folder for what is done of an entry that is being made; it outlasts a killed process.

    `entry` is the folder that `make` of `Cache.load` is to fill.
    """
    key = entry.name.rpartition("-")[0]
    work = entry.with_name(f"{key}.{os.getuid()}.work")
    work.mkdir(exist_ok=True)
    return work


class Cache:
    """A folder of entries, each made once. Several processes may use it at the same time."""

    def __init__(self, folder: Path, warn: Warn = ignore_warning) -> None:
        """`warn` is told if the cache cannot be used. Raises InputError if it is not a folder."""
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is not a folder for a cache; name another with --cache")
        self.folder = folder
        self.warn = warn

    def load(
        self, key_parts: object, make: Callable[[Path], None], read: Callable[[Path], Loaded]
    ) -> Loaded | None:
        """Read an entry, which `make` fills if it is new or damaged; None without a usable cache.

        `key_parts` is JSON data that contains everything that decides the content. `read` raises
        one of DAMAGED for a damaged entry. Raises Seq2seqError if the cache cannot be written
        though it belongs to the user.
        """
        entry = self.entry(key_parts, make)
        if entry is None:
            return None
        with suppress(*DAMAGED):
            return read(entry)
        self._remove(entry)
        entry = self.entry(key_parts, make)
        if entry is None:
            return None
        try:
            return read(entry)
        except DAMAGED as error:  # it may not be read or removed by this user
            self._warn_of(f"{entry} cannot be read: {error}")
            return None

    def entry(self, key_parts: object, make: Callable[[Path], None]) -> Path | None:
        """Return the folder of an entry; `make` fills it if the entry is new.

        If another process makes the entry, waits for it. None, after a warning, if the entry is not
        there and the user may not write it. Raises Seq2seqError if it cannot be written otherwise.
        """
        key = hashlib.sha256(json.dumps(key_parts, sort_keys=True).encode()).hexdigest()[:32]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locked(key):
                self._note_use(key)
                if not (self.folder / key).is_dir():
                    self._make(key, make)
                    self._note_use(key)
                    self._remove_unused()
        except OSError as error:
            if (self.folder / key).is_dir() and error.errno in FORBIDDEN:
                return self.folder / key  # in a folder that may only be read
            if error.errno in FORBIDDEN:
                self._warn_of(f"{error.filename or self.folder}: {error.strerror}")
                return None
            raise Seq2seqError(
                f"cannot write to the cache {self.folder}: {error.strerror or error}; make room, "
                "or name another folder with --cache"
            ) from error
        return self.folder / key

    def _note_use(self, key: str) -> None:
        with suppress(PermissionError):  # the lock of another user
            os.utime(self.folder / f"{key}.lock")

    def _warn_of(self, reason: str) -> None:
        self.warn(
            f"the cache {self.folder} cannot be used ({reason}), perhaps since another user made "
            "it; going on without it; name a folder of your own with --cache"
        )

    def _make(self, key: str, make: Callable[[Path], None]) -> None:
        self._remove_remains(key)
        temporary = self.folder / f".{key}-{secrets.token_hex(4)}.tmp"
        temporary.mkdir()
        try:
            make(temporary)
            sync_directory(temporary)
            temporary.rename(self.folder / key)
            sync_directory(self.folder)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError | InputError):  # what is done is of no use, or in the way
                self._remove_work(key)
            raise
        self._remove_work(key)

    def _remove_remains(self, key: str) -> None:
        """Remove what a process that was killed had made of an entry."""
        for remains in self.folder.glob(f".{key}*.tmp"):
            shutil.rmtree(remains, ignore_errors=True)

    def _remove_work(self, key: str) -> None:
        """Remove what was done of an entry, as far as it belongs to the user."""
        for work in self.folder.glob(f".{key}.*.work"):
            shutil.rmtree(work, ignore_errors=True)

    def _remove_unused(self) -> None:
        """Remove old entries. A process that reads one goes on: the system keeps open files."""
        oldest = time.time() - UNUSED_DAYS * 24 * 3600
        for path in self.folder.glob("*.lock"):
            # Held by another process, of another user, or removed meanwhile.
            with (
                suppress(BlockingIOError, PermissionError, FileNotFoundError),
                path.open("r+") as lock,
            ):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock.fileno()).st_mtime < oldest:  # not used since it was listed
                    shutil.rmtree(self.folder / path.stem, ignore_errors=True)
                    self._remove_remains(path.stem)
                    self._remove_work(path.stem)

    def _remove(self, entry: Path) -> None:
        """Remove an entry that turned out to be damaged, if it belongs to the user."""
        with suppress(OSError), self._locked(entry.name):
            shutil.rmtree(entry, ignore_errors=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the lock of an entry; the system releases it if the process is killed."""
        with self._open_lock(self.folder / f"{key}.lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _open_lock(self, path: Path) -> BinaryIO:
        try:
            return path.open("ab")
        except PermissionError:
            if not path.exists():
                raise
            return path.open("rb")  # of another user: reading is enough to lock it
