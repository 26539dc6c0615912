"""Memory that runs out in a kernel is raised as MemoryError, in every thread; nothing aborts."""

import os
import subprocess
import sys
import textwrap

import pytest

from seq2seq_cli.kernels import library

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")

BEGIN = """
    import ctypes, resource, threading
    from concurrent.futures import ThreadPoolExecutor
    import numpy as np
    import torch
    from seq2seq_cli.kernels import library, training
    from seq2seq_cli.kernels.inference import linear

    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit = used + (1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    number = torch.zeros(64)
    LAYER = linear.Linear.pack(np.ones((1, 1), np.float32), None, eight_bits=False)

    def huge_layer(_=0):
        linear._kernels().linear_new(number.data_ptr(), None, 1 << 24, 1 << 10, 0)

    def caught(work, *given):
        try:
            work(*given)
        except MemoryError as error:
            return str(error)
        return "nothing was raised"
"""


def run(build: str, code: str) -> str:
    """What a process prints that may use a GiB more memory than it has after its imports."""
    program = textwrap.dedent(BEGIN) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SEQ2SEQ_NATIVE": build, "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


builds = pytest.mark.parametrize("build", library.usable_builds())


@builds
def test_memory_that_runs_out_is_raised_and_the_process_goes_on(build: str) -> None:
    printed = run(
        build,
        """
        for _ in range(3):
            print(caught(huge_layer))
        print(LAYER(np.ones((1, 1), np.float32)).tolist())
        """,
    )
    first, *_, last = printed.splitlines()
    assert printed.count(first) == 3
    assert first == "no room in the kernel linear_new"
    assert last == "[[1.0]]"


@builds
def test_each_worker_gets_its_own_failure_and_no_other_thread_does(build: str) -> None:
    printed = run(
        build,
        """
        stop = threading.Event()
        def innocent():
            calls = 0
            while not stop.is_set() or not calls:
                LAYER(np.ones((1, 1), np.float32))
                calls += 1
            return "well"
        with ThreadPoolExecutor(5) as pool:
            other = pool.submit(innocent)
            found = list(pool.map(lambda _: caught(huge_layer), range(200)))
            stop.set()
        print(set(found), other.result())
        """,
    )
    assert printed == "{'no room in the kernel linear_new'} well\n"


@builds
def test_memory_that_runs_out_in_threads_of_a_kernel_is_raised_once(build: str) -> None:
    """Each thread asks for room for a row of logits."""
    printed = run(
        build,
        """
        training.library()  # lets the kernels have torch's threads
        def huge_rows():
            training.losses._kernels().train_cross_entropy(
                0, number.data_ptr(), 8, 2**31 - 1, number.data_ptr(), 0.1, number.data_ptr(), 2
            )
        for _ in range(2):
            print(caught(huge_rows))
        """,
    )
    assert printed == "no room in the kernel train_cross_entropy\n" * 2
