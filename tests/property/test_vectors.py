"""Every build's vector functions do what kernels/simd/scalar.h specifies; kernels contain nothing
else that depends on the processor.
"""

import atexit
import ctypes
import re
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.arrays import address as kernel_address
from tests.property import emulation

KERNELS = Path(kernels.__file__).parent
COUNT = 1 << 14  # a multiple of 256, as `vectors_apply` needs it

# amx is the avx512 build, with tiles in use.
BUILDS = [name for name in kernels.usable_builds() if name != "amx"]

# Compiled here, for tests alone: the build for AVX-VNNI with a stand-in for its instruction, and
# those for ARM, which an emulator runs.
X86_FLAGS = ["-mfma", "-mavx2", "-mf16c", "-DEMULATE_AVX_VNNI"]
STAND_IN = "avx2_vnni stand-in"
BUILDS += [STAND_IN, *emulation.ARM]
OTHERS = [name for name in BUILDS if name != "scalar"]

_SPECIAL = """
    0 -0 0.5 -0.5 1.5 2.5 -2.5 1 inf -inf nan -nan 1e-40 -1e-45 5.9604645e-8 2.9802322e-8
    6.1e-5 65504 65519 65520 -70000 3.3895314e38 -3.4e38 8388607.5 -8388609 2147483648 88 127 -87
    -87.5 257 259 -257 -259 2049 2051
"""  # the last ones lie halfway between two numbers of 16 bits
SPECIAL = np.array(_SPECIAL.split(), dtype=np.float32)


def _floats(seed: int, *, special: bool = True) -> np.ndarray:
    generator = np.random.default_rng(seed)
    x = generator.standard_normal(COUNT) * 10.0 ** generator.integers(-9, 9, COUNT)
    x[::7] = np.round(x[::7] % 100) / 2  # halves
    if special:
        x[::3] = generator.choice(SPECIAL, len(x[::3]))
    return x.astype(np.float32)


def _between(low: float, high: float) -> np.ndarray:
    return np.random.default_rng(1).uniform(low, high, COUNT).astype(np.float32)


def _integers(seed: int, bound: int, dtype: type) -> np.ndarray:
    low = 0 if np.dtype(dtype).kind == "u" else -bound
    values = np.random.default_rng(seed).integers(low, bound, COUNT, endpoint=True)
    return values.astype(dtype)


