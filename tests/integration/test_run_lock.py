"""One training at a time writes into a run folder; everybody may read it meanwhile."""

import errno
import fcntl
import os
import signal
import socket
from pathlib import Path

import pytest

from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.lock import holder, locked

LONG = {"max_updates": 100_000, "checkpoint_every": 5, "validate_every": 10, "patience": 0}


def test_a_second_training_is_told_who_trains_and_the_run_can_be_used_meanwhile(seq2seq, train):
    command = train(**LONG, average="last", average_count=2)
    first = command.start()
    first.wait_for_stderr(b"validation at update 20")
    try:
        for options in ([], ["--restart"], ["--seed", 7]):
            second = command(*options)
            assert second.code == 2
            (message,) = second.stderr.splitlines()
            assert (
                f"run is in use: process {first.pid} on {socket.gethostname()}, since " in message
            )
            assert "is training there; wait for its end, stop it, or choose another" in message
        translated = seq2seq("translate", "run", stdin=b"one .\n", folder=command.folder)
        assert (translated.code, translated.stderr) == (0, "")
        into = seq2seq("average", "run", "--output", "run", folder=command.folder)
        assert into.code == 2
        assert f"run: process {first.pid} on " in into.stderr
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert holder(command.run) is None
    continued = command.start()
    continued.wait_for_stderr(b"validation at update ")
    continued.send_signal(signal.SIGINT)
    assert continued.finish().code == 128 + signal.SIGINT
    assert not (command.run / "run.lock").exists()


def test_a_second_training_is_refused_before_the_first_has_read_its_text(train):
    command = train(max_updates=1)
    (command.folder / "train.en").unlink()
    os.mkfifo(command.folder / "train.en")
    first = command.start()
    writer = os.open(command.folder / "train.en", os.O_WRONLY)  # once it reads
    try:
        second = command()
        assert second.code == 2
        assert f"process {first.pid} on " in second.stderr
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
        os.close(writer)


def test_a_lock_that_a_kill_left_is_not_in_the_way(seq2seq, train):
    command = train(max_updates=2)
    assert command().code == 0
    for name in ("mean", "new"):
        (command.folder / name).mkdir()
        (command.folder / name / "run.lock").write_text('{"pid": 1}')
    done = seq2seq("average", "run", "--output", "mean", folder=command.folder)
    assert done.code == 0, done.stderr
    assert not (command.folder / "mean" / "run.lock").exists()
    assert command("--output", "new").code == 0
    assert not (command.folder / "new" / "run.lock").exists()


def test_the_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "run", pytest.fail):
        assert f"process {os.getpid()} on " in str(holder(tmp_path / "a" / "run"))
        with (
            pytest.raises(InputError, match=f"process {os.getpid()} on "),
            locked(tmp_path / "a" / "run", pytest.fail),
        ):
            pytest.fail("it is locked")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_without_locks_training_goes_on_with_a_warning(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    warnings: list[str] = []
    with locked(tmp_path / "run", warnings.append):
        assert holder(tmp_path / "run") is None
    (warning,) = warnings
    assert f"run cannot be locked ({os.strerror(number)})" in warning
    assert list(tmp_path.iterdir()) == []
