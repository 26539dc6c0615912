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
from seq2seq_cli.symbols import NEVER, UNK, WORD_START
from seq2seq_cli.tokenization.extension import comes_up, cut, with_pieces
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
        """The facts that a run which begins with this one records: origin, licence and search."""
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

        Vectors of pieces that both vocabularies have are carried over. Where pieces were added to
        the vocabulary, theirs are the mean of those of the pieces that their text was cut into;
        otherwise new ones stay random. Raises InputError if the models differ in a setting, or if
        the run is damaged.
        """
        old, sha256 = self.run.load_model_and_hash()
        _check_same_shapes(old.config, model.config, self.run.path)
        weights = dict(old.named_parameters())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name not in BY_PIECE:
                    parameter.copy_(weights[name])
        said(f"weights begin as those of {self.run.path}")
        for sentence in _carry_over_pieces(old, model, self.run.load_tokenizers(), tokenizers):
            said(sentence)
        return sha256


# Weights with a row for each piece
BY_PIECE = ("source_embedding.weight", "target_embedding.weight", "output.weight", "output.bias")

Vectors = tuple[Tokenizer, Tensor]  # a vocabulary and the vectors (V, D) of its pieces


def _carry_over_pieces(
    old: TranslationModel, model: TranslationModel, before: Tokenizers, now: Tokenizers
) -> Iterator[str]:
    """Carry over what has a row for each piece, from vocabularies before; yields how many."""
    source = (before.source, old.source_embedding.weight)
    target = (before.target, old.target_embedding.weight)
    if model.source_embedding is model.target_embedding:
        yield _carry_over("", model.target_embedding.weight, now.target, [target, source])
    else:
        yield _carry_over("source ", model.source_embedding.weight, now.source, [source])
        yield _carry_over("target ", model.target_embedding.weight, now.target, [target])
    if not model.config.tie_output:
        _carry_over("", model.output.weight, now.target, [(before.target, old.output.weight)])
    if model.output.bias is not None:
        _carry_over("", model.output.bias, now.target, [(before.target, old.output.bias)])


@torch.no_grad()
def _carry_over(
    side: str, fresh: Tensor, tokenizer: Tokenizer, pretrained: Sequence[Vectors]
) -> str:
    """Carry pretrained rows over, make those of added pieces, and say how many."""
    named = [(before.vocabulary, vectors) for before, vectors in pretrained]
    carried = carry_over(fresh, tokenizer.vocabulary, named)
    count, new = len(tokenizer), len(tokenizer) - carried
    said = f"{side}embeddings: {carried:,} of {count:,} pieces carried over, {new:,} new"
    size = len(pretrained[0][0])
    if not new or tokenizer.vocabulary[:size] != pretrained[0][0].vocabulary:
        return said
    for number in range(size, count):
        fresh[number] = _mean_of_parts(tokenizer.vocabulary[number], pretrained, fresh[number])
    return f"{said} as the mean of the pieces that their text was cut into"


def _mean_of_parts(piece: str, pretrained: Sequence[Vectors], fresh: Tensor) -> Tensor:
    """The mean of the old rows of what a new piece was cut into; `fresh` if there are none.

    If two tokenizers cut it, the cut with fewer pieces counts, and known ones come first.
    """
    cuts = [(cut(before, piece), vectors) for before, vectors in pretrained]
    ids, vectors = min(cuts, key=lambda each: (not each[0], UNK in each[0], len(each[0])))
    rows = vectors[ids]
    if rows.dim() == 1:  # biases; a piece that cannot be written does not rule a new one out
        rows = rows[rows > NEVER / 2]
    return rows.mean(dim=0) if len(rows) else fresh


def extended(tokenizers: Tokenizers, pieces: Sequence[str], languages: Sequence[str]) -> Tokenizers:
    """The tokenizers of a run with more pieces, on both sides, and tags of languages.

    Where each side has a vocabulary of its own, tags are the source's, and the target's if that has
    tags already. Raises InputError for a piece that no text is cut into.
    """
    sides = tokenizers.source, tokenizers.target
    for piece in pieces:
        reads = [side.read(piece.replace(WORD_START, " ")) for side in sides]
        require(
            any(comes_up(side, piece) for side in sides),
            f'the piece "{piece}" would never come up: the tokenizer reads its text as '
            f'"{reads[0]}"; write it so, or leave it out',
        )
    if tokenizers.is_one:
        one = with_pieces(tokenizers.target, pieces, languages)
        return Tokenizers(one, one)
    if tokenizers.is_joint:
        both = [with_pieces(side, pieces, languages) for side in sides]
        return Tokenizers(both[0], both[1], joint=True)
    source, target = ([p for p in pieces if comes_up(side, p)] for side in sides)
    return Tokenizers(
        with_pieces(tokenizers.source, source, languages),
        with_pieces(tokenizers.target, target, languages if tokenizers.target.tags else ()),
    )


@torch.no_grad()
def carry_over(
    fresh: Tensor, pieces: Sequence[str], pretrained: Sequence[tuple[Sequence[str], Tensor]]
) -> int:
    """Overwrite the rows (V, ...) of pieces that have pretrained ones; returns how many have.

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
