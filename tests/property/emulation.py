"""Builds of the kernels for ARM, compiled here and run in an emulator.

Everything else of the engine, which is Python, runs as it is: only its calls of the library go to
the emulator, and its arrays to memory that is shared with it.
"""

import ctypes
import fcntl
import mmap
import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.kernels.inference import (
    convolution,
    decoding,
    encoder_memory,
    forced_decoding,
    linear,
    recurrent,
    search,
    transformer,
)

KERNELS = Path(kernels.__file__).parent
FILES = [path for part in ("inference", "simd") for path in sorted((KERNELS / part).iterdir())]
SOURCES = [path for path in FILES if path.suffix == ".cpp"]
DRIVER = Path(__file__).parent / "kernels_driver.cpp"
CALLERS = (convolution, decoding, encoder_memory, forced_decoding, linear, recurrent, search)
CALLERS += (transformer,)  # the modules that hand addresses to kernels

COMPILER = "aarch64-linux-gnu-g++"
LIBRARIES = Path("/usr/aarch64-linux-gnu")  # of C and C++, where Debian's packages have them
EMULATOR = ["qemu-aarch64", "-cpu", "max", "-L", str(LIBRARIES)]
FLAGS = ["-std=c++17", "-O1", "-g0", "-fno-math-errno", "-fno-trapping-math"]
FLAGS_OF_BUILDS = {
    "neon": ["-march=armv8.2-a+dotprod", '-DVECTORS_HEADER="neon.h"'],
    "neon_i8mm": ["-march=armv8.2-a+dotprod+i8mm", '-DVECTORS_HEADER="neon_i8mm.h"'],
}
# The builds differ in products of 8-bit numbers. Other files are compiled once, for both.
EIGHT_BIT_SOURCES = [each for each in SOURCES if each.stem in ("linear", "tiles", "vectors_test")]

ARM = [name for name in FLAGS_OF_BUILDS if name not in kernels.usable_builds()]

# Where what was compiled stays for other processes and for the next tests.
COMPILED = Path(__file__).parents[2] / ".pytest_cache" / "kernels"
MEMORY_BYTES = 1 << 26  # of a file of which only what is used takes room


def compile_sources(
    compiler: str, flags: list[str], sources: list[Path], folder: Path
) -> dict[Path, str]:
    """Compile sources side by side: the object file of each."""

    def compile_one(source: Path) -> str:
        made = str(folder / f"{source.stem}.o")
        command = [compiler, *flags, "-fPIC", "-c", str(source), "-o", made]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert not done.returncode, done.stderr[:2000]
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(sources, pool.map(compile_one, sources), strict=True))


def _compile_all() -> None:
    """Compile the driver, and for each build a library of inference and its vector functions."""
    objects: dict[Path, str] = {}
    for build, of_build in FLAGS_OF_BUILDS.items():
        folder = COMPILED / build
        folder.mkdir(exist_ok=True)
        sources = EIGHT_BIT_SOURCES if objects else SOURCES
        objects |= compile_sources(COMPILER, [*FLAGS, *of_build], sources, folder)
        library = str(COMPILED / f"{build}.so")
        subprocess.run([COMPILER, "-shared", *objects.values(), "-o", library], check=True)
    subprocess.run([COMPILER, *FLAGS, str(DRIVER), "-o", str(COMPILED / "driver")], check=True)


