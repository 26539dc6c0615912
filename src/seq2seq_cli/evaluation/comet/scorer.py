"""Scores lines with COMET and COMET-Kiwi.

A checkpoint is an XLM-R encoder with a regression head. COMET compares with a reference; Kiwi reads
the source and the translation alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.comet.checkpoint import FETCH, read_checkpoint
from seq2seq_cli.evaluation.comet.encoder import PREFIX, Encoder

if TYPE_CHECKING:
    from torch import Tensor

HASHED = 12  # characters of a checkpoint's SHA-256 in a signature
ACTIVATIONS = ("tanh", "sigmoid", "relu")
PARTS = 6  # vectors that the head reads where there is a reference


@dataclass
class Comet:
    """A model that scores translations, with what it scored so far."""

    name: str
    sha256: str
    needs_reference: bool
    encoder: Encoder
    estimate: "Callable[[Tensor], Tensor]"  # features (N, F) to scores (N,)
    scored: dict[tuple[str, str, str], float] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Comet":
        """Load a checkpoint, or the folder that unbabel-comet keeps it in.

        Raises InputError for what is missing or of another kind, and where transformers is not
        installed.
        """
        checkpoint = read_checkpoint(path)
        kind = checkpoint.settings.get("class_identifier")
        segments = checkpoint.settings.get("input_segments", ["mt", "src", "ref"])
        if kind not in ("regression_metric", "unified_metric"):
            raise InputError(
                f"{path}: a model of the kind {kind}; regression_metric (COMET) and unified_metric "
                "(COMET-Kiwi) are allowed"
            )
        if kind == "unified_metric" and segments != ["mt", "src"]:
            raise InputError(
                f"{path}: it reads {', '.join(map(str, segments))}; of the unified models those "
                "that read mt and src are allowed, as COMET-Kiwi"
            )
        needs_reference = kind == "regression_metric"
        encoder = Encoder.of(checkpoint, needs_reference=needs_reference)
        head = checkpoint.head(PREFIX, encoder.model.device)
        inputs = encoder.model.config.hidden_size * (PARTS if needs_reference else 1)
        return cls(
            path.name or "comet",
            checkpoint.sha256,
            needs_reference,
            encoder,
            _estimator(head, checkpoint.settings, inputs, path),
        )

    def score_lines(
        self, hypotheses: Sequence[str], source: Sequence[str], reference: Sequence[str]
    ) -> list[float]:
        """The score of each line times 100; lines that were scored before are not computed again.

        The reference is not read unless the model needs one.
        """
        if not self.needs_reference:
            reference = [""] * len(hypotheses)
        lines = list(zip(hypotheses, source, reference, strict=True))
        new = [line for line in dict.fromkeys(lines) if line not in self.scored]
        if new:
            self.scored |= dict(zip(new, self._score(new), strict=True))
        return [self.scored[line] for line in lines]

    def _score(self, lines: Sequence[tuple[str, str, str]]) -> list[float]:
        import torch

        with torch.inference_mode():
            if self.needs_reference:
                translation, source, reference = (
                    self._embed_all(texts) for texts in zip(*lines, strict=True)
                )
                features = torch.cat(
                    (
                        translation,
                        reference,
                        translation * reference,
                        (translation - reference).abs(),
                        translation * source,
                        (translation - source).abs(),
                    ),
                    dim=1,
                )
            else:
                tokenize, join = self.encoder.tokenize, self.encoder.join
                features = self.encoder.vectors(
                    [join(tokenize(mt), tokenize(src)) for mt, src, _ in lines]
                )
            scores = self.estimate(features)
            if not scores.isfinite().all():
                raise InputError(
                    f"{self.name}: a score is not a number, since its weights are damaged; {FETCH}"
                )
            return [100 * score for score in scores.tolist()]

    def _embed_all(self, texts: Sequence[str]) -> "Tensor":
        """The vectors of texts; the same text, such as a source of many systems, once."""
        import torch

        different = list(dict.fromkeys(texts))
        vectors = self.encoder.vectors([self.encoder.tokenize(text) for text in different])
        rows = {text: row for row, text in enumerate(different)}
        return vectors[torch.tensor([rows[text] for text in texts])]


def _estimator(
    head: "Mapping[str, Tensor]", settings: Mapping[str, Any], inputs: int, path: Path
) -> "Callable[[Tensor], Tensor]":
    """The regression head: products with an activation after each but the last.

    Raises InputError unless it makes one number of `inputs`.
    """
    import torch

    prefix = "estimator.ff."
    found = (re.fullmatch(rf"{re.escape(prefix)}(\d+)\.weight", name) for name in head)
    numbers = sorted(int(each[1]) for each in found if each)
    if not numbers:
        raise InputError(f"{path}: the weights of the estimator are missing")
    width = inputs
    for number in numbers:
        weight, bias = head[f"{prefix}{number}.weight"], head.get(f"{prefix}{number}.bias")
        rows = 1 if number == numbers[-1] else next(iter(weight.shape), 1)
        if weight.shape != (rows, width) or bias is None or bias.shape != (rows,):
            raise InputError(
                f"{path}: {prefix}{number}.weight is {list(weight.shape)} with a bias "
                f"{None if bias is None else list(bias.shape)}, {[rows, width]} and {[rows]} fit "
                f"the layer before it; {FETCH}"
            )
        width = rows
    between = _activation(settings.get("activations", "Tanh"), path)
    last = settings.get("final_activation")
    final = None if last is None else _activation(last, path)

    def estimate(features: "Tensor") -> "Tensor":
        features = features.to(head[f"{prefix}{numbers[0]}.weight"].device)
        for number in numbers:
            if number != numbers[0]:
                features = between(features)
            weight, bias = head[f"{prefix}{number}.weight"], head[f"{prefix}{number}.bias"]
            features = torch.nn.functional.linear(features, weight, bias)
        return (features if final is None else final(features))[:, 0].cpu()

    return estimate


def _activation(name: str, path: Path) -> "Callable[[Tensor], Tensor]":
    import torch

    if str(name).lower() not in ACTIVATIONS:
        raise InputError(f"{path}: the activation {name}; {', '.join(ACTIVATIONS)} are allowed")
    found: Callable[[Tensor], Tensor] = getattr(torch, str(name).lower())
    return found
