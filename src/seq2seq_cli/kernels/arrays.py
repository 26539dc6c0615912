"""Arrays of numpy as kernels read them."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]


def address(array: Array | None) -> int | None:
    """The address of an array's numbers, which must be in C's order; None for null."""
    if array is None:
        return None
    assert array.flags.c_contiguous, "kernels read arrays in C's order"
    return array.ctypes.data
