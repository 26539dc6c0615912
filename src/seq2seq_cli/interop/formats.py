"""The formats of other engines, in the order in which they are recognised.

A format is a reader and, if it can be written, a writer: modules with the functions of
`FormatModule`. A reader imports numpy at most before it is used: `seq2seq import` asks all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.foreign_model import ForeignModel
from seq2seq_cli.runs.new_folder import new_folder
from seq2seq_cli.runs.run_folder import RunFolder


class FormatModule(Protocol):
    """The functions of a format's modules: a reader has all but `write`, a writer only that."""

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

    def translate_with_original(
        self, path: Path, lines: Sequence[str], beam: int
    ) -> Sequence[str | None]:
        """Translate lines by the engine that the format belongs to, for `--verify`.

        If the model has several languages, lines begin with the tag of the one to translate into,
        as in <2de>, and behind it, where each side has tags, that of their own. None stands for a
        line that is too long for the engine.
        Raises InputError if the engine is not installed, with the command that installs it.
        """


@dataclass(frozen=True)
class Format:
    """A format by its name in `--format`, its modules and the words for it in messages."""

    name: str
    title: str
    reader: str  # a module of this package
    writer: str = ""  # the same; none: it cannot be written
    engine: str = ""  # the package that translate_with_original needs
    install: str = ""  # the command that installs it

    @property
    def exports(self) -> bool:
        """Whether it can be written."""
        return bool(self.writer)

    def load(self) -> FormatModule:
        """Import the module that reads."""
        return _module(self.reader)

    def check_engine(self) -> None:
        """Raise InputError if there is no engine to compare with, or it is not installed."""
        require(
            bool(self.engine),
            f"--verify: there is no engine to compare the format {self.name} with; leave it out",
        )
        # transformers can be imported without torch, and then translates nothing
        for package in (self.engine, *["torch"] * (self.engine == "transformers")):
            require(
                find_spec(package) is not None,
                f"--verify translates with {self.engine}, and the package {package} is not "
                f"installed; {self.install or f'pip install {package}'} installs it, and without "
                "--verify the model is imported as well",
            )

    def load_writer(self) -> FormatModule:
        """Import the module that writes."""
        return _module(self.writer)


def _module(name: str) -> FormatModule:
    return cast(FormatModule, import_module(f"seq2seq_cli.interop.{name}"))


BENCH = "pip install 'seq2seq-cli[bench]'"
PYMARIAN = "pip install pymarian (for Python 3.8 to 3.12, 600 MB)"
FORMATS: tuple[Format, ...] = (
    Format("marian", "Marian (npz)", "marian.reader", "marian.writer", "pymarian", PYMARIAN),
    Format("argos", "Argos Translate", "argos", engine="ctranslate2", install=BENCH),
    Format(
        "ctranslate2",
        "CTranslate2",
        "ctranslate2.reader",
        "ctranslate2.writer",
        "ctranslate2",
        BENCH,
    ),
    Format(
        "huggingface",
        "Hugging Face",
        "huggingface.reader",
        "huggingface.writer",
        "transformers",
        BENCH,
    ),
    Format(
        "firefox", "Firefox and Bergamot (bin)", "firefox.reader", "firefox.writer", "fxtranslate"
    ),
)
PARTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*", "tokenizer_config.json")


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
    if path.is_file():
        _name_folder(path)
    else:
        _name_missing(path)
    raise InputError(
        f"{path}: no model of a known format is here; known are {', '.join(_names())}. "
        "Give --format to hear what is missing"
    )


def _name_folder(path: Path) -> None:
    """Raise InputError for a file of a model that is a folder."""
    folder = path.absolute().parent
    for each in FORMATS:
        require(
            not each.load().recognises(folder),
            f"{path} is one file of several of a model ({each.title}); name their folder, "
            f"{path.parent if path.parent.name else folder}",
        )
    if any(path.match(part) for part in PARTS):
        _name_missing(folder)


def _name_missing(folder: Path) -> None:
    """Raise InputError for a folder of Hugging Face whose config.json is missing or is not one."""
    found = next((each for part in PARTS for each in sorted(folder.glob(part))), None)
    if found is None:
        return
    config = folder / "config.json"
    raise InputError(
        f"{config} names no model_type, as that of a model of Hugging Face does; copy it again"
        if config.is_file()
        else f"{config} is missing, beside {found.name} (Hugging Face); copy the whole folder"
    )


def check_other_format(path: Path, given: Format) -> None:
    """Raise InputError if a file or folder is of another format than --format says."""
    if given.load().recognises(path):
        return
    for each in FORMATS:
        require(
            not each.load().recognises(path),
            f"--format {given.name}: {path} is a model of {each.title}; give --format {each.name}, "
            "or none",
        )


def check_any_engine() -> None:
    """Raise InputError if no engine is installed that --verify could compare with."""
    known = {each.engine: each for each in FORMATS if each.engine}
    require(
        any(find_spec(engine) is not None for engine in known),
        f"--verify needs the engine that the model was made for, and none of {', '.join(known)} is "
        f"installed; {BENCH} installs those of Hugging Face and CTranslate2",
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
    require(
        not folder.load_config().model.copy_attention,
        "model.copy_attention = true cannot be exported: no other engine has it",
    )
    with new_folder(output) as temporary:
        return writer.write(folder, temporary, quantization)


def _names() -> list[str]:
    return [each.name for each in FORMATS]
