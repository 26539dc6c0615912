"""A model of another engine as its reader hands it on: settings, tokenizers, weights by our names.

A reader opens files, checks what they say, and returns a `ForeignModel`; `run_writer` makes a run
folder of it. Weights are read one at a time, when they are written, so that only one is in memory
beside the mapped file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.kernels.arrays import Array, widened
from seq2seq_cli.padding import Ids
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.stored_weights import NUMPY_TYPES, StoredWeight, WeightType
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.foreign_vocabulary import Rows

__all__ = ["NUMPY_TYPES", "ForeignModel", "StoredWeight", "WeightType", "reordered", "widened"]


def reordered(matrix: StoredWeight, rows: Rows) -> StoredWeight:
    """A matrix (V', ...) in the order of our vocabulary, of which some rows at a time are read.

    `matrix.read` is called for each of these parts: it should return a view into a mapped file.
    """

    def part(first: int, last: int) -> Array:
        return Rows(rows.numbers[first:last], rows.never[first:last]).of(matrix.read())

    shape = (len(rows), *matrix.shape[1:])
    return StoredWeight(shape, matrix.dtype, lambda: part(0, len(rows)), part)


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
    by_sentence: bool = True  # whether lines are split into sentences, unless options say otherwise
