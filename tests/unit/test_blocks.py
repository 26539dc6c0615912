"""Processes that translate blocks of one text wait for each other, and not for those of before."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from seq2seq_cli.launching import ANNOUNCED, session
from seq2seq_cli.text import ignore_warning
from seq2seq_cli.translation import blocks
from seq2seq_cli.translation.blocks import BlockFolder, convert_in_blocks

LINES = [f"{number}" for number in range(6)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlockFolder:
    monkeypatch.setattr(blocks, "BLOCK_LINES", 2)
    folder = BlockFolder(tmp_path / "out", {"lines": 6})
    folder.open(ignore_warning, is_first=True)
    return folder


def clock(monkeypatch: pytest.MonkeyPatch, sleep: Callable[[], None]) -> list[float]:
    """Let time pass in `blocks` only while it sleeps, and something happen then."""
    slept = [0.0]

    def pass_(seconds: float) -> None:
        slept.append(slept[-1] + seconds)
        sleep()

    time = SimpleNamespace(sleep=pass_, monotonic=lambda: slept[-1])
    monkeypatch.setattr(blocks, "time", time)
    return slept


def translate(folder: BlockFolder, rank: int, session_: str = "now") -> int:
    return convert_in_blocks(
        LINES,
        lambda lines, first: [f"{first} {line}" for line in lines],
        folder,
        window=1,
        rank=rank,
        processes=3,
        session=session_,
    )


def test_the_folder_of_blocks_stays_until_all_processes_of_this_session_have_ended(
    folder: BlockFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(1, ["of before"])
    folder.end(1, "before")
    steps: list[tuple[Callable[[], object], bool]] = [
        (lambda: translate(folder, 2, "before"), False),
        (lambda: folder.end(2, "now"), True),
        (lambda: translate(folder, 1), True),
    ]

    def step() -> None:
        happens, is_joined = steps.pop(0)
        assert folder.output.exists() == is_joined
        assert [folder.block(index).exists() for index in range(3)] == [True, True, is_joined]
        happens()
        assert folder.block(1).read_text() == "of before\n"

    clock(monkeypatch, step)
    assert translate(folder, 0) == len(LINES)
    assert steps == []
    assert folder.output.read_text() == "1 0\n2 1\nof before\n5 4\n6 5\n"
    assert not folder.path.exists()
    folder.end(1, "now")  # it has nothing left to say


@pytest.mark.parametrize("ended", [1, 2])
def test_a_process_that_never_ends_is_waited_for_ten_minutes(
    ended: int, folder: BlockFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = clock(monkeypatch, lambda: None)
    for index in range(3):
        folder.write(index, ["x"])
    translate(folder, ended)
    translate(folder, 0)
    assert slept[-1] == pytest.approx(600, abs=1)
    assert not folder.path.exists()


def test_processes_of_one_start_have_one_session_and_others_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = (
        ANNOUNCED,
        "TORCHELASTIC_RUN_ID",
        "TORCHELASTIC_RESTART_COUNT",
        "MASTER_ADDR",
        "MASTER_PORT",
        "SLURM_JOB_ID",
    )
    for name in (*names, "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    found = [session()]
    for name in names:
        with monkeypatch.context() as changed:
            changed.setenv(name, "1")
            found.append(session())
            changed.setenv("RANK", "1")
            changed.setenv("LOCAL_RANK", "1")
            assert session() == found[-1]
    assert len(set(found)) == len(names) + 1
