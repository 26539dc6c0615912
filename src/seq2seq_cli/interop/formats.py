"""The formats of other engines, in the order in which they are recognised.

A format is a module with the functions of `FormatModule`; one that only reads or only writes lacks
the others. A module imports numpy at most before it is used: `seq2seq import` asks all of them.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import ForeignModel
from seq2seq_cli.runs.run_folder import RunFolder


class FormatModule(Protocol):
    """What a module of a format defines."""

    def recognises(self, path: Path) -> bool:
        """Whether a file or folder is of this format, by its content.

        A damaged one of the format is recognised too, as far as that can be told, so that `read`
        says what is wrong. Raises nothing.
        """

    def read(self, path: Path) -> ForeignModel:
        """Read a model. Archives are unpacked before.

        Raises InputError, with the file and the reason, for what is damaged, incomplete or cannot
        be held.
        """

    def write(self, run: RunFolder, output: Path, quantization: str) -> Sequence[str]:
        """Write a run into a folder, which is empty and exists; returns notes for the user.

        `quantization` is a type of weights that the format has, "" for its default. Raises
        InputError with the setting that cannot be held.
        """

    def translate_with_original(self, path: Path, lines: Sequence[str], beam: int) -> list[str]:
        """Translate lines by the engine that the format belongs to, for `--verify`.

        If the model has several languages, lines begin with the tag of the one to translate into,
        as in <2de>, and behind it, where each side has tags, that of their own.
        Raises InputError if the engine is not installed, with the command that installs it.
        """


@dataclass(frozen=True)
class Format:
    """A format by its name in `--format`, its module and the words for it in messages."""

    name: str
    module: str  # in this package
    title: str
    engine: str = ""  # the package that translate_with_original needs
    writer: str = ""  # the module that has `write`, if it is another one
    exports: bool = True  # whether it can be written

    def load(self) -> FormatModule:
        """Import the module."""
        return _module(self.module)

    def load_writer(self) -> FormatModule:
        """Import the module that writes."""
        return _module(self.writer or self.module)


def _module(name: str) -> FormatModule:
    return cast(FormatModule, import_module(f"seq2seq_cli.interop.{name}"))


FORMATS: tuple[Format, ...] = (
    Format("marian", "marian", "Marian (npz)", "pymarian"),
    Format("argos", "argos", "a package of Argos Translate", "ctranslate2", exports=False),
    Format("ctranslate2", "ctranslate2", "CTranslate2", "ctranslate2", "ctranslate2_writer"),
    Format("huggingface", "huggingface", "Hugging Face", "transformers", "huggingface_export"),
    Format("firefox", "firefox", "Firefox and Bergamot (bin)", "fxtranslate"),
)


def format_named(name: str) -> Format:
    """The format of a name. Raises InputError for an unknown one."""
    for each in FORMATS:
        if each.name == name:
            return each
    raise InputError(f"--format {name}: one of {', '.join(_names())} is allowed")


def recognised_format(path: Path) -> Format:
    """Find out the format of a file or folder. Raises InputError if it has none of them."""
    for each in FORMATS:
        if each.load().recognises(path):
            return each
    raise InputError(
        f"{path}: no model of a known format is here; known are {', '.join(_names())}. "
        "Give --format to hear what is missing"
    )


def export_run(run: Path, output: Path, name: str, quantization: str = "") -> Sequence[str]:
    """Write a run in the format of a name; returns notes for the user.

    The folder appears when it is complete. Raises InputError for a run or a setting that the format
    cannot hold.
    """
    chosen = format_named(name)
    require(
        chosen.exports,
        f"--format {name}: one of {', '.join(each.name for each in FORMATS if each.exports)} is "
        "allowed",
    )
    writer = chosen.load_writer()
    folder = RunFolder(run)
    folder.load_config()
    temporary = output.absolute().with_name(f".{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        notes = writer.write(folder, temporary, quantization)
        temporary.rename(output)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return notes


def _names() -> list[str]:
    return [each.name for each in FORMATS]
