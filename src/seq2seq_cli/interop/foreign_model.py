"""A model of another engine as its reader hands it on: settings, tokenizers, weights by our names.

A reader opens files, checks what they say, and returns a `ForeignModel`; `run_writer` makes a run
folder of it. Weights are read one at a time, when they are written, so that only one is in memory
beside the mapped file.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.shapes import Shape
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.padding import Ids
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.tokenizers import Tokenizers

WeightType: TypeAlias = Literal["F32", "F16", "BF16"]  # as safetensors calls them

# numpy has no bfloat16: the bits of such numbers are passed on as they are.
NUMPY_TYPES: Mapping[WeightType, type[np.generic]] = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
}


@dataclass(frozen=True)
class StoredWeight:
    """A weight that is read when it is asked for.

    `read` returns an array of `shape`, of the type that `NUMPY_TYPES` names. It is called once, and
    its result is dropped before the next weight is read.
    """

    shape: Shape
    dtype: WeightType
    read: Callable[[], Array]

    @classmethod
    def of(cls, array: Array) -> "StoredWeight":
        """A weight that is in memory, or a view into a mapped file: float32 or float16."""
        dtype: WeightType = "F16" if array.dtype == np.float16 else "F32"
        return cls(array.shape, dtype, lambda: array.astype(NUMPY_TYPES[dtype], copy=False))

    @property
    def bytes(self) -> int:
        """The size of its numbers."""
        return math.prod(self.shape) * np.dtype(NUMPY_TYPES[self.dtype]).itemsize


def widened(array: Array) -> Array:
    """The numbers of a stored weight (float32, float16, or the bits of bfloat16) as float32."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


@dataclass(frozen=True)
class ForeignModel:
    """All that a run folder needs, from a model of another engine.

    `weights` have the names and shapes of `config.shapes.weight_shapes(config,
    tokenizers.vocabulary)`. `data` holds what its data were like: languages, `max_length`. `search`
    holds the author's defaults by names of `SearchOptions`, such as {"beam": 6, "alpha": 1.0}.
    `origin` has the format, the model's kind and the licence; the import adds the rest. `shortlist`
    is what `RunFolder.save_shortlist` takes: translations (V, n) and common (m,). `notes` are told
    to the user: what was changed or left out.
    """

    config: TransformerConfig
    tokenizers: Tokenizers
    weights: Mapping[str, StoredWeight]
    data: DataConfig
    origin: Origin
    search: Mapping[str, int | float | str] = field(default_factory=dict)
    shortlist: tuple[Ids, Ids] | None = None
    notes: tuple[str, ...] = ()
