"""What the command line says on stderr. Data goes to stdout, everything else goes through here."""

import sys


def warn(message: str) -> None:
    """Print a warning, as one line."""
    print(f"seq2seq: warning: {message}", file=sys.stderr, flush=True)


def note(message: str) -> None:
    """Print what a user wants to know and has not to act on."""
    print(message, file=sys.stderr, flush=True)


def error(message: str) -> None:
    """Print an error; the caller exits."""
    print(f"seq2seq: error: {message}", file=sys.stderr, flush=True)
