"""Where an imported run came from: the section [origin] of config.toml."""

from typing import ClassVar

from seq2seq_cli.config.settings import Section
from seq2seq_cli.deferred import dataclass

RUN_FOLDER = "seq2seq"  # the format of a run folder that was trained elsewhere


@dataclass(frozen=True)
class Origin(Section):
    """Where a run came from that was not trained here."""

    SECTION: ClassVar[str] = "origin"

    format: str = ""
    """The format it was read from, such as huggingface or marian."""

    model: str = ""
    """What the format calls the model, such as MarianMTModel."""

    source: str = ""
    """The name on the hub, or the name of the file or folder, as it was given."""

    revision: str = ""
    """The commit of the hub's repository; empty for files."""

    licence: str = ""
    """The licence that its files name, such as cc-by-4.0; empty if they name none."""

    verified: str = ""
    """The result of the comparison with the engine that the model was made for."""

    def in_words(self) -> str:
        """The source, and in brackets what it is, with its revision on the hub."""
        kind = self.model or ("a run folder" if self.format == RUN_FOLDER else self.format)
        at = f", revision {self.revision[:12]}" if self.revision else ""
        return f"{self.source} ({kind}{at})"
