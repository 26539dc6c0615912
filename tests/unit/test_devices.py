"""Memory that is freed goes back to the system where that was asked for."""

import ctypes
import subprocess
import sys

import pytest

from seq2seq_cli.devices import KEPT_BYTES, RETURNED_BYTES

SCRIPT = f"""
import ctypes, os, sys
from seq2seq_cli.devices import prepare, return_tensors

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

prepare(1)
if sys.argv[1] == "returned":
    return_tensors()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
before = resident()
blocks = []
for _ in range(16):  # layers, with something small after each that stays
    blocks.append(libc.malloc({2 * RETURNED_BYTES}))
    ctypes.memset(blocks[-1], 1, {2 * RETURNED_BYTES})
    libc.malloc({RETURNED_BYTES // 16})
for block in blocks:
    libc.free(block)
print(resident() - before)
"""


def has_glibc() -> bool:
    """Whether the C library of this process is glibc."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


@pytest.mark.skipif(not has_glibc(), reason="only glibc is told what to keep")
@pytest.mark.parametrize(("way", "least", "most"), [("kept", 1, 99), ("returned", 0, 0.99)])
def test_freed_tensors_are_kept_unless_memory_counts(way, least, most) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, way], capture_output=True, text=True, check=True
    )
    assert least <= int(done.stdout) / (2 * RETURNED_BYTES) <= most
    assert RETURNED_BYTES < KEPT_BYTES
