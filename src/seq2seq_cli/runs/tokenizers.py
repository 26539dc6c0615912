"""The tokenizers of both sides of a run."""

from collections.abc import Mapping
from pathlib import Path

from seq2seq_cli.config.models import Vocabulary
from seq2seq_cli.config.settings import require
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.runs.layout import JOINT_TOKENIZER, SOURCE_TOKENIZER, TARGET_TOKENIZER
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.whole_files import replace_file


@dataclass(frozen=True)
class Tokenizers:
    """The tokenizer of each side.

    A joint vocabulary is one list of pieces, and one matrix where a model ties its embeddings.
    Usually both sides are then sides of one tokenizer; an imported model may cut their text in
    different ways.
    """

    source: Tokenizer
    target: Tokenizer
    joint: bool | None = None  # whether there is one list of pieces; None: if it is one tokenizer

    def __post_init__(self) -> None:
        if self.joint is None or self.is_one:
            object.__setattr__(self, "joint", self.is_one)
        require(
            not self.joint or self.source.vocabulary == self.target.vocabulary,
            "the tokenizers of a joint vocabulary have different pieces",
        )
        object.__setattr__(self, "source", self.source.for_side("source"))
        object.__setattr__(self, "target", self.target.for_side("target"))

    @property
    def is_joint(self) -> bool:
        """Whether both sides have one list of pieces."""
        return bool(self.joint)

    @property
    def is_one(self) -> bool:
        """Whether both sides are sides of one tokenizer, with one file."""
        return self.source.shares_vocabulary(self.target)

    def are(self, source: Tokenizer, target: Tokenizer) -> bool:
        """Whether the files of both sides are the same as those of these tokenizers."""
        files = (self.source.sha256, self.target.sha256)
        return files == (source.sha256, target.sha256)

    @property
    def vocabulary(self) -> Vocabulary:
        """The sizes of both vocabularies."""
        return Vocabulary(len(self.source), len(self.target), self.is_joint)

    def files(self) -> dict[str, Tokenizer]:
        """File name in the run folder -> tokenizer."""
        if self.is_one:
            return {JOINT_TOKENIZER: self.source}
        return {SOURCE_TOKENIZER: self.source, TARGET_TOKENIZER: self.target}

    def save(self, folder: Path) -> None:
        """Write the files into a run folder."""
        for name, tokenizer in self.files().items():
            replace_file(folder / name, tokenizer.model)

    @classmethod
    def load(cls, folder: Path, hashes: Mapping[str, str], joint: bool) -> "Tokenizers":
        """Read the files named in `hashes` from a run folder, of one or two lists of pieces.

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
        return cls(loaded[SOURCE_TOKENIZER], loaded[TARGET_TOKENIZER], joint)
