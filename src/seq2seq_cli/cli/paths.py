"""Checks of the paths that a command reads and writes, before anything is loaded."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import STDIN, check_input, display_name

if TYPE_CHECKING:
    from seq2seq_cli.data.sources import Source


def check_paths(inputs: "Sequence[Source]", outputs: Sequence[Path]) -> None:
    """Raise InputError, before anything is loaded, if a path cannot be read or written.

    Also if a path is both input and output or is given for two outputs, and if a pipe or standard
    input is given for two inputs.
    """
    used: list[Path] = []
    fields = [(source.path, source.field) for source in inputs if source.path is not None]
    read = [path for path, _ in fields]
    for index, (path, field) in enumerate(fields):
        if path in read[:index] and (path == STDIN or not path.is_file()):
            raise InputError(f"{display_name(path)} is given for two inputs; give a file")
        check_input(path, field)
        if path != STDIN:
            used.append(path)
    if list(outputs).count(STDIN) > 1:
        raise InputError("standard output is given for two outputs; write one to a file")
    for target in outputs:
        if target == STDIN:
            continue
        for other in used:
            if same_file(target, other):
                role = "both input and output" if other in read else "given for two outputs"
                raise InputError(f"{target} is {role}; write to another file")
        check_output(target)
        used.append(target)


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths are one regular file; /dev/null may be given for any number of outputs."""
    if one.exists() and other.exists():
        return one.samefile(other) and one.is_file()
    return one.resolve() == other.resolve()


def check_output(target: Path) -> None:
    """Raise InputError if a file cannot be written."""
    folder = target.parent
    reason = ""
    if target.is_dir():
        reason = "it is a directory"
    elif target.exists():
        reason = "" if os.access(target, os.W_OK) else "it may not be written"
    elif not folder.is_dir() or not os.access(folder, os.W_OK):
        reason = f"{folder} is not a writable directory"
    if reason:
        raise InputError(f"{target}: cannot be written: {reason}")


def check_new_folder(path: Path) -> None:
    """Raise InputError if a folder cannot be made, or exists and is not empty.

    A lock that a killed training left there is removed.
    """
    if path.is_dir():
        from seq2seq_cli.runs.lock import remove_stale_lock

        remove_stale_lock(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} exists already; name a new folder")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise InputError(f"{path} cannot be made: {above} is not a writable directory")
