"""The processes that train one model together, by torch.distributed; usually there is only one.

Launchers such as torchrun start them and say in the environment which each one is. Rank 0 writes,
prints and answers signals; what it alone decides, `from_first` tells the others.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, TypeVar, cast
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.launching import check_environment, is_launched

Value = TypeVar("Value")
Numbers = npt.NDArray[np.int32]

# A process that ends breaks its connections, which the others notice at once. Nothing else limits
# how long they wait: rank 0 may tokenise for hours.
LONGEST_WAIT = timedelta(days=7)
SECONDS_BETWEEN_LOOKS = 0.02  # of rank 0, for processes that start


class LostProcessError(Exception):
    """Another process of the training has ended; its own message says why.

    The message is empty if the launcher has asked this process to end too, or if rank 0 says it.
    """

    exit_code = 1  # that of the process which says why

    @classmethod
    def silent(cls, error: Exception) -> "LostProcessError":
        """Make the exception that ends a process where rank 0 reports this error."""
        lost = cls("")
        lost.exit_code = getattr(error, "exit_code", cls.exit_code)
        return lost


@dataclass(frozen=True)
class ProcessGroup:
    """Which of the processes this one is, and what they exchange.

    All processes call the same methods in the same order. Each raises LostProcessError if another
    process has ended.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0  # among the processes of this machine
    local_size: int = 1  # the processes of this machine, as far as the launcher tells

    @property
    def may_write(self) -> bool:
        """Whether this process writes to the run folder and reports progress: only rank 0 does."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """The sum of each number over all processes, in float64."""
        if self.world_size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        with losses_noticed():
            distributed.all_reduce(total)
        return cast(list[float], total.tolist())

    def from_first(self, make: Callable[[], Value]) -> Value:
        """Hand the result of `make` on rank 0 to all processes; it is called only there.

        What it raises there ends the others too: as the same exception, or as LostProcessError if
        it is an error, of which rank 0 tells the user.
        """
        if self.world_size == 1:
            return make()
        try:
            values: list[Any] = [make(), None] if self.may_write else [None, None]
        except Exception as error:
            is_error = isinstance(error, Seq2seqError | OSError | RuntimeError)
            told = LostProcessError.silent(error) if is_error else error
            distributed.broadcast_object_list([None, told])
            raise
        with losses_noticed():
            distributed.broadcast_object_list(values, src=0)
        if values[1] is not None:
            raise values[1]
        return cast(Value, values[0])

    def refuse(self, message: str) -> NoReturn:
        """End all processes with a message that rank 0 says: each calls this.

        Raises InputError on rank 0, and LostProcessError elsewhere.
        """
        error = InputError(message)
        raise error if self.may_write else LostProcessError.silent(error)

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, by rank."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        with losses_noticed():
            distributed.all_gather_object(values, value)
        return values

    def gather_numbers(self, arrays: Sequence[Numbers]) -> list[list[Numbers]]:
        """The arrays of all processes, by rank."""
        if self.world_size == 1:
            return [list(arrays)]
        found = []
        for rank, sizes in enumerate(self.gather([len(array) for array in arrays])):
            flat = torch.empty(sum(sizes), dtype=torch.int32)
            if rank == self.rank and arrays:
                flat = torch.from_numpy(np.concatenate(arrays))
            if len(flat):
                with losses_noticed():
                    distributed.broadcast(flat, src=rank)
            ends = np.cumsum(sizes)[:-1]
            found.append(np.split(flat.numpy(), ends) if sizes else [])
        return found

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world_size > 1:
            with losses_noticed():
                distributed.barrier()

    @contextmanager
    def one_by_one(self) -> Iterator[None]:
        """Run a block first on rank 0, then on one process of each machine, then on the others.

        So what the first of them writes on a disk, such as a cache, is there for the others.
        """
        turn = 0 if self.rank == 0 else 1 if self.local_rank == 0 else 2
        for _ in range(turn):
            self.wait()
        yield
        for _ in range(turn, 3):
            self.wait()


ALONE = ProcessGroup()


class SharedClock:
    """The time that training takes, in seconds: that of rank 0 for all processes.

    Limits of time are decided by it, so it stands still between two times that they agree.
    """

    def __init__(self, processes: ProcessGroup) -> None:
        self._processes = processes
        self._now = time.monotonic()

    def __call__(self) -> float:
        """The time now, or with several processes when they last agreed."""
        return time.monotonic() if self._processes.world_size == 1 else self._now

    def own(self) -> float:
        """The share of this process in the sum that `set` takes."""
        return time.monotonic() if self._processes.may_write else 0.0

    def set(self, now: float) -> None:
        """Let it be this time, the sum over all processes of `own`."""
        self._now = now

    def agree(self) -> None:
        """Let it be the time that rank 0 has now; all processes call it."""
        (now,) = self._processes.sums([self.own()])
        self.set(now)


@contextmanager
def joined(device_type: str) -> Iterator[ProcessGroup]:
    """Join the processes that a launcher started, in a block; without one this is alone.

    On GPUs gradients are exchanged by NCCL, all else by gloo.
    """
    if not is_launched():
        yield ProcessGroup()
        return
    check_environment()
    backend = "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo"
    with losses_noticed():
        store, rank, count = next(rendezvous("env://", timeout=LONGEST_WAIT))
        own_store = PrefixStore(meeting_name(store, rank, count), store)
        distributed.init_process_group(
            backend, store=own_store, rank=rank, world_size=count, timeout=LONGEST_WAIT
        )
    yield ProcessGroup(
        distributed.get_rank(),
        distributed.get_world_size(),
        int(os.environ.get("LOCAL_RANK", "0")),
        int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
    )
    distributed.destroy_process_group()  # after an error connections end with the process


def meeting_name(store: Any, rank: int, count: int) -> str:
    """A name that the processes which are running now agree on, and no earlier one has known.

    torchrun (2.13) keeps its store when it starts failed processes again, and with it the addresses
    of those that have ended: whoever reads one of them waits for a process that is no more. So
    every process asks with a word of its own, and rank 0 answers each with the name it has drawn.
    """
    if rank > 0:
        word = uuid4().hex
        store.set(f"asks/{rank}", word)
        name = str(store.get(f"answer/{word}"), "ascii")
        store.set(f"knows/{name}/{rank}", "yes")
        return name
    name = uuid4().hex
    others, answered = set(range(1, count)), set[str]()
    while others := {each for each in others if not store.check([f"knows/{name}/{each}"])}:
        for each in others:
            word = str(store.get(f"asks/{each}"), "ascii")  # perhaps of one that has ended
            if word not in answered:
                store.set(f"answer/{word}", name)
                answered.add(word)
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return name


@contextmanager
def losses_noticed() -> Iterator[None]:
    """Raise LostProcessError where torch says that a connection is broken."""
    try:
        yield
    except RuntimeError as error:  # DistBackendError, DistNetworkError and others are its kinds
        raise LostProcessError(str(error).partition("\n")[0]) from error


def is_loss(error: BaseException) -> bool:
    """Whether an error of a computation means that a connection to another process is broken."""
    words = str(error)
    return isinstance(error, distributed.DistError) or any(
        each in words for each in ("gloo/", "Connection closed", "Connection reset", "NCCL")
    )


def divide(sizes: Sequence[int], count: int) -> list[list[int]]:
    """Divide pieces of work, of these sizes, among `count` processes about equally.

    Returns the indices of each process' pieces, in ascending order: the largest piece that is left
    goes to the process that has least so far. A pure function, so that all processes agree.
    """
    shares: list[list[int]] = [[] for _ in range(count)]
    load = [0] * count
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        least = load.index(min(load))
        shares[least].append(index)
        load[least] += sizes[index]
    return [sorted(share) for share in shares]
