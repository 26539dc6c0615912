"""Chooses the build of the kernels that this processor runs, and loads it."""

import ctypes
import os
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.prototypes import INT, Check, Prototypes

OUT_OF_MEMORY = 1  # the kind of a failure, as in simd/guard.h
REASON_BYTES = 256

FAILURES = Prototypes("int32_t take_failure(char *reason, int32_t size);")
TILES = Prototypes("int32_t use_tiles(int32_t wanted);")

# For tests of a build: the sizes of its structs, and its vector functions.
STRUCTS = Prototypes("int64_t size_of_struct(const char *name);")
VECTORS = Prototypes("""
    int32_t vectors_lanes();
    float vectors_input_limit();
    int32_t vectors_apply(const char *name, const void *a, const void *b, const void *c,
                          int32_t count, void *out);
""")


def usable_builds() -> list[str]:
    """Builds of the kernels that exist and that this processor can run, the fastest first.

    amx is the avx512 build with matrix tiles in use.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    vnni = getattr(torch.cpu, "_is_vnni_supported", bool)()  # 8-bit dot products
    tiles = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    runs = {
        "amx": capability == "AVX512" and vnni and tiles,
        "avx512": capability == "AVX512" and vnni,
        "avx2": capability in ("AVX2", "AVX512"),
        # On a Xeon held to SSE4 it searches in 0.8 of PyTorch's time in float32, and takes 0.25 to
        # 0.9 of it for dropout, losses, norms and attention with its gradients; 8-bit products
        # are half as fast as float32.
        "scalar": True,
    }
    return [name for name, does in runs.items() if does and build_file(name)]


def build_file(build: str) -> Path | None:
    """The library of a build, or None if it was not made."""
    name = "avx512" if build == "amx" else build
    return next(Path(__file__).parent.glob(f"{name}*.so"), None)


def build_in_use() -> str | None:
    """The fastest usable build, or the one that SEQ2SEQ_NATIVE names; None if there is none.

    Raises InputError if SEQ2SEQ_NATIVE names a build that this machine does not have.
    """
    wanted, usable = os.environ.get("SEQ2SEQ_NATIVE", ""), usable_builds()
    if wanted not in ("", "off", *usable):
        raise InputError(
            f"SEQ2SEQ_NATIVE={wanted}: {', '.join([*usable, 'off'])} are allowed on this machine; "
            "without it the fastest is taken"
        )
    return next((name for name in usable if wanted in ("", name)), None)


@lru_cache
def library() -> ctypes.CDLL | None:
    """Load the build in use; None if there is none. Raises InputError as `build_in_use` does."""
    build = build_in_use()
    if build is None:
        return None
    found = ctypes.CDLL(str(build_file(build)))
    TILES.bind(found).use_tiles(build == "amx")
    return found


def failure_check(library: ctypes.CDLL) -> Check:
    """Make what follows each call: it raises the failure that the call has noted, if any.

    MemoryError says that memory ran out; other exceptions of C++ become a RuntimeError.
    """
    count = INT.in_dll(library, "failure_count")  # of all threads
    take = FAILURES.bind(library).take_failure

    def check(result: Any, function: Any, arguments: tuple[Any, ...]) -> Any:
        if not count.value:
            return result
        reason = ctypes.create_string_buffer(REASON_BYTES)
        kind = take(reason, REASON_BYTES)
        if kind == OUT_OF_MEMORY:
            raise MemoryError(f"no room in the kernel {function.__name__}")
        if kind:
            text = reason.value.decode(errors="replace")
            raise RuntimeError(f"the kernel {function.__name__} failed: {text}")
        return result  # the failure is another thread's

    return check


class Functions(Prototypes):
    """Functions of the library in use: call it to have them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._bound: tuple[ctypes.CDLL | None, SimpleNamespace] = None, SimpleNamespace()

    def __call__(self) -> SimpleNamespace:
        """Return the functions by their names; `library` must have one."""
        loaded = library()
        bound, functions = self._bound
        if loaded is not bound:
            assert loaded is not None, "the caller has to ask library() before"
            functions = self.bind(loaded, failure_check(loaded))
            self._bound = loaded, functions
        return functions


def can_compute(*tensors: Tensor) -> bool:
    """Whether there are kernels of search for these tensors."""
    return library() is not None and all(
        tensor.dtype == torch.float32 and tensor.device.type == "cpu" and not tensor.requires_grad
        for tensor in tensors
    )


def address(tensor: Tensor | None) -> int | None:
    """The address of a tensor's numbers, None for null."""
    return None if tensor is None else tensor.data_ptr()
