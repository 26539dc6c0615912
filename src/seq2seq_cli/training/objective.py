"""The loss that training minimises, from a batch on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.devices import autocast
from seq2seq_cli.models import TranslationModel, capture_attention
from seq2seq_cli.models.copying import mean_attention
from seq2seq_cli.symbols import PAD, PIECES, UNK
from seq2seq_cli.training.copying import copying_cross_entropy
from seq2seq_cli.training.cross_entropy import cross_entropy
from seq2seq_cli.training.r_drop import r_drop

LEAST_ATTENTION = 1e-6  # before the logarithm: masked positions have zero attention


@dataclass(frozen=True)
class Objective:
    """The loss of a batch by the settings; the model's products run in `precision`."""

    config: TrainingConfig
    precision: torch.dtype
    # Token ids of language tags of both sides, which word dropout leaves alone
    tags: tuple[int, ...] = ()
    target_tags: tuple[int, ...] = ()

    def __call__(self, model: TranslationModel, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, which has gradients, and the plain negative log-likelihood, which has none.

        Both are sums over the batch's target tokens, in nats.
        """
        config, passes = self.config, self._passes(model)
        computed = [self._hidden(model, batch, repeats) for repeats in passes]
        hidden = computed[0][0] if len(computed) == 1 else torch.cat([each for each, _ in computed])
        predicted, smoothing = batch.target[:, 1:], config.label_smoothing
        weight, bias = model.output.weight, model.output.bias
        if model.copy_gate is not None:
            captured = computed[0][1]
            if any(captured):
                attention = mean_attention(captured)
            else:  # all layers were left out by layer dropout: nothing is copied
                attention = hidden.new_zeros(*predicted.shape, batch.source.size(1)).float()
            with autocast(hidden.device, self.precision):
                loss, plain = copying_cross_entropy(
                    model, hidden, attention, batch.source, predicted, smoothing
                )
        elif config.r_drop:
            loss, plain = r_drop(hidden, weight, predicted, smoothing, config.r_drop, bias)
        else:
            loss, plain = cross_entropy(hidden, weight, predicted, smoothing, bias)
        if batch.alignment is not None:
            for repeats, (_, captured) in zip(passes, computed, strict=True):
                alignment = batch.alignment.repeat(repeats, 1, 1) / sum(passes)
                loss = loss + config.guided_alignment * misalignment(captured, alignment)
        return loss, plain

    def _passes(self, model: TranslationModel) -> list[int]:
        """How often each forward pass repeats the batch.

        R-Drop reads it twice in one pass, unless that would leave out the same layers both times.
        """
        if not self.config.r_drop:
            return [1]
        return [1, 1] if model.config.drops_layers else [2]

    def _hidden(
        self, model: TranslationModel, batch: Batch, repeats: int
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """Hidden states (repeats x tokens, D) of a batch; each layer's attention if it is needed.

        The repeats differ by what dropout leaves out.
        """
        # EOS is the input of no prediction: it is replaced by PAD, so that it is not computed.
        read = batch.target[:, :-1].masked_fill(batch.target[:, 1:] == PAD, PAD)
        source, read = batch.source.repeat(repeats, 1), read.repeat(repeats, 1)
        if self.config.word_dropout:
            source = without_words(source, self.config.word_dropout, self.tags)
            read = without_words(read, self.config.word_dropout, self.target_tags)
        with autocast(source.device, self.precision):
            if batch.alignment is None and model.copy_gate is None:
                return model.hidden(source, read), []
            with capture_attention(model, aligning=True) as captured:
                return model.hidden(source, read), captured


def plain_loss(model: TranslationModel, batch: Batch) -> Tensor:
    """The negative log-likelihood of a batch's target tokens, in nats."""
    predicted = batch.target[:, 1:]
    if model.copy_gate is None:
        hidden = model(batch.source, batch.target[:, :-1])
        output = model.output
        return cross_entropy(hidden, output.weight, predicted, bias=output.bias)[1]
    with capture_attention(model, aligning=True) as captured:
        hidden = model(batch.source, batch.target[:, :-1])[predicted != PAD]
    attention = mean_attention(captured)
    return copying_cross_entropy(model, hidden, attention, batch.source, predicted)[1]


def misalignment(captured: list[list[Tensor]], alignment: Tensor) -> Tensor:
    """How far attention is from a given alignment: their cross-entropy in nats (Chen et al. 2016).

    Attention is the mean of heads and layers, as `attention_to_source` reads it; `captured` are the
    weights (B, H, Q, S) of each layer that aligns words, call by call. alignment (B, T, S): what
    share of each target token comes from each source token, zero for what is linked to nothing, and
    so not asked of attention.
    """
    layers = [torch.cat(calls, dim=2).float().mean(dim=1) for calls in captured if calls]
    if not layers:  # all were left out by layer dropout
        return alignment.new_zeros(())
    mean = torch.stack(layers).mean(dim=0)
    return -(alignment * mean.clamp_min(LEAST_ATTENTION).log()).sum()


def without_words(ids: Tensor, probability: float, spared: Sequence[int] = ()) -> Tensor:
    """Replace tokens at random by UNK (Bowman et al. 2016), except BOS, EOS, PAD and `spared`."""
    # Drawn on the CPU wherever the ids are, and so the same on every device.
    dropped = (torch.rand(ids.shape) < probability).to(ids.device)
    words = ids >= len(PIECES)
    if spared:
        words &= ~torch.isin(ids, torch.tensor(spared, device=ids.device))
    return ids.masked_fill(dropped & words, UNK)
