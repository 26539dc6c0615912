"""The tokenizers of both sides of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seq2seq_cli.config.models import Vocabulary
from seq2seq_cli.config.settings import require
from seq2seq_cli.runs.layout import JOINT_TOKENIZER, SOURCE_TOKENIZER, TARGET_TOKENIZER
from seq2seq_cli.text import replace_file
from seq2seq_cli.tokenization.tokenizer import Tokenizer


@dataclass(frozen=True)
class Tokenizers:
    """The tokenizer of each side; of a joint vocabulary, both are sides of one."""

    source: Tokenizer
    target: Tokenizer

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", self.source.for_side("source"))
        object.__setattr__(self, "target", self.target.for_side("target"))

    @property
    def is_joint(self) -> bool:
        """Whether both sides have one vocabulary."""
        return self.source.shares_vocabulary(self.target)

    @property
    def vocabulary(self) -> Vocabulary:
        """The sizes of both vocabularies."""
        return Vocabulary(len(self.source), len(self.target), self.is_joint)

    def files(self) -> dict[str, Tokenizer]:
        """File name in the run folder -> tokenizer."""
        if self.is_joint:
            return {JOINT_TOKENIZER: self.source}
        return {SOURCE_TOKENIZER: self.source, TARGET_TOKENIZER: self.target}

    def save(self, folder: Path) -> None:
        """Write the files into a run folder."""
        for name, tokenizer in self.files().items():
            replace_file(folder / name, tokenizer.model)

    @classmethod
    def load(cls, folder: Path, hashes: Mapping[str, str]) -> "Tokenizers":
        """Read the files named in `hashes` from a run folder.

        Raises InputError if one is missing, damaged, or does not have its SHA-256.
        """
        loaded = {}
        for name, expected in hashes.items():
            loaded[name] = Tokenizer.load(folder / name)
            require(
                loaded[name].sha256 == expected,
                f"{folder / name} is not the tokenizer that this model was trained with",
            )
        if JOINT_TOKENIZER in loaded:
            return cls(loaded[JOINT_TOKENIZER], loaded[JOINT_TOKENIZER])
        return cls(loaded[SOURCE_TOKENIZER], loaded[TARGET_TOKENIZER])