def compiled(build: str) -> tuple[Path, Path]:
    """The driver and the library of a build for ARM; skips the test where there is no compiler."""
    for wanted in (COMPILER, EMULATOR[0], LIBRARIES):
        if not shutil.which(wanted) and not Path(wanted).is_dir():
            pytest.skip(f"no {wanted}: install g++-aarch64-linux-gnu and qemu-user (Debian)")
    COMPILED.mkdir(parents=True, exist_ok=True)
    code = [DRIVER, *(path for path in FILES if path.suffix in (".cpp", ".h"))]
    checksum = zlib.crc32(b"".join(path.read_bytes() for path in code))
    source, made_from = f"{checksum:08x} {FLAGS} {FLAGS_OF_BUILDS}", COMPILED / "made-from"
    with (COMPILED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not made_from.exists() or made_from.read_text() != source:
            made_from.unlink(missing_ok=True)
            _compile_all()
            made_from.write_text(source)
    return COMPILED / "driver", COMPILED / f"{build}.so"


class Function:
    """A function of the library, called as one of ctypes is."""

    def __init__(self, library: "EmulatedLibrary", name: str) -> None:
        self.library, self.name = library, name
        self.restype: Any = None
        self.argtypes: list[Any] = []

    def __call__(self, *arguments: Any) -> Any:
        if self.name.endswith("_free"):  # the end of the emulator frees all
            return None
        result = self.library.call(self.name, self.restype, arguments)
        if self.restype in (None, ctypes.c_float):
            return result
        return self.restype(int(result)).value


class EmulatedLibrary:
    """A library of kernels that runs in an emulator, in place of a `ctypes.CDLL`."""

    def __init__(self, build: str) -> None:
        """Take a build of `ARM`; skips the test where it cannot be compiled and run."""
        driver, library = compiled(build)
        # Arrays by their identity, and where their bytes are here and in the memory. They are kept
        # since kernels keep addresses, and may write there in any call.
        self.shared: dict[int, tuple[Any, Array, slice]] = {}
        self.used = 0
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(MEMORY_BYTES)
            self.memory = np.frombuffer(mmap.mmap(file.fileno(), MEMORY_BYTES), np.uint8)
            self.process = subprocess.Popen(
                [*EMULATOR, str(driver), str(library), file.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self.start = int(self._answer())

    def __getattr__(self, name: str) -> Function:
        return Function(self, name)

    def forget(self) -> None:
        """Make room: what kernels have made so far is not used any more."""
        self.shared.clear()
        self.used = 0

    def close(self) -> None:
        """End the emulator."""
        self.process.communicate()

    def address(self, array: Any) -> int | None:
        """The address in the emulator of an array or a struct; None for null."""
        if array is None:
            return None
        if id(array) not in self.shared:
            size = memoryview(array).nbytes
            assert not isinstance(array, np.ndarray) or array.flags.c_contiguous
            here = np.frombuffer(array, np.uint8) if size else np.empty(0, np.uint8)
            place = slice(self.used, self.used + size)
            self.used += (size + 127) // 64 * 64
            assert self.used <= MEMORY_BYTES
            self.shared[id(array)] = array, here, place
        return self.start + self.shared[id(array)][2].start

    def call(self, name: str, result_type: Any, arguments: tuple[Any, ...]) -> Any:
        """Call a function, with all arrays as they are now; they are then as it leaves them."""
        numbers = [self._register(each) for each in arguments]
        assert len(numbers) <= 8, "the driver passes no arguments but those in registers"
        for _, here, place in self.shared.values():
            self.memory[place] = here
        kind = "float" if result_type is ctypes.c_float else "integer"
        assert self.process.stdin is not None
        print(kind, name, *numbers, file=self.process.stdin, flush=True)
        answer = self._answer()
        if answer.startswith("failed"):
            raise RuntimeError(answer)
        for _, here, place in self.shared.values():
            if here.flags.writeable:
                here[:] = self.memory[place]
        return float(answer) if kind == "float" else answer

    def _register(self, argument: Any) -> int:
        """What a register holds for an argument: a number, or the address of what it stands for."""
        if isinstance(argument, ctypes.Array):
            argument = self.address(argument)
        elif hasattr(argument, "_obj"):  # what ctypes.byref returns
            argument = self.address(argument._obj)
        return int(argument or 0) & 0xFFFF_FFFF_FFFF_FFFF

    def _answer(self) -> str:
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        assert answer, f"the emulator ended with {self.process.wait()}"
        return answer


@contextmanager
def emulated(build: str) -> Iterator[None]:
    """The engine with a build for ARM."""
    library = EmulatedLibrary(build)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "library", lambda: library)
        patch.setattr(kernels, "failure_check", lambda library: None)
        for module in CALLERS:
            if hasattr(module, "address"):
                patch.setattr(module, "address", library.address)
        try:
            yield
        finally:
            library.close()
