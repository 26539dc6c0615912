"""Calls kernels of a training step, in as many threads as torch has."""

import ctypes
from functools import lru_cache

import torch
from torch import Tensor

from seq2seq_cli.kernels import library as builds
from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.prototypes import POINTER

SERIAL = 1 << 15  # with fewer numbers than these, a second thread costs more than it gains

_threads = Functions("void use_threads(void *parallel);")


def library() -> ctypes.CDLL | None:
    """Load the library in use, and let it share torch's threads; None if this machine has none."""
    loaded = builds.library()
    return None if loaded is None else _with_threads(loaded)


@lru_cache
def _with_threads(loaded: ctypes.CDLL) -> ctypes.CDLL:
    """Let a library that was loaded use torch's threads; once for each library."""
    # The threads of the OpenMP library that torch uses; without it there is one thread.
    threads = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    _threads().use_threads(ctypes.cast(threads, POINTER) if threads else None)
    return loaded


def call(
    kernels: Functions, name: str, like: Tensor, *arguments: object, size: int | None = None
) -> None:
    """Call a kernel in the version for the dtype of `like`; tensors are passed by their addresses.

    `size` is how many numbers it reads, by default those of `like`.
    """
    assert library() is not None, "callers have asked autograd.dispatch.engine"
    size = like.numel() if size is None else size
    threads = 1 if size < SERIAL else torch.get_num_threads()
    passed = (x.data_ptr() if isinstance(x, Tensor) else x for x in arguments)
    getattr(kernels(), name)(like.dtype == torch.bfloat16, *passed, threads)


def as_float32(weight: Tensor) -> Tensor:
    """Weights as kernels read them; no copy if they are already so."""
    return weight.float().contiguous()
