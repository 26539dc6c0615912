"""Attention to the source by given targets, which alignments are made of."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq_cli.config.models import check_attends_to_source
from seq2seq_cli.models import TranslationModel, capture_attention


@torch.inference_mode()
def attention_to_source(
    models: Sequence[TranslationModel], source: Tensor, target: Tensor
) -> Tensor:
    """Compute the attention to (B, S) ids when models predict what follows targets (B, T).

    Targets begin with BOS. Returns (B, T, S), the mean over models, layers and heads, of those that
    align words. Raises InputError for models without attention to the source.
    """
    total = torch.zeros((), device=source.device)
    count = 0
    for model in models:
        check_attends_to_source(model.config, "word alignment")
        with capture_attention(model, aligning=True) as captured:
            model(source, target)
        for calls in captured:
            total = total + torch.cat(calls, dim=2).float().mean(dim=1)
            count += 1
    return total / count
