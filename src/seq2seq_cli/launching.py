"""Several processes of one command: starts them on this machine, and says which one speaks.

Launchers such as torchrun tell each process its rank in the environment. Only `launch`, for
processes that exchange tensors, needs torch.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from seq2seq_cli.devices import is_cpu, usable_threads
from seq2seq_cli.errors import InputError, Seq2seqError

# The process that launched this one, and has said what is to be said before work begins
ANNOUNCED = "SEQ2SEQ_ANNOUNCED"
PR_SET_PDEATHSIG = 1  # of Linux

# After an error of its own a process waits this long before it says so, and after the loss of
# another one longer: whoever failed first has spoken then, and the launcher has ended the rest.
SECONDS_BEFORE_OWN_ERROR, SECONDS_BEFORE_LOSS = 2.0, 5.0
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SECONDS_BETWEEN_LOOKS = 0.02
SECONDS_TO_SAVE = 600  # that processes have after a signal, before they are killed


def is_launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def check_environment() -> None:
    """Raise InputError unless a launcher has set all that processes need to find each other."""
    missing = [name for name in VARIABLES if name not in os.environ]
    if missing:
        raise InputError(
            f"WORLD_SIZE is set in the environment, but not {' and '.join(missing)}; start several "
            "processes with torchrun or --processes, or one with WORLD_SIZE=1"
        )
    rank, world_size = os.environ["RANK"], os.environ["WORLD_SIZE"]
    if not (rank.isdecimal() and world_size.isdecimal() and int(rank) < int(world_size)):
        raise InputError(
            f"RANK={rank} and WORLD_SIZE={world_size} in the environment: whole numbers are "
            "allowed, RANK from 0 to WORLD_SIZE - 1; torchrun sets them"
        )


def is_first() -> bool:
    """Whether this process prints for all, as far as the environment tells."""
    return not is_launched() or os.environ.get("RANK", "0") == "0"


def announces() -> bool:
    """Whether this process says what is to be said before work begins."""
    return is_first() and ANNOUNCED not in os.environ


def rank_and_count() -> tuple[int, int]:
    """Which of the processes this one is, and how many there are."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def end_with_launcher() -> None:
    """Let SIGTERM come to this process when the one that launched it has been killed.

    On Linux; elsewhere processes go on, and the same command says that the run is in use.
    """
    launcher = os.environ.get(ANNOUNCED, "")
    if not launcher:
        return
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if sys.platform == "linux" and str(os.getppid()) != launcher:  # it was killed before
        raise SystemExit(128 + signal.SIGTERM)


def is_relaunched() -> bool:
    """Whether a launcher started this process again after one had failed."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


def device_of_process(name: str) -> str:
    """The device that a process uses where `name` says only what kind: a GPU for each.

    Raises InputError for "cuda" on a machine without.
    """
    if not is_launched() or name not in ("auto", "cuda") or is_cpu(name):
        return name
    import torch

    if not torch.cuda.is_available():
        return name
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def own_arguments() -> list[str]:
    """The arguments of this command without how many processes there are."""
    arguments = iter(sys.argv[1:])
    rest = []
    for argument in arguments:
        if argument == "--processes":
            next(arguments, None)
        elif not argument.startswith("--processes="):
            rest.append(argument)
    return rest


def threads_of_each(processes: int, threads: int | None) -> int:
    """The threads of each process: as many as given, or what may be used divided among them."""
    return threads or max(1, usable_threads() // processes)


def launch_alone(arguments: Sequence[str], processes: int, threads: int) -> int:
    """Run `seq2seq` with these arguments in processes that exchange nothing.

    Returns the exit code: 0, that of the first process that failed, or 128 and the number of the
    signal that ended all. Raises Seq2seqError if a process was killed.
    """
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    running: dict[int, subprocess.Popen[bytes]] = {}
    code, fault = 0, ""
    try:
        for rank in range(processes):
            variables = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
            variables |= {"OMP_NUM_THREADS": str(threads), ANNOUNCED: str(os.getpid())}
            running[rank] = subprocess.Popen(
                [sys.executable, "-m", "seq2seq_cli", *arguments],
                env=os.environ | variables,
                start_new_session=True,  # so that Ctrl-C reaches them through this process alone
            )
        while running and not received and not code and not fault:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            for rank, process in list(running.items()):
                ended = process.poll()
                if ended is not None:
                    del running[rank]
                    code = code or max(ended, 0)
                    if ended < 0:
                        fault = _was_ended(rank, processes, -ended)
    finally:
        for process in running.values():
            process.send_signal(received[0] if received else signal.SIGTERM)
        for process in running.values():
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
    if fault:
        raise Seq2seqError(fault)
    return 128 + received[0] if received else code


def _was_ended(rank: int, processes: int, number: int) -> str:
    """The message about a process that a signal ended."""
    return (
        f"process {rank} of {processes} was ended by {signal.Signals(number).name}; what was saved "
        "is complete, and the same command continues"
    )


def wait_before_error(*, is_loss: bool) -> None:
    """Give other processes time to say why they failed; `is_loss` if one was lost."""
    if is_loss:
        time.sleep(SECONDS_BEFORE_LOSS)
    elif not is_first():
        time.sleep(SECONDS_BEFORE_OWN_ERROR)


@contextmanager
def errors_said_once() -> Iterator[None]:
    """Let the first process speak of an error in this block that all processes have."""
    try:
        yield
    except Seq2seqError:
        wait_before_error(is_loss=False)
        raise


def launch(arguments: Sequence[str], processes: int, threads: int) -> int:
    """Run `seq2seq` with these arguments in several processes, as torchrun does.

    Returns the exit code: 0, that of the first process that failed, or 128 and the number of the
    signal that ended all. Raises Seq2seqError if a process was killed.
    """
    import logging

    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.CRITICAL)  # what the launcher would say, is said here in other words
    os.environ[ANNOUNCED] = str(os.getpid())
    os.environ["OMP_NUM_THREADS"] = str(threads)
    options: dict[str, Any] = {"shutdown_timeout": SECONDS_TO_SAVE}
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        run_id=f"seq2seq-{os.getpid()}",
        max_restarts=0,
        monitor_interval=0.1,
        **options,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "seq2seq_cli", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return int(failure.exitcode)
        raise Seq2seqError(_was_ended(rank, processes, -failure.exitcode)) from None
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    return 0
