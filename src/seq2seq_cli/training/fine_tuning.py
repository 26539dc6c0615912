"""Training that begins with the weights of another run, whatever its vocabulary."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.models import ModelConfig, TranslationModel
from seq2seq_cli.runs.layout import WEIGHTS
from seq2seq_cli.runs.run_config import RunFacts
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tensors import read_label
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.tokenizer import Tokenizer


@dataclass(frozen=True)
class PretrainedRun:
    """A run whose weights another one begins with."""

    run: RunFolder

    @classmethod
    def at(cls, path: str, output: Path) -> "PretrainedRun":
        """The run at a path. Raises InputError if there is none or it is the run to be written."""
        run = RunFolder(Path(path))
        run.load_config()
        require(
            Path(path).resolve() != output.resolve(),
            f'training.init_from = "{path}" is the run folder to write; choose another --output',
        )
        return cls(run)

    @property
    def sha256(self) -> str:
        """The hash of its weights, which change while it is trained."""
        path = self.run.path / WEIGHTS
        require(path.is_file(), f"{path} is missing: that run has not been validated yet")
        return str(read_label(path)["sha256"])

    def inherited_facts(self) -> RunFacts:
        """What a run that begins with this one records of it: its origin, licence and search."""
        facts = self.run.config.facts()
        origin = facts.origin and replace(facts.origin, verified="")  # its weights change
        return RunFacts(origin=origin, search=facts.search)

    def check(self, expected: str, sha256: str) -> None:
        """Raise InputError if its weights, of this hash, are not the expected ones, if any are."""
        require(
            expected in ("", sha256),
            f"{self.run.path} holds other weights than training.init_sha256 says; give the run "
            "that it was, or begin with this one under another --output",
        )

    def initialise(
        self, model: TranslationModel, tokenizers: Tokenizers, said: Callable[[str], None]
    ) -> str:
        """Copy the weights into a new model, and say what was copied; returns their hash.

        Vectors of pieces that both vocabularies have are carried over; the others stay random.
        Raises InputError if the models differ in a setting, or if the run is damaged.
        """
        old, sha256 = self.run.load_model_and_hash()
        for sentence in self._copy(old, model, tokenizers):
            said(sentence)
        return sha256

    def _copy(
        self, old: TranslationModel, model: TranslationModel, tokenizers: Tokenizers
    ) -> Iterator[str]:
        """Copy weights; yields sentences that say which."""
        _check_same_shapes(old.config, model.config, self.run.path)
        weights = dict(old.named_parameters())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if model.group(name) != "embeddings":
                    parameter.copy_(weights[name])
        yield f"weights begin as those of {self.run.path}"
        pretrained = self.run.load_tokenizers()
        source = (pretrained.source.vocabulary, old.source_embedding.weight)
        target = (pretrained.target.vocabulary, old.target_embedding.weight)
        if model.source_embedding is model.target_embedding:
            yield _carry_over_and_report(
                "", model.target_embedding.weight, tokenizers.target, [target, source]
            )
            return
        yield _carry_over_and_report(
            "source ", model.source_embedding.weight, tokenizers.source, [source]
        )
        yield _carry_over_and_report(
            "target ", model.target_embedding.weight, tokenizers.target, [target]
        )


Vectors = tuple[Sequence[str], Tensor]  # the pieces of a vocabulary, and their vectors (V, D)


def _carry_over_and_report(
    side: str, fresh: Tensor, tokenizer: Tokenizer, pretrained: Sequence[Vectors]
) -> str:
    """Carry pretrained embeddings over, and say how many."""
    carried = carry_over(fresh, tokenizer.vocabulary, pretrained)
    return (
        f"{side}embeddings: {carried:,} of {len(tokenizer):,} pieces carried over, "
        f"{len(tokenizer) - carried:,} new"
    )


@torch.no_grad()
def carry_over(fresh: Tensor, pieces: Sequence[str], pretrained: Sequence[Vectors]) -> int:
    """Overwrite the vectors (V, D) of pieces that have pretrained ones; returns how many have.

    If several of the pretrained vocabularies have a piece, the first one counts.
    """
    known: dict[str, Tensor] = {}
    for names, vectors in pretrained:
        for name, vector in zip(names, vectors, strict=True):
            known.setdefault(name, vector)
    shared = [number for number, piece in enumerate(pieces) if piece in known]
    fresh[shared] = torch.stack([known[pieces[number]] for number in shared])
    return len(shared)


def _check_same_shapes(old: ModelConfig, new: ModelConfig, path: Path) -> None:
    """Raise InputError for the first setting that differs, unless only training uses it."""
    for name, value, asked in old.differences(new):
        raise InputError(
            f"training.init_from: the weights of {path} were trained with model.{name} = "
            f"{value!r} and do not fit {asked!r}; leave model.{name} and --preset out to take "
            "the settings of that run, or train from the beginning"
        )
