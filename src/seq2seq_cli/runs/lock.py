"""The lock of a run folder: only one training writes into it at a time.

The lock is `flock` on a file in the folder, so the system releases it when its process ends,
however that happens. Network file systems pass it on to their server, as NFS does on Linux.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn
from seq2seq_cli.runs.layout import LOCK

HELD = (errno.EWOULDBLOCK, errno.EACCES)  # by another process; NFS may answer with either


@contextmanager
def locked(folder: Path, warn: Warn) -> Iterator[None]:
    """Hold the lock of a folder, which is made if it does not exist.

    At the end the lock's file is removed, and the folder too if it was made and is empty. Where the
    file system has no locks, warns and goes on. Raises InputError, with who holds it, if another
    training does, or if the folder cannot be made.
    """
    made = _make_folder(folder)
    file = None
    try:
        file = _acquire(folder, warn)
        yield
    finally:
        if file is not None:
            with suppress(OSError):  # while it is held, so that nobody else's file is removed
                (folder / LOCK).unlink()
            os.close(file)
        for path in made:
            with suppress(OSError):  # it is not empty
                path.rmdir()


def holder(folder: Path) -> str | None:
    """Who is training in a folder, as a phrase of a sentence, or None if nobody is."""
    try:
        file = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if _try_to_lock(file) else _read_holder(file)
    except OSError:  # there are no locks here
        return None
    finally:
        os.close(file)


def remove_stale_lock(folder: Path) -> None:
    """Remove the lock's file that a killed training left. Raises InputError if one is going on."""
    if who := holder(folder):
        raise InputError(f"{folder}: {who} is training there; name another folder")
    with suppress(OSError):
        (folder / LOCK).unlink(missing_ok=True)


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder; returns the folders that were made, the innermost first."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}") from None
    return made


def _acquire(folder: Path, warn: Warn) -> int | None:
    """Lock the folder; returns the open file, or None where there are no locks."""
    path = folder / LOCK
    try:
        while True:
            folder.mkdir(parents=True, exist_ok=True)  # another process may have removed it
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            _lock_or_close(file, folder)
            if _is_still(path, file):
                _write_holder(file)
                return file
            os.close(file)  # whoever held it has removed it meanwhile
    except OSError as error:
        warn(
            f"{folder} cannot be locked ({error.strerror}), so that nothing keeps a second "
            "training out of it; see to it that there is none"
        )
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None


def _lock_or_close(file: int, folder: Path) -> None:
    """Lock an open file, or close it and raise: InputError if another process trains there."""
    try:
        if _try_to_lock(file):
            return
        raise InputError(
            f"{folder} is in use: {_read_holder(file)} is training there; wait for its end, stop "
            "it, or choose another --output"
        )
    except BaseException:
        os.close(file)
        raise


def _try_to_lock(file: int) -> bool:
    """Lock an open file if no other process has. Raises OSError where there are no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in HELD:
            raise
        return False
    return True


def _is_still(path: Path, file: int) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _write_holder(file: int) -> None:
    """Write for others who holds the lock; without it, as on a full disk, it is a lock still."""
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "since": since})
    with suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, text.encode(), 0)


def _read_holder(file: int) -> str:
    try:
        values = json.loads(os.pread(file, 1 << 12, 0))
        return f"process {values['pid']} on {values['host']}, since {values['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
