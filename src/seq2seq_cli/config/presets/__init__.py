"""Settings files that come with the program, one for each published model or size.

A preset is a TOML file in this directory; its first comment line says what it is. What `auto`
leaves open is chosen by `config/auto.py` and `training/planning/auto_planner.py`.
"""

import difflib
from importlib.resources import files

from seq2seq_cli.errors import InputError

DEFAULT = "auto"
SUFFIX = ".toml"


def names() -> list[str]:
    """The names of all presets, sorted."""
    directory = files(__name__)
    found = (entry.name for entry in directory.iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))


def read(name: str) -> str:
    """The text of a preset's file.

    Raises InputError, with the nearest name, if there is no such preset.
    """
    known = names()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        guess = f"did you mean {close[0]}? " if close else ""
        raise InputError(f"unknown preset {name!r}; {guess}allowed are {', '.join(known)}")
    return files(__name__).joinpath(name + SUFFIX).read_text(encoding="utf-8")


def description(text: str) -> str:
    """The first comment line of a preset, which says what it is; empty if there is none."""
    for line in text.splitlines():
        if line.startswith("#"):
            return line.lstrip("#").strip()
    return ""
