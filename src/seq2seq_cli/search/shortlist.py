"""A shortlist of the words that can translate the source, which makes the output layer cheaper.

A sentence's list depends only on the sentence, so its translation does not depend on the batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq_cli.symbols import PAD


@dataclass(frozen=True)
class Shortlist:
    """The likeliest translations of each source token (Jean 2015), and the commonest words."""

    translations: Tensor  # (source vocabulary, n) target ids
    common: Tensor  # (any,) target ids on every list, the control symbols 0, 1, … first
    size: int  # of the target vocabulary

    def of(self, source: Tensor, forced: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Look up the lists for (B, S) ids; `forced` (B, any), PAD-padded, are on them anyway.

        Returns the tokens on any list (V,), ascending, and which of them are not on a sentence's
        own list (B, V).
        """
        batch = source.size(0)
        own = self.translations[source].long()  # (B, S, n)
        own[source == PAD] = PAD
        listed = torch.zeros(batch, self.size, dtype=torch.bool, device=source.device)
        listed.scatter_(1, own.view(batch, -1), True)
        listed[:, self.common] = True
        if forced is not None:
            listed.scatter_(1, forced, True)
        columns = listed.any(dim=0).nonzero()[:, 0]
        return columns, ~listed.index_select(1, columns)
