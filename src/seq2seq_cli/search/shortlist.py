"""A shortlist of the words that can translate the source, which makes the output layer cheaper.

A sentence's list depends only on the sentence, so its translation does not depend on the batch.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.arrays import Tokens
from seq2seq_cli.padding import Ids
from seq2seq_cli.symbols import PAD


@dataclass(frozen=True)
class Shortlist:
    """The likeliest translations of each source token (Jean 2015), and the commonest words."""

    translations: Ids  # (source vocabulary, n) target ids
    common: Ids  # (any,) target ids on every list, the control symbols 0, 1, … first
    size: int  # of the target vocabulary

    def of(
        self, sources: Sequence[Sequence[int]], forced: Sequence[Sequence[int]] | None = None
    ) -> tuple[Tokens, npt.NDArray[np.bool_]]:
        """Look up the lists for the tokens of B sentences; those of `forced` are on them anyway.

        Returns the tokens on any list (V,), ascending, and which of them are not on a sentence's
        own list (B, V).
        """
        listed = np.zeros((len(sources), self.size), dtype=np.bool_)
        listed[:, self.common] = True
        for row, source in enumerate(sources):
            tokens = np.asarray(source)
            listed[row, self.translations[tokens[tokens != PAD]]] = True
            if forced is not None:
                listed[row, list(forced[row])] = True
        columns = np.flatnonzero(listed.any(axis=0)).astype(np.int64)
        return columns, np.ascontiguousarray(~listed[:, columns])
