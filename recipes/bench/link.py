"""Checks the arithmetic of scaling (docs/machines.md) over a link that is slow on purpose.

    python recipes/bench/link.py [--preset transformer-small] [--bandwidths 50 100 200 400]

Processes of one thread each compute gradients of random batches and exchange them as training
does, by gloo over TCP connections of this machine whose rate the kernel limits (by the option
SO_MAX_PACING_RATE of Linux, which any user may set). For each bandwidth, in MB/s in each direction,
it prints the seconds of an exchange alone and of an update, both as measured and by the formulas,
and the efficiency: the time of an update's gradients alone over the time with their exchange.
Conditions alternate for several rounds, and medians are printed.
"""

import argparse
import os
import socket
import statistics
import struct
import time
from pathlib import Path

import torch
from torch import multiprocessing

from seq2seq_cli.data.batch import Batch
from seq2seq_cli.models import TranslationModel, Vocabulary, build
from seq2seq_cli.training.distributed import ALONE, ProcessGroup, joined
from seq2seq_cli.training.gradient_exchange import GradientExchange
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.settings import merge_settings

PACING_RATE = getattr(socket, "SO_MAX_PACING_RATE", 47)  # Python knows its name from 3.12 on
UNLIMITED = 0xFFFFFFFF
LENGTH = 25  # tokens of a sentence
BYTES = {torch.float32: 4, torch.bfloat16: 2}
FORWARD = 1 / 3  # of the time that a gradient takes: one product, and two in the backward pass


def limit_connections(bytes_per_second: int) -> None:
    """Limit what each TCP connection of this process sends."""
    for path in sorted(Path("/proc/self/fd").iterdir()):
        try:
            if not str(path.readlink()).startswith("socket:"):
                continue
            descriptor = os.dup(int(path.name))
        except OSError:  # that of the folder itself
            continue
        with socket.socket(fileno=descriptor) as connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                rate = struct.pack("I", min(bytes_per_second, UNLIMITED))
                connection.setsockopt(socket.SOL_SOCKET, PACING_RATE, rate)


def random_batch(tokens: int, vocabulary: int) -> Batch:
    """A batch of sentences of LENGTH tokens on both sides."""
    source, target = (torch.randint(4, vocabulary, (tokens // LENGTH, LENGTH)) for _ in range(2))
    return Batch(source, target)


def seconds_of_update(
    model: TranslationModel,
    objective: Objective,
    batches: list[Batch],
    exchange: GradientExchange,
    group: ProcessGroup,
) -> float:
    """The time in which all processes have computed, and exchanged, the gradients of an update."""
    group.wait()
    begin = time.perf_counter()
    for batch in batches[:-1]:
        objective(model, batch)[0].backward()
    with exchange.during_last_pass():
        objective(model, batches[-1])[0].backward()
    exchange.finish()
    seconds = time.perf_counter() - begin
    model.zero_grad()
    return max(group.gather(seconds))


def seconds_of_exchange(
    exchange: GradientExchange, model: TranslationModel, group: ProcessGroup
) -> float:
    """The time that an exchange takes if nothing is computed meanwhile."""
    group.wait()
    begin = time.perf_counter()
    exchange.finish()
    seconds = time.perf_counter() - begin
    model.zero_grad()
    return max(group.gather(seconds))


def work(rank: int, options: argparse.Namespace, port: int) -> None:
    """Measure in one of the processes; the first prints."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": options.processes}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    config = merge_settings(
        {},
        preset=options.preset,
        file=None,
        output=Path("unused"),
        restart=False,
        processes=options.processes,
        warn=print,
    )
    precision = {"float32": torch.float32, "bfloat16": torch.bfloat16}[options.exchange]
    size = options.vocabulary
    model = build(config.model, Vocabulary(size, size, joint=True)).train()
    objective = Objective(config.training, torch.float32)
    batches = [random_batch(options.tokens, size) for _ in range(options.micro_batches)]
    alone = GradientExchange(ALONE, list(model.parameters()))
    with joined("cpu") as group:
        shared = GradientExchange(group, list(model.parameters()), precision)
        found: dict[tuple[str, int], list[float]] = {}
        for _ in range(1 + options.rounds):
            limit_connections(UNLIMITED)
            seconds = {("gradients", 0): seconds_of_update(model, objective, batches, alone, group)}
            for bandwidth in options.bandwidths:
                limit_connections(bandwidth * 1_000_000)
                seconds["exchange", bandwidth] = seconds_of_exchange(shared, model, group)
                seconds["update", bandwidth] = seconds_of_update(
                    model, objective, batches, shared, group
                )
            for key, value in seconds.items():
                found.setdefault(key, []).append(value)
        if group.may_write:
            bytes_ = sum(p.numel() for p in model.parameters()) * BYTES[precision]
            report(
                options, bytes_, {key: statistics.median(each[1:]) for key, each in found.items()}
            )


def report(options: argparse.Namespace, bytes_: int, found: dict[tuple[str, int], float]) -> None:
    """Print what was measured beside what the formulas of docs/machines.md say."""
    count, gradients = options.processes, found["gradients", 0]
    print(
        f"{options.preset}, {count} processes, {bytes_ / 1e6:.1f} MB of gradients, computed in "
        f"{gradients:.3f} s from {options.micro_batches} x {options.tokens} tokens each"
    )
    print("| MB/s | exchange | by formula | update | efficiency | by formula, overlapped or not |")
    print("|---|---|---|---|---|---|")
    backward = gradients * (1 - FORWARD) / options.micro_batches  # of the last micro-batch
    for bandwidth in options.bandwidths:
        exchange = 2 * (count - 1) / count * bytes_ / (bandwidth * 1e6)
        overlapped = gradients + max(0.0, exchange - backward)
        update = found["update", bandwidth]
        print(
            f"| {bandwidth} | {found['exchange', bandwidth]:.3f} s | {exchange:.3f} s | "
            f"{update:.3f} s | {gradients / update:.2f} | "
            f"{gradients / overlapped:.2f}, {gradients / (gradients + exchange):.2f} |"
        )


def main() -> None:
    """Measure in several processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", default="transformer-small")
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=1000, help="of each side of a micro-batch")
    parser.add_argument("--micro-batches", type=int, default=1, help="of each process in an update")
    parser.add_argument("--bandwidths", type=int, nargs="+", default=[50, 100, 200, 400])
    parser.add_argument("--exchange", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    multiprocessing.spawn(work, (options, port), options.processes)


if __name__ == "__main__":
    main()
