"""Device, precision and threads, and the memory settings of the process."""

import ctypes
import gc
import importlib.util
import os
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import counted

if TYPE_CHECKING:
    import torch

ONEDNN_CACHE = 256  # shapes of matrix products that oneDNN remembers
# Freed tensors of fewer bytes stay in the process; the second is for work that saves memory.
KEPT_BYTES, RETURNED_BYTES = 1 << 25, 1 << 20
# <malloc.h> of glibc
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3

_torch_threads: int | None = None  # that `prepare` was asked for


def is_cpu(name: str) -> bool:
    """Tell whether a device name means the CPU, without importing torch where that is possible.

    Only torch can tell on Apple's machines, and whether a GPU of Nvidia can be used. Raises
    InputError as `choose_device` does.
    """
    if name == "cpu" or (name == "auto" and sys.platform != "darwin" and not _nvidia_gpus()):
        return True
    if name == "auto" and importlib.util.find_spec("torch") is None:
        return True
    return choose_device(name).type == "cpu"


def check_torch(purpose: str) -> None:
    """Raise InputError, which begins with the purpose, if PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise InputError(f"{purpose}: this needs PyTorch, which is not installed; install torch")


def _nvidia_gpus() -> int:
    """The number of GPUs that the driver of Nvidia has for the process; 0 without the driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    except (OSError, AttributeError):
        pass
    return 0


def choose_device(name: str = "auto") -> "torch.device":
    """The device of this name; "auto" is CUDA, else Apple's MPS, else the CPU.

    Raises InputError for a device that the machine does not have.
    """
    allowed = "auto, cpu, cuda, cuda:N and mps are allowed where the machine has them"
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", name):
        raise InputError(f"--device {name}: {allowed}")
    check_torch(f"--device {name}")
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name} cannot be used here ({reason}); {allowed}") from None
    return device


def float64_device(device: "torch.device") -> "torch.device":
    """Where float64 numbers of this device can be computed: the CPU for MPS, which has none."""
    import torch

    return torch.device("cpu") if device.type == "mps" else device


def gains_from_bfloat16(device: "torch.device") -> bool:
    """Whether the device has fast instructions for bfloat16 matrix products."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        if getattr(torch.cpu, "_is_amx_tile_supported", bool)():
            return True
        # AVX-512 alone: Intel's takes longer for them than for float32, AMD's half as long
        # (recipes/bench/LOG.md). Some virtual machines have Intel's without AMX.
        return getattr(torch.cpu, "_is_avx512_bf16_supported", bool)() and not _is_of_intel()
    return False


def _is_of_intel() -> bool:
    """Whether Intel made the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return any("GenuineIntel" in line for line in file)
    except OSError:  # not Linux
        import platform

        return "GenuineIntel" in platform.processor()


def choose_precision(name: str, device: "torch.device") -> "torch.dtype":
    """The type of matrix products: "auto" is bfloat16 where the device gains from it."""
    import torch

    if name == "auto":
        return torch.bfloat16 if gains_from_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def autocast(device: "torch.device", precision: "torch.dtype") -> AbstractContextManager[object]:
    """A context that computes matrix products in this precision; weights stay float32."""
    import torch

    if precision == torch.bfloat16:
        return torch.autocast(device.type, dtype=precision)
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def describe(device: "torch.device", precision: "torch.dtype") -> str:
    """One line for the user: device, precision, threads."""
    import torch

    precision_name = str(precision).removeprefix("torch.")
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision_name}"
    if device.type == "mps":
        return f"Apple MPS, {precision_name}"
    threads = torch.get_num_threads()
    return f"CPU, {counted(threads, 'thread')}, {precision_name}"


def usable_threads() -> int:
    """How many threads the process may use for CPU work: what OMP_NUM_THREADS says, or all."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]  # a list is for nested threads
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def set_torch_threads() -> None:
    """Give PyTorch the threads that `prepare` was asked for, which may be before it is imported."""
    import torch

    if _torch_threads is not None:
        torch.set_num_threads(_torch_threads)


def prepare(threads: int | None) -> None:
    """Set the threads of CPU work (None: as many as the process may use) and tune its memory.

    By default glibc maps memory for every large tensor and unmaps it when the tensor is freed, and
    each mapping costs page faults. Here freed memory stays in the process, except for tensors of
    32 MB and more: only recurrent models have them, and they would leave large holes
    (recipes/bench/LOG.md). By default oneDNN caches its kernels for 1,024 shapes of products,
    which takes over 100 MB.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(ONEDNN_CACHE))
    if threads is not None:
        global _torch_threads
        _torch_threads = threads
        if "torch" in sys.modules:
            set_torch_threads()
    gc.freeze()  # objects of imported modules are never garbage: collections skip them
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def return_tensors() -> None:
    """From now on give the memory of every freed tensor of 1 MB and more back to the system.

    For work that has to save memory: each such tensor costs page faults, but leaves no hole.
    """
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, RETURNED_BYTES)
    except (AttributeError, OSError, TypeError):
        return  # another C library


def return_memory() -> None:
    """Give freed memory back to the system, after work that needs more memory than the rest."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return  # another C library
