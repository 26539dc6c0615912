"""Folders that appear when they are complete."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seq2seq_cli.errors import InputError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, beside `folder` and under a hidden name, which becomes it at the end.

    After an error it is removed, and messages name `folder`. Raises InputError if it cannot be
    made.
    """
    temporary = folder.absolute().with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        try:
            temporary.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made: {error.strerror}") from None
        yield temporary
        temporary.rename(folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        hidden, shown = str(temporary), str(folder)
        if isinstance(error, InputError) and hidden in str(error):
            raise InputError(str(error).replace(hidden, shown)) from None
        if isinstance(error, OSError) and hidden in str(error.filename):
            raise OSError(
                error.errno, error.strerror, str(error.filename).replace(hidden, shown)
            ) from None
        raise
