"""Arrays of numpy and of ctypes as kernels read them."""

import ctypes
from typing import Any, overload

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]


def is_finite(array: Array) -> bool:
    """Whether all numbers are finite: float32, float16, or the bits of bfloat16 in uint16."""
    if array.dtype == np.float32:
        # A sum is finite only if all numbers are, and takes a fraction of the time.
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())
    # As integers, infinity and NaN are greater than all other numbers of their sign.
    infinity = 0x7C00 if array.dtype == np.float16 else 0x7F80
    greatest = array.view(np.int16).max(initial=0), array.view(np.uint16).max(initial=0)
    return bool(greatest[0] < infinity and greatest[1] < 0x8000 + infinity)


def widened(array: Array) -> Array:
    """Float16 and bfloat16, the latter as bits in uint16, as float32; other arrays as they are."""
    if array.dtype == np.uint16:
        wide = array.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def as_bfloat16(array: Floats) -> Array:
    """The bits (uint16) of the nearest bfloat16 of each number."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = (bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16
    return np.where(np.isnan(array), np.uint32(0x7FC0), rounded).astype(np.uint16)


@overload
def address(array: Array | ctypes.Array[Any]) -> int: ...


@overload
def address(array: None) -> None: ...


def address(array: Array | ctypes.Array[Any] | None) -> int | None:
    """The address of an array's numbers, which must be in C's order; None for null.

    Kernels of search are handed no address but by this function.
    """
    if array is None:
        return None
    if isinstance(array, ctypes.Array):
        return ctypes.addressof(array)
    assert array.flags.c_contiguous, "kernels read arrays in C's order"
    return array.ctypes.data
