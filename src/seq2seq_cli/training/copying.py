"""The loss of a model that may copy from the source, by PyTorch's own functions.

The gradient of a mixture does not fit the fused loss, so logits are computed a chunk of tokens at a
time, and once more for the gradients.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seq2seq_cli.models import TranslationModel
from seq2seq_cli.models.copying import gold_with_copies
from seq2seq_cli.symbols import PAD
from seq2seq_cli.training.cross_entropy import chunk_size


def copying_cross_entropy(
    model: TranslationModel,
    hidden: Tensor,
    attention: Tensor,
    source: Tensor,
    target: Tensor,
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """As `cross_entropy`: the loss of predicting `target` (B, T), in nats, and the plain one.

    Hidden states (tokens, D) of all targets but PAD, attention (B, T, S) to the source ids (B, S).
    Smoothing is that of the distribution over the vocabulary.
    """
    gate = model.copy_gate
    assert gate is not None, "the caller has to ask whether the model copies"
    real = target != PAD
    gold, weights = target[real], attention[real]
    sources = source[:, None].expand(-1, target.size(1), -1)[real]
    scores, uniform = _vocabulary_scores(model, hidden, gold)
    mixed = gold_with_copies(scores, gate(hidden).float(), weights, sources, gold)
    plain = -mixed.sum()
    return (1 - smoothing) * plain - smoothing * uniform.sum(), plain.detach()


def _vocabulary_scores(
    model: TranslationModel, hidden: Tensor, gold: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (tokens,) of the gold pieces in the vocabulary, and the means of all."""

    def chunk_scores(rows: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        scores = model.output(rows).float().log_softmax(dim=1)
        return scores.gather(1, chosen[:, None])[:, 0], scores.mean(dim=1)

    step = chunk_size(4 * model.output.weight.size(0))
    parts: list[Any] = [
        checkpoint(
            chunk_scores,
            hidden[start : start + step],
            gold[start : start + step],
            use_reentrant=False,
        )
        for start in range(0, max(1, len(gold)), step)
    ]
    return cast(tuple[Tensor, Tensor], tuple(torch.cat(each) for each in zip(*parts, strict=True)))
