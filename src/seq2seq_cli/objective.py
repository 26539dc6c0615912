"""What training minimises: from a batch to its loss."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq_cli.batching import Batch
from seq2seq_cli.config import TrainingConfig
from seq2seq_cli.devices import autocast
from seq2seq_cli.loss import cross_entropy
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.r_drop import r_drop
from seq2seq_cli.symbols import PIECES, UNK


@dataclass(frozen=True)
class Objective:
    """The loss of a batch as the settings want it; the model's products run in `precision`."""

    config: TrainingConfig
    precision: torch.dtype

    def __call__(self, model: TranslationModel, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, which has gradients, and the plain negative log-likelihood, which has none.

        Both are sums over the batch's target tokens, in nats.
        """
        config = self.config
        passes = 2 if config.r_drop else 1
        source = batch.source.repeat(passes, 1)
        read, predicted = batch.target[:, :-1].repeat(passes, 1), batch.target[:, 1:]
        if config.word_dropout:
            source = without_words(source, config.word_dropout)
            read = without_words(read, config.word_dropout)
        with autocast(source.device, self.precision):
            features = model(source, read)
        weight = model.output.weight
        if config.r_drop:
            return r_drop(features, weight, predicted, config.label_smoothing, config.r_drop)
        return cross_entropy(features, weight, predicted, config.label_smoothing)


def without_words(ids: Tensor, probability: float) -> Tensor:
    """Replace tokens at random by UNK, but no BOS, EOS and PAD (Bowman et al. 2016)."""
    # Drawn on the CPU wherever the ids are, and so the same on every device.
    dropped = (torch.rand(ids.shape) < probability).to(ids.device)
    return ids.masked_fill(dropped & (ids >= len(PIECES)), UNK)
