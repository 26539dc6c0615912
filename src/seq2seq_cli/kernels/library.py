"""Chooses the build of the kernels that this processor runs, and loads it."""

import ctypes
import os
import threading
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.prototypes import INT, Check, Prototypes
from seq2seq_cli.kernels.stamp import expected_stamp, is_damaged, is_of_these_sources

# Held while libraries are loaded and their functions declared: ctypes crashes if a thread declares
# a function that another one is in.
LOADING = threading.RLock()

OUT_OF_MEMORY = 1  # the kind of a failure, as in simd/guard.h
REASON_BYTES = 256

# The fastest first; amx is the avx512 build with matrix tiles in use. On a Xeon held to SSE4 the
# scalar build searches in 0.8 of PyTorch's time in float32, and takes 0.25 to 0.9 of it for
# dropout, losses, norms and attention with its gradients; 8-bit products are half as fast as
# float32.
BUILDS = ("amx", "avx512", "avx2_vnni", "avx2", "neon_i8mm", "neon", "scalar")

PROCESSOR = Prototypes("""
    int32_t processor_runs(const char *build);
    int64_t kernels_stamp();
""")
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

    Raises InputError if the scalar build, which tells what the processor can run, is damaged or of
    another version.
    """
    asked = build_file("scalar")
    if asked is None:
        return []
    with LOADING:
        runs = PROCESSOR.bind(load(asked)).processor_runs
        return [name for name in BUILDS if build_file(name) and runs(name.encode())]


def build_file(build: str) -> Path | None:
    """The library of a build, or None if it was not made for this system."""
    name = "avx512" if build == "amx" else build
    files = (Path(__file__).parent / f"{name}{suffix}" for suffix in EXTENSION_SUFFIXES)
    return next(filter(Path.is_file, files), None)


def build_in_use() -> str | None:
    """The fastest usable build, or the one that SEQ2SEQ_NATIVE names; None if there is none.

    Raises InputError if SEQ2SEQ_NATIVE names a build that this machine does not have.
    """
    wanted = os.environ.get("SEQ2SEQ_NATIVE", "")
    if wanted == "off":
        return None
    usable = usable_builds()
    if wanted not in ("", *usable):
        raise InputError(
            f"SEQ2SEQ_NATIVE={wanted}: {', '.join([*usable, 'off'])} are allowed on this machine; "
            "without it the fastest is taken"
        )
    return next((name for name in usable if wanted in ("", name)), None)


@lru_cache
def load(path: Path) -> ctypes.CDLL:
    """Load a library. Raises InputError if its file is damaged or of another version."""
    reason = "it is damaged" if is_damaged(path) else None
    if reason is None:
        try:
            found = ctypes.CDLL(str(path))
        except OSError as error:
            reason = f"it cannot be loaded: {error}"
        else:
            if is_of_these_sources(path):
                return found
            stamp = getattr(PROCESSOR.bind(found), "kernels_stamp", None)
            # 0: compiled by hand from sources that are being worked on
            if stamp is not None and stamp() in (0, expected_stamp()):
                return found
            reason = "it is of another version of seq2seq-cli"
    raise InputError(
        f"kernels {path}: {reason}. Install seq2seq-cli again (in its sources: `python setup.py "
        "build_ext --inplace`), or set SEQ2SEQ_NATIVE=off to go without kernels"
    )


@lru_cache
def library() -> ctypes.CDLL | None:
    """Load the build in use; None if there is none.

    Raises InputError as `build_in_use` and `load` do.
    """
    build = build_in_use()
    path = build_file(build) if build else None
    if path is None:
        return None
    with LOADING:
        found = load(path)
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
        assert loaded is not None, "the caller has to ask library() before"
        if loaded is not self._bound[0]:
            with LOADING:
                if loaded is not self._bound[0]:
                    self._bound = loaded, self.bind(loaded, failure_check(loaded))
        return self._bound[1]
