"""Builds the kernels, once for each kind of processor; everything else stands in pyproject.toml.

A build that this machine's compiler cannot make is left out. Where there is none, PyTorch does the
work of the kernels, more slowly.
"""

import platform
import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("src/seq2seq_cli/kernels")
STAMP = runpy.run_path(str(KERNELS / "stamp.py"))
FLAGS = ["-std=c++17", "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math"]

# Module of seq2seq_cli.kernels and header of kernels/simd -> flags for its processors.
AVX2 = ["-mfma", "-mavx2", "-mf16c"]
AVX512 = ["-Wno-maybe-uninitialized", "-Wno-uninitialized", "-mfma", "-mf16c", "-mavx512f"]
AVX512 += ["-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mprefer-vector-width=512"]
X86 = {"avx512": AVX512, "avx2_vnni": [*AVX2, "-mavxvnni"], "avx2": AVX2, "scalar": []}
ARM = {"neon_i8mm": ["-march=armv8.2-a+dotprod+i8mm"], "neon": ["-march=armv8.2-a+dotprod"]}
ARM |= {"scalar": []}
BUILDS = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}


class BuildAndSeal(build_ext):
    """Writes a checksum after each library, so that a damaged one is found before it is loaded."""

    def build_extension(self, ext: Extension) -> None:
        """Compile and seal the kernels of a build."""
        super().build_extension(ext)
        STAMP["seal"](Path(self.get_ext_fullpath(ext.name)))


def kernels(build: str, flags: list[str]) -> Extension:
    """All kernels over the vectors of one header."""
    return Extension(
        f"seq2seq_cli.kernels.{build}",
        sources=sorted(map(str, KERNELS.glob("*/*.cpp"))),
        depends=sorted(map(str, KERNELS.glob("*/*.h"))),
        define_macros=[
            ("VECTORS_HEADER", f'"{build}.h"'),
            ("KERNELS_STAMP", str(STAMP["expected_stamp"]())),
        ],
        extra_compile_args=[*FLAGS, *flags],
        language="c++",
        optional=True,
    )


builds = BUILDS.get(platform.machine().lower(), {"scalar": []})
setup(
    ext_modules=[kernels(build, flags) for build, flags in builds.items()],
    cmdclass={"build_ext": BuildAndSeal},
)
