"""Starts several processes of a command on this machine, as torchrun does, and says who speaks.

Launchers tell each process its rank in the environment. This file needs no torch before it launches
anything.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from seq2seq_cli.devices import usable_threads
from seq2seq_cli.errors import InputError, Seq2seqError

ANNOUNCED = "SEQ2SEQ_ANNOUNCED"  # set where the command that launched processes has said its part

# After an error of its own a process waits this long before it says so, and after the loss of
# another one longer: whoever failed first has spoken then, and the launcher has ended the rest.
SECONDS_BEFORE_OWN_ERROR, SECONDS_BEFORE_LOSS = 2.0, 5.0
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
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


def is_relaunched() -> bool:
    """Whether a launcher started this process again after one had failed."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


def device_of_process(name: str) -> str:
    """The device that a process uses where `name` says only what kind: a GPU for each."""
    if not is_launched() or name not in ("auto", "cuda"):
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


def wait_before_error(*, is_loss: bool) -> None:
    """Give other processes time to say why they failed; `is_loss` if one was lost."""
    if is_loss:
        time.sleep(SECONDS_BEFORE_LOSS)
    elif not is_first():
        time.sleep(SECONDS_BEFORE_OWN_ERROR)


def launch(arguments: Sequence[str], processes: int, threads: int | None) -> int:
    """Run `seq2seq` with these arguments in several processes of so many threads each.

    None divides what this process may use among them.

    Returns the exit code: 0, that of the first process that failed, or 128 and the number of the
    signal that ended all. Raises Seq2seqError if a process was killed.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # what it says, we say better
    os.environ[ANNOUNCED] = "1"
    os.environ["OMP_NUM_THREADS"] = str(threads or max(1, usable_threads() // processes))
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
        name = signal.Signals(-failure.exitcode).name
        raise Seq2seqError(
            f"process {rank} of {processes} was ended by {name}; the last checkpoint, if there is "
            "one, is complete, and the same command continues"
        ) from None
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    return 0
