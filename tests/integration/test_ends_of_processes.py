"""A process that has finished is not taken for a lost one by those that take longer to end."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from tests.integration.test_processes import places

SECONDS = 0.7  # that one process takes longer than the others
STOPPED = 128 + signal.SIGTERM


def end(environment: dict[str, str], way: str, slowest: str, log: Path) -> None:
    """Be a process of `seq2seq train` from the last thing on that all of them do together."""
    os.environ.update(environment)
    from seq2seq_cli.cli import train as command
    from seq2seq_cli.config.training import TrainingConfig
    from seq2seq_cli.training import run
    from seq2seq_cli.training.distributed import ProcessGroup
    from seq2seq_cli.training.planning.run_plan import AlreadyFinishedError
    from seq2seq_cli.training.signals import InterruptedTrainingError

    def raise_finished() -> None:
        raise AlreadyFinishedError("is finished")

    def train_run(*_: object, processes: ProcessGroup, **__: object) -> str:
        try:
            if way == "finished":
                processes.from_first(raise_finished)
            processes.sums([1.0])
            if way == "stopped":
                raise InterruptedTrainingError(signal.SIGTERM)
        finally:
            if environment["RANK"] == slowest:
                time.sleep(SECONDS)
        return "enough"

    run.train_run = train_run
    sys.stderr = log.open("w", encoding="utf-8", buffering=1)
    try:
        command.run(
            SimpleNamespace(training=TrainingConfig()),
            Path("run"),
            device="cpu",
            threads=1,
            quiet=False,
            restart=False,
            cache=None,
            accept_data=False,
        )
    except typer.Exit as ended:
        sys.exit(ended.exit_code)


@pytest.mark.parametrize(
    ("way", "slowest", "code", "said"),
    [
        ("done", "0", 0, "done: enough"),
        ("finished", "1", 0, "is finished"),
        ("stopped", "2", STOPPED, "stopped by SIGTERM, all saved"),
    ],
)
def test_processes_part_whichever_takes_longest(way, slowest, code, said, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seq2seq_cli.training.run", "seq2seq_cli.cli.train"])
    logs = [tmp_path / f"{rank}.log" for rank in range(3)]
    processes = [
        context.Process(target=end, args=(place, way, slowest, log))
        for place, log in zip(places(3), logs, strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
    first, *others = (log.read_text(encoding="utf-8") for log in logs)
    assert [process.exitcode for process in processes] == [code] * 3, (first, others)
    assert said in first
    assert others == ["", ""]
