"""Messages on standard error: data goes to stdout, everything else goes through this file.

If the reader of stderr goes away, as in `2>&1 | head`, the command goes on without messages.
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
    """Print information that does not ask for an action."""
    _print(message)


def error(message: str) -> None:
    """Print an error; the caller exits."""
    _print(f"seq2seq: error: {message}")


def _print(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)
