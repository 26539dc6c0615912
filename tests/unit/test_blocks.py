"""Processes that translate blocks of one text wait for each other, and not for those of before."""

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from seq2seq_cli.messages import ignore_warning
from seq2seq_cli.translation import blocks
from seq2seq_cli.translation.blocks import PLAN, BlockFolder, convert_in_blocks

LINES = [f"{number}" for number in range(6)]
SECONDS = 60  # in which a process ends that has nothing to wait for, on the slowest machine
WAIT = 70  # seconds for those that never come


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlockFolder:
    """A folder that an earlier start has left, in which all have said that they had ended."""
    monkeypatch.setattr(blocks, "BLOCK_LINES", 2)
    monkeypatch.setattr(blocks, "SECONDS_BETWEEN_LOOKS", 0.002)
    monkeypatch.setattr(blocks, "SECONDS_FOR_OTHERS", WAIT)
    folder = BlockFolder(tmp_path / "out", {"lines": 6})
    folder.open(ignore_warning, is_first=True)
    for index in range(3):
        folder.write(index, [f"block {index}"])
    for rank in (1, 2):
        (folder.path / f"process-{rank}.end").touch()
    for path in folder.path.iterdir():
        os.utime(path, (1, 2 if path.suffix == ".end" else 1))
    return folder


def process(folder: BlockFolder, rank: int) -> int:
    folder.open(ignore_warning, is_first=rank == 0)
    return convert_in_blocks(
        LINES,
        lambda lines, first: [f"{first} {line}" for line in lines],
        folder,
        window=1,
        rank=rank,
        processes=3,
    )


def test_the_folder_of_blocks_stays_until_all_processes_of_this_start_have_ended(
    folder: BlockFolder,
) -> None:
    folder.block(1).unlink()
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(process, folder, 0), pool.submit(process, folder, 2)]
        while not running[0].done() and not folder.block(2).exists():
            time.sleep(0.01)
        time.sleep(0.1)
        assert folder.path.exists()
        assert not folder.output.exists()
        late: Future[int] = pool.submit(process, folder, 1)
        assert [each.result(SECONDS) for each in (*running, late)] == [len(LINES)] * 3
    assert folder.output.read_text() == "block 0\n3 2\n4 3\nblock 2\n"
    assert not folder.path.exists()


def test_a_process_that_starts_when_the_output_is_complete_still_finds_the_folder(
    folder: BlockFolder,
) -> None:
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(process, folder, 0), pool.submit(process, folder, 2)]
        while not running[0].done() and not folder.output.exists():
            time.sleep(0.01)
        time.sleep(0.1)
        assert folder.path.exists()
        late = pool.submit(process, folder, 1)
        assert [each.result(SECONDS) for each in (*running, late)] == [len(LINES)] * 3
    assert not folder.path.exists()


def test_processes_that_end_before_the_first_one_begins_are_not_waited_for(
    folder: BlockFolder,
) -> None:
    with ThreadPoolExecutor() as pool:
        early = [pool.submit(process, folder, rank) for rank in (1, 2)]
        ends = [folder.path / f"process-{rank}.end" for rank in (1, 2)]
        while not all(each.done() for each in early) and not all(
            end.stat().st_mtime > (folder.path / PLAN).stat().st_mtime + 10 for end in ends
        ):
            time.sleep(0.01)
        first = pool.submit(process, folder, 0)
        assert [each.result(SECONDS) for each in (*early, first)] == [len(LINES)] * 3
    assert not folder.path.exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_never_come_are_waited_for_until_a_limit(
    rank: int, folder: BlockFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "SECONDS_BETWEEN_LOOKS", 1.0)
    slept: list[float] = []
    clock = SimpleNamespace(sleep=slept.append, monotonic=lambda: sum(slept))
    monkeypatch.setattr(blocks, "time", clock)
    process(folder, rank)
    assert sum(slept) == pytest.approx(WAIT, abs=1)
    assert folder.path.exists() == (rank == 1)
