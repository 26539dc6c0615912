"""Errors that the user can mend: the command line prints their message instead of a traceback.

A message says what was given, what is allowed and how to mend it.
"""

from pathlib import Path


class Seq2seqError(Exception):
    """A failure of work that had begun, such as a full disk or a loss that is not finite."""

    exit_code = 1


class InputError(Seq2seqError):
    """Wrong usage or wrong input, such as a missing file or a damaged run folder."""

    exit_code = 2


class NoNumbersError(Seq2seqError):
    """A model predicts NaN or infinity, by which hypotheses cannot be ranked."""

    def __init__(self, weights: str = "") -> None:
        """`weights` is the name of those that are not finite, if this is the reason."""
        reason = f"{weights} holds NaN or infinity" if weights else "NaN or infinite"
        super().__init__(
            f"the model's scores are not numbers ({reason}): its weights are damaged, or its "
            "training diverged; train again with a smaller training.learning_rate"
        )


def nearby(path: Path, field: str = "", *, folders: bool = False) -> str:
    """The end of a message about a path that does not exist: the nearest name that does.

    A field is proposed with it, also one that the path ends with because it was not told from it.
    With `folders`, it is the nearest folder.
    """
    import difflib
    import shlex

    if not path.parent.is_dir():
        return f" (the directory {path.parent} does not exist)"
    try:
        names = [entry.name for entry in path.parent.iterdir() if not folders or entry.is_dir()]
    except OSError:  # a directory that may be entered but not listed
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    head, colon, rest = path.name.partition(":")
    if colon and not (close and ":" in close[0]):
        close = difflib.get_close_matches(head, names, n=1) or close
        field = rest.strip()
    if not close:
        return ""
    found = str(path.parent / close[0])
    return f"; did you mean {shlex.quote(f'{found}:{field}') if field else found}?"


def says_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python or, by its message, of PyTorch on a CPU means out of memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "not enough memory", "can't allocate")
    )
