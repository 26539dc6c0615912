"""Where tensors live and in which precision, and what makes the machine fast."""

import ctypes
import gc
import os
import re
from contextlib import AbstractContextManager, nullcontext

import torch

from seq2seq_cli.errors import InputError

KEPT_PRODUCTS = 256  # shapes
# <malloc.h> of glibc
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def choose_device(name: str = "auto") -> torch.device:
    """CUDA, else Apple's MPS, else CPU for "auto". Raises InputError for what is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    allowed = "auto, cpu, cuda, cuda:N and mps are allowed where the machine has them"
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", name):
        raise InputError(f"--device {name}: {allowed}")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name} cannot be used here ({reason}); {allowed}") from None
    return device


def gains_from_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16 matrices."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, name, bool)() for name in names)
    return False


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The type of matrix products: "auto" is bfloat16 where the device gains from it."""
    if name == "auto":
        return torch.bfloat16 if gains_from_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """A context in which matrix products run in this precision; weights stay float32."""
    if precision == torch.bfloat16:
        return torch.autocast(device.type, dtype=precision)
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def describe(device: torch.device, precision: torch.dtype) -> str:
    """One line for the user: device, precision, threads."""
    precision_name = str(precision).removeprefix("torch.")
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision_name}"
    if device.type == "mps":
        return f"Apple MPS, {precision_name}"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {precision_name}"


def usable_threads() -> int:
    """How many threads the process may use for CPU work."""
    return torch.get_num_threads()


def prepare(threads: int | None) -> None:
    """Set the threads of CPU work (None: as many as the process may use), allocator and collector.

    glibc maps every large tensor anew and returns it at once; each mapping is paid for with page
    faults. Keeping freed memory in the process costs nothing and saves them; what only recurrent
    models have, tensors of 32 MB and more, would leave large holes (recipes/bench/LOG.md). oneDNN
    would keep compiled products of the last 1,024 shapes, over 100 MB of them.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KEPT_PRODUCTS))
    if threads is not None:
        torch.set_num_threads(threads)
    gc.freeze()  # what modules hold is never garbage, and no collection need walk through it
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    mallopt(M_MMAP_THRESHOLD, 1 << 25)
    mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def return_memory() -> None:
    """Give freed memory back to the system: after work that needs much more than what follows."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return  # another C library
