"""The weights of a run as exports write them: one at a time, in the types they are stored in."""

from collections.abc import Iterator, Sequence

import numpy as np

from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.interop.foreign_model import StoredWeight, WeightType, reordered, widened
from seq2seq_cli.kernels.arrays import Array, as_bfloat16
from seq2seq_cli.runs.stored_weights import weight_type
from seq2seq_cli.tokenization.foreign_vocabulary import Rows


class RunWeights:
    """The weights of a run by our names; nothing is read before it is written."""

    def __init__(self, model: PlainModel) -> None:
        self._arrays = model.arrays if model.stored is None else model.stored
        self._release = model.release

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    @property
    def narrow_type(self) -> WeightType | None:
        """The type of 16 bits that the run is stored in; None if there is none, or two."""
        types = {weight_type(array) for array in self._arrays.values()} - {"F32"}
        return types.pop() if len(types) == 1 else None

    def array(self, name: str) -> Array:
        """A small weight in float32."""
        return widened(self._arrays[name])

    def row(self, name: str, number: int) -> Array:
        """A row of a weight in float32."""
        return widened(self._arrays[name][number])

    def part(self, name: str, first: int = 0, last: int | None = None) -> StoredWeight:
        """The rows of a weight from the first up to but without the last; all by default."""
        view = self._arrays[name][first:last]

        def read() -> Array:
            self._release()  # what was written before
            return view

        return StoredWeight(view.shape, weight_type(view), read)

    def parts(self, name: str, theirs: Sequence[str]) -> Iterator[tuple[str, StoredWeight]]:
        """Names of modules elsewhere, and the equal parts of a weight that theirs are here."""
        rows = len(self._arrays[name]) // len(theirs)
        for number, module in enumerate(theirs):
            yield module, self.part(name, number * rows, (number + 1) * rows)

    def reordered(self, name: str, rows: Rows) -> StoredWeight:
        """A matrix with its rows in another order."""
        return reordered(self.part(name), rows)


def converted(weight: StoredWeight, kind: WeightType) -> StoredWeight:
    """A weight in another type, as `in_type`."""
    if weight.dtype == kind:
        return weight
    rows = weight.rows

    def of_rows(first: int, last: int) -> Array:
        assert rows is not None
        return in_type(rows(first, last), kind)

    return StoredWeight(
        weight.shape, kind, lambda: in_type(weight.read(), kind), None if rows is None else of_rows
    )


def exact_in(weight: StoredWeight, kind: WeightType) -> StoredWeight:
    """A weight in another type if that loses nothing, otherwise as it is; it is read once more."""
    is_exact = weight.dtype == "F32" != kind and all(
        np.array_equal(block, widened(in_type(block, kind))) for block in weight.blocks()
    )
    return converted(weight, kind) if is_exact else weight


def in_type(array: Array, kind: WeightType) -> Array:
    """Numbers in a type. What float16 cannot hold becomes its greatest number."""
    wide = widened(array)
    if kind == "F16":
        most = np.finfo(np.float16).max
        return np.clip(wide, -most, most).astype(np.float16)
    return as_bfloat16(wide) if kind == "BF16" else wide
