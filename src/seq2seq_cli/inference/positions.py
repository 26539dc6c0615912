"""Vectors for the positions of tokens, as the models in PyTorch compute them.

Dimensions: D width.
"""

import math
from functools import lru_cache

import numpy as np

from seq2seq_cli.kernels.arrays import Floats


def table_size(length: int) -> int:
    """A size of tables for at least `length` positions: a few tables serve all lengths."""
    return 1 << max(6, (length - 1).bit_length())


@lru_cache(maxsize=32)
def sinusoids(length: int, width: int, form: str = "halves") -> Floats:
    """Sinusoidal encodings (length, D) of the positions from 0 on (Vaswani 2017).

    `form` is as model.sinusoids describes.
    """
    half = (width + 1) // 2
    steps = max(1, half - 1) if form == "tensor2tensor" else half
    rate = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(10000.0) / steps))
    angle = np.arange(length, dtype=np.float32)[:, None] * rate
    if form == "interleaved":
        table = np.stack((np.sin(angle), np.cos(angle)), axis=2).reshape(length, -1)
    else:
        table = np.concatenate((np.sin(angle), np.cos(angle)), axis=1)
    return np.ascontiguousarray(table[:, :width])


@lru_cache(maxsize=32)
def rotations(length: int, head_width: int) -> Floats:
    """Cosines and sines (length, 2, head width / 2) of rotary positions from 0 on (Su 2021)."""
    sines, cosines = np.split(sinusoids(length, head_width), 2, axis=1)
    return np.stack((cosines, sines), axis=1)


def learned(vectors: Floats, length: int) -> Floats:
    """Rows (length, D) of learned vectors; positions beyond the last one share its vector."""
    return vectors[np.minimum(np.arange(length), len(vectors) - 1)]