def _stand_in() -> Path:
    """The vector functions for AVX-VNNI in a file of their own; skips the test if that fails."""
    if "avx2" not in kernels.usable_builds():
        pytest.skip("the processor has no AVX2")
    if not shutil.which("g++"):
        pytest.skip("g++ is not installed")
    folder = Path(tempfile.mkdtemp(prefix="vectors"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    simd, library = KERNELS / "simd", folder / "avx2_vnni.so"
    sources = [str(simd / "vectors_test.cpp"), str(simd / "guard.cpp")]
    flags = ["-std=c++17", "-O2", "-fno-math-errno", "-fno-trapping-math", *X86_FLAGS]
    flags += ['-DVECTORS_HEADER="avx2_vnni.h"', "-shared", "-fPIC", "-o", str(library)]
    done = subprocess.run(["g++", *sources, *flags], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"g++ cannot compile avx2_vnni.h: {done.stderr[:200]}")
    return library


@lru_cache
def _library(build: str) -> ctypes.CDLL | emulation.EmulatedLibrary:
    if build in emulation.ARM:
        return emulation.EmulatedLibrary(build)
    path = _stand_in() if build == STAND_IN else kernels.build_file(build)
    return ctypes.CDLL(str(path))


def _functions(build: str) -> SimpleNamespace:
    return kernels.VECTORS.bind(_library(build))


def _apply(
    build: str, function: str, *arrays: np.ndarray, dtype: type = np.float32, size: int = COUNT
) -> np.ndarray:
    out = np.zeros(size, dtype)
    library = _library(build)
    address = kernel_address
    if isinstance(library, emulation.EmulatedLibrary):
        library.forget()
        address = library.address
    addresses = [address(array) for array in arrays] + [None] * (3 - len(arrays))
    name = ctypes.create_string_buffer(function.encode())
    assert _functions(build).vectors_apply(name, *addresses, COUNT, address(out))
    return out


def _assert_equal_bits(mine: np.ndarray, expected: np.ndarray) -> None:
    """Equal to the bit, except that any NaN equals any other."""
    if mine.dtype == np.float32:
        mine, expected = (np.where(np.isnan(x), np.float32(np.nan), x) for x in (mine, expected))
    np.testing.assert_array_equal(mine.view(np.uint8), expected.view(np.uint8))


A, B, C = _floats(1), _floats(2), _floats(3)
HALVES = np.arange(COUNT, dtype=np.uint16) * np.uint16(4) + np.uint16(3)  # every fourth pattern
THRESHOLD = np.full(1, 77, dtype=np.int32)
BYTES = np.resize(np.arange(256, dtype=np.uint8), COUNT)

EXACT: dict[str, tuple[np.ndarray, ...]] = {
    "load_float16": (HALVES,),
    "to_float_of_float16": (HALVES,),
    "load_bfloat16": (HALVES,),
    "broadcast": (A,),
    "add": (A, B),
    "multiply": (A, B),
    "reciprocal": (A,),
    "max": (A, B),
    "min": (A, B),
    "abs": (A,),
    "round": (A,),
    "power_of_two": (np.round(_between(-126, 127)),),
    "zero_if_less": (A, B, C),
    "zero_unless_positive": (A, B),
    "transpose": (A,),
    "add_words": (A, B),
    "xor_words": (A, B),
    "shift_left": (A,),
    "shift_right": (A,),
    "is_set": (BYTES, A, THRESHOLD),
    "zero_unset": (BYTES, A, THRESHOLD),
    "add_ints": (_integers(1, 1 << 20, np.int32), _integers(2, 1 << 20, np.int32)),
    "zero_ints": (),
    "subtract": (_integers(1, 1 << 30, np.int32), np.array([12345], dtype=np.int32)),
    "result_of_store_int8": (_between(-127, 127),),
}

STORES = {
    "store_float16": (np.uint16, A),
    "from_float_to_float16": (np.uint16, A),
    "store_bfloat16": (np.uint16, A),
    "store_int8": (np.int8, np.round(_between(-254, 254)) / np.float32(2)),
}


@pytest.mark.parametrize("build", OTHERS)
@pytest.mark.parametrize("function", EXACT)
def test_vectors_equal_their_specification(function: str, build: str) -> None:
    if function == "transpose":  # a block has as many rows as a vector lanes
        lanes = _functions(build).vectors_lanes()
        blocks = A.reshape(-1, lanes, lanes).transpose(0, 2, 1)
        return _assert_equal_bits(_apply(build, function, A), np.ascontiguousarray(blocks).ravel())
    mine, expected = (_apply(name, function, *EXACT[function]) for name in (build, "scalar"))
    return _assert_equal_bits(mine, expected)


@pytest.mark.parametrize("build", OTHERS)
@pytest.mark.parametrize("function", STORES)
def test_stored_numbers_equal_their_specification(function: str, build: str) -> None:
    dtype, x = STORES[function]
    mine, expected = (_apply(name, function, x, dtype=dtype) for name in (build, "scalar"))
    real = ~np.isnan(x)
    np.testing.assert_array_equal(mine[real], expected[real])
    if function != "store_int8":
        exponent = 0x7C00 if "float16" in function and function != "store_bfloat16" else 0x7F80
        for stored in (mine[~real], expected[~real]):
            assert ((stored & exponent) == exponent).all(), "NaN stays NaN"


@pytest.mark.parametrize("build", BUILDS)
def test_numbers_of_16_bits_are_those_of_other_libraries(build: str) -> None:
    half = _apply(build, "store_float16", A, dtype=np.uint16)
    with np.errstate(over="ignore"):
        expected = A.astype(np.float16)
    real = ~np.isnan(A)
    np.testing.assert_array_equal(half[real], expected.view(np.uint16)[real])
    _assert_equal_bits(
        _apply(build, "load_float16", HALVES), HALVES.view(np.float16).astype(np.float32)
    )
    brain = _apply(build, "store_bfloat16", A, dtype=np.uint16)
    theirs = torch.from_numpy(A).bfloat16().view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(brain[real], theirs[real])


@pytest.mark.parametrize("build", BUILDS)
def test_products_are_rounded_once_or_twice_before_a_sum(build: str) -> None:
    a, b, c = (_floats(seed, special=False) for seed in (1, 2, 3))
    once = (a.astype(np.float64) * b + c).astype(np.float32)
    mine = _apply(build, "multiply_add", a, b, c)
    assert ((mine == once) | (mine == a * b + c)).all()


@pytest.mark.parametrize("build", BUILDS)
def test_sums_and_maxima_of_lanes(build: str) -> None:
    lanes = _functions(build).vectors_lanes()
    whole = np.round(_between(-1000, 1000))  # whose sums are exact in any order
    vectors = whole.reshape(-1, lanes)
    for function, expected in (
        ("reduce_add", vectors.sum(1)),
        ("reduce_add_four", vectors.sum(1)),
        ("reduce_max", vectors.max(1)),
    ):
        found = _apply(build, function, whole, size=len(vectors))
        np.testing.assert_array_equal(found, expected, err_msg=function)
    integers = whole.astype(np.int32)
    found = _apply(build, "reduce_add_ints", integers, size=len(vectors))
    np.testing.assert_array_equal(found, integers.reshape(-1, lanes).sum(1))


@pytest.mark.parametrize("build", BUILDS)
def test_sums_of_8_bit_products_are_exact(build: str) -> None:
    limit = int(_functions(build).vectors_input_limit())
    weights = np.resize(_integers(1, 255, np.uint8), 4 * COUNT).copy()
    weights[:64] = 255
    before = _integers(3, 1 << 20, np.int32)
    for inputs in ((limit, limit, limit, limit), (-limit, -limit, 1, 0), (5, -limit, limit, -7)):
        four = np.array(inputs, dtype=np.int8)
        products = weights.reshape(-1, 4).astype(np.int64) @ four.astype(np.int64)
        found = _apply(build, "dot", weights, four, before)
        np.testing.assert_array_equal(found, (before + products).astype(np.float32))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(
    ("function", "exact", "low", "high", "tolerance"),
    [
        ("exponential", np.exp, -87, 88, 2e-7),
        ("fast_exponential", np.exp, -87, 0, 5e-6),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), -80, 80, 5e-7),
    ],
)
def test_exponential_functions(
    build: str, function: str, exact: np.ufunc, low: float, high: float, tolerance: float
) -> None:
    x = _between(low, high)
    found = _apply(build, function, x)
    np.testing.assert_allclose(found, exact(x.astype(np.float64)), rtol=tolerance)


@pytest.mark.parametrize("build", BUILDS)
def test_exponential_functions_of_special_numbers(build: str) -> None:
    x = np.resize(np.array([-np.inf, -1e30, -100, 0, np.nan], dtype=np.float32), COUNT)
    assert np.array_equal(_apply(build, "exponential", x)[:5], [0, 0, 0, 1, np.nan], equal_nan=True)
    tangent = _apply(build, "hyperbolic_tangent", _between(-50, 50))
    np.testing.assert_allclose(tangent, np.tanh(_between(-50, 50)), atol=3e-7)


def test_only_the_vector_functions_depend_on_the_processor() -> None:
    peculiar = re.compile(
        r"immintrin|\b_mm|\b__m\d|\b_tile_|_cvt\w+_s[sh]|__builtin_ia32|__AVX|__x86_64__|__aarch64__"
        r"|arm_neon|cpuid|syscall|\basm\b|target\("
    )
    sources = [file for file in KERNELS.rglob("*") if file.suffix in (".cpp", ".h")]
    assert len(sources) > 20
    for file in sources:
        if file.parent.name == "simd":
            continue
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            assert not peculiar.search(line), f"{file.name}:{number}: {line}"
