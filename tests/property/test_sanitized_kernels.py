"""Kernels of inference stay within their buffers, whatever the shapes."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq_cli.inference.architectures import inference_class
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.models import ModelConfig, Vocabulary, build
from tests.property.emulation import SOURCES, compile_sources

FLAGS = ["-std=c++17", "-O1", "-g1", "-fno-omit-frame-pointer"]
FLAGS += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
AVX2 = ["-mfma", "-mavx2", "-mf16c", '-DVECTORS_HEADER="avx2.h"']

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("g++"), reason="needs g++ and its sanitizers"
)


def test_searches_of_every_architecture_stay_within_their_buffers(
    variants: list[tuple[ModelConfig, Vocabulary]], tmp_path: Path
) -> None:
    # The library of C++ too, since the sanitizer looks for what throws exceptions at the start.
    preloaded = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    if not all(Path(each).is_absolute() for each in preloaded):
        pytest.skip("g++ has no AddressSanitizer")
    # Over the widest vectors that run anywhere.
    flags = [*FLAGS, *(AVX2 if "avx2" in kernels.usable_builds() else [])]
    library = tmp_path / "kernels.so"
    objects = compile_sources("g++", flags, SOURCES, tmp_path)
    subprocess.run(["g++", *flags, "-shared", *objects.values(), "-o", str(library)], check=True)
    served = [each for each in variants if inference_class(each[0]) is not None]
    assert served
    models = [PlainModel.of(build(*each).eval()) for each in served]
    (tmp_path / "models").write_bytes(pickle.dumps(models))
    program = Path(__file__).parent / "sanitized_search.py"
    options = {
        "LD_PRELOAD": " ".join(preloaded),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python frees little at its end
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "SEQ2SEQ_NATIVE": "scalar",  # stands for the library that is given
    }
    done = subprocess.run(
        [sys.executable, str(program), str(library), str(tmp_path / "models")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **options},
    )
    assert done.returncode == 0, done.stderr[:3000]
    assert done.stdout == "searched\n"
