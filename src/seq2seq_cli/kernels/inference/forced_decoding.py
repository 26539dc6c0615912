"""Targets that are given: scores of their tokens, and attention (forced_decoding.cpp).

Dimensions: B sentences, S source tokens of the longest, T tokens of all targets together.
"""

import ctypes
import weakref
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.arrays import address
from seq2seq_cli.kernels.inference.search import ROWS, STEPS, ModelArray, SearchModel
from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.prototypes import POINTER, fields


class _ForcedTargets(ctypes.Structure):
    _fields_ = fields("""
        int32_t sentences;
        const int64_t *tokens;
        const int32_t *lengths;
        float *scores;
        float *const *attention;
        float *mean_attention;
        int64_t attention_stride;
    """)


_kernels = Functions("""
    void *forced_new(const ForcedTargets *targets, const SearchModel *models, int32_t count);
    void forced_free(void *forced);
    int32_t forced_run(void *forced, int32_t count, const PositionTables *tables);
""")


@dataclass(frozen=True)
class Wanted:
    """What is computed of targets."""

    scores: bool = False
    attention: bool = False  # of each layer and head
    mean_attention: bool = False  # the mean over heads, then layers, then models


class ForcedDecoding:
    """The reading of given targets, some steps at a time."""

    def __init__(
        self,
        models: Sequence[SearchModel],
        tokens: NDArray[np.int64],
        lengths: NDArray[np.int32],
        wanted: Wanted,
    ) -> None:
        """Take the tokens (T,) that are to be predicted, each target's one after the other.

        They do not have BOS, which is read first; an EOS at the end is predicted as any other.
        `lengths` (B,) are in tokens.
        """
        self.models = ModelArray(models)
        self.tokens = np.ascontiguousarray(tokens, dtype=np.int64)
        self.lengths = np.ascontiguousarray(lengths, dtype=np.int32)
        assert len(self.tokens) == int(self.lengths.sum())
        assert all(len(model.memory.lengths) == len(self.lengths) for model in models)
        count = len(self.tokens)
        longest = max((int(model.memory.lengths.max()) for model in models), default=0)
        self.scores = np.zeros(count if wanted.scores else 0, dtype=np.float32)  # (T,)
        # Of each model (layers, heads, T, S): the weights at the step that predicts a token; 0
        # beyond a source
        self.attention = [
            np.zeros(
                (
                    model.decoder.sizes.attention_layers,
                    model.decoder.sizes.attention_heads,
                    *(count, longest),
                ),
                dtype=np.float32,
            )
            for model in (models if wanted.attention else ())
        ]
        means = (count, longest) if wanted.mean_attention else (0, 0)
        self.mean_attention = np.zeros(means, dtype=np.float32)  # (T, S)
        self._addresses = (POINTER * len(models))(*(address(each) for each in self.attention))
        self._steps = max(1, min(STEPS, ROWS // max(1, len(self.lengths))))
        struct = _ForcedTargets(
            sentences=len(self.lengths),
            tokens=address(self.tokens),
            lengths=address(self.lengths),
            scores=address(self.scores) if wanted.scores else None,
            attention=address(self._addresses) if wanted.attention else None,
            mean_attention=address(self.mean_attention) if wanted.mean_attention else None,
            attention_stride=longest,
        )
        self.handle = _kernels().forced_new(ctypes.byref(struct), self.models.array, len(models))
        weakref.finalize(self, _kernels().forced_free, self.handle)

    def run(self) -> bool:
        """Read some more tokens of each target; return whether any are left."""
        tables, _owners = self.models.more_tables(self._steps)
        return bool(_kernels().forced_run(self.handle, self._steps, tables))
