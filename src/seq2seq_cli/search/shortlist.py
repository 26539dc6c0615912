"""Predicting only words that can translate the source: a fraction of the output products.

A sentence's list depends on the sentence alone, so its translation does not depend on the batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq_cli.symbols import PAD


@dataclass(frozen=True)
class Shortlist:
    """The likeliest translations of each source token (Jean 2015), and words that any target has.

    `translations` (source vocabulary, n) holds target ids, `common` those on every list, the
    control symbols 0, 1, … first.
    """

    translations: Tensor
    common: Tensor
    size: int  # of the target vocabulary

    def of(self, source: Tensor, forced: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """For (B, S) ids: the tokens on any list (V,), ascending; and (B, V), which are not on a
        sentence's own list. `forced` (B, any), PAD where there is none, is on the list anyway.
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
