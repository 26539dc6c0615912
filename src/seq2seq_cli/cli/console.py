"""What the command line says on stderr. Data goes to stdout, everything else goes through here.

Who reads stderr may leave (`2>&1 | head`); that is no reason to stop, and no error of a disk.
"""

import contextlib
import sys


def warn(message: str) -> None:
    """Print a warning, as one line."""
    _print(warning(message))


def warning(message: str) -> str:
    """A warning as it is printed."""
    return f"seq2seq: warning: {message}"


def note(message: str) -> None:
    """Print what a user wants to know and has not to act on."""
    _print(message)


def error(message: str) -> None:
    """Print an error; the caller exits."""
    _print(f"seq2seq: error: {message}")


def _print(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)
