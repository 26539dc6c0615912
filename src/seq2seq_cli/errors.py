"""Errors that are the user's to mend: the command line prints their message, never a traceback.

A message names what was given, what is allowed and how to mend it.
"""

from pathlib import Path


class Seq2seqError(Exception):
    """The work began and failed: a full disk, a loss that is no number."""

    exit_code = 1


class InputError(Seq2seqError):
    """Wrong usage or wrong input: a missing file, an unknown key, a damaged run folder."""

    exit_code = 2


def nearby(path: Path) -> str:
    """What was probably meant by a path where nothing is, as the end of a message."""
    import difflib

    if not path.parent.is_dir():
        return f" (the directory {path.parent} does not exist)"
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:  # a directory that may be entered but not listed
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.parent / close[0]}?" if close else ""
