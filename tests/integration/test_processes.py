"""Several processes train as one does, and end together."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.arrays import load_arrays
from seq2seq_cli.translation import blocks
from seq2seq_cli.translation.blocks import BLOCK_LINES
from tests.integration.conftest import FILES, Command, Done, Process
from tests.integration.test_resume import reports, result

# Micro-batches enough for three processes, with all that draws random numbers or has a state.
SHARED = {"precision": "float32", "batch_tokens": 400, "micro_batch_tokens": 100, "accumulate": 2}
SHARED |= {"max_updates": 50, "validate_every": 25, "ema_decay": 0.9, "word_dropout": 0.1}
SHARED |= {"average": "best", "average_count": 2, "learning_rate": 0.003}

KINDS = {"training", "validation"}

# Some updates, the last ones of portions, have fewer micro-batches than processes, so that dropout
# would draw otherwise.
STREAM = ["--stream", "--set", "data.stream_pairs=150", "--set", "model.dropout=0"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def places(count: int) -> list[dict[str, str]]:
    """What a launcher sets in the environments of so many processes."""
    master = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        master | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        for rank in range(count)
    ]


def start(
    command: Command, count: int, *more: object, own: Sequence[Sequence[object]] = (), **how: Any
) -> list[Process]:
    """Start a training in several processes as a launcher does, with options of their own."""
    return [
        command.start(*more, *(own[rank] if own else ()), environment=place, **how)
        for rank, place in enumerate(places(count))
    ]


def finish(processes: list[Process]) -> list[Done]:
    return [process.finish() for process in processes]


def weights(run: Path) -> dict[str, np.ndarray]:
    """The weights without the biases of keys.

    These change all scores of a query alike, so they have no effect, and as gradients only rounding
    errors, which Adam scales up to whole steps.
    """
    arrays, _ = load_arrays(run / "model.safetensors")
    found = {name: np.array(array) for name, array in arrays.items()}
    for name, array in found.items():
        if name.endswith("key_value.bias"):
            parts = np.split(array, 3 if "query" in name else 2)
            del parts[-2]
            found[name] = np.concatenate(parts)
    return found


def assert_same_training(run: Path, other: Path, kinds: set[str] = KINDS) -> None:
    """Losses in these records within 1e-5 and weights within 1e-4 of each other."""
    losses, other_losses = (
        {(each["kind"], each["update"]): each["loss"] for each in reports(each)}
        for each in (run, other)
    )
    compared = [key for key in losses if key[0] in kinds]
    assert kinds <= {kind for kind, _ in compared}
    for key in compared:
        assert losses[key] == pytest.approx(other_losses[key], abs=1e-5)
    own, others = weights(run), weights(other)
    differences = {name: float(np.abs(own[name] - others[name]).max()) for name in own}
    assert {name: each for name, each in differences.items() if each >= 1e-4} == {}


@pytest.mark.parametrize(
    ("architecture", "settings", "more"),
    [
        ("transformer-regularised", {"r_drop": 2.0}, []),
        ("attention-rnn", {"label_smoothing": 0.1}, []),
        ("conv", {}, []),
        ("rnn", {"word_dropout": 0.0}, STREAM),
    ],
)
def test_two_and_three_processes_train_as_one_does(architecture, settings, more, train) -> None:
    command = train(architecture, **SHARED | settings)
    mixture = ["--source", "valid.en", "--target", "valid.de", "--weights", "3,1", "--accept-data"]
    options = [*mixture, "--set", "data.subword_sampling=0.2", *more]
    for count in (1, 2, 3):
        for done in finish(start(command, count, *options)):
            assert done.code == 0, done.stderr
        command.run.rename(command.folder / f"run-{count}")
    for count in (2, 3):
        assert_same_training(command.folder / "run-1", command.folder / f"run-{count}")


def test_only_the_first_process_prints_and_writes(train, tmp_path: Path) -> None:
    command = train(max_updates=3)
    elsewhere = Command(command.seq2seq, tmp_path / "elsewhere")
    shutil.copytree(command.folder, elsewhere.folder)
    before = sorted(elsewhere.folder.iterdir())
    one, two = places(2)
    first, second = finish([command.start(environment=one), elsewhere.start(environment=two)])
    assert (first.code, second.code, second.stderr) == (0, 0, "")
    assert "2 processes" in first.stderr
    assert sorted(elsewhere.folder.iterdir()) == before
    assert (command.run / "model.safetensors").exists()


def test_stopped_and_continued_it_ends_with_the_same_bytes(train) -> None:
    command = train(**SHARED | {"checkpoint_every": 1000, "max_updates": 150})
    finish(start(command, 2))
    unbroken = result(command.run), reports(command.run)
    command.run.rename(command.folder / "unbroken")
    processes = start(command, 2)
    processes[0].wait_for_stderr(b"update 1 ")
    processes[1].send_signal(signal.SIGTERM)  # to one is to all
    first, second = finish(processes)
    assert (first.code, second.code) == (128 + signal.SIGTERM,) * 2
    assert "all saved" in first.stderr
    assert second.stderr == ""
    assert [done.code for done in finish(start(command, 2))] == [0, 0]
    assert (result(command.run), reports(command.run)) == unbroken


def test_another_number_of_processes_continues_the_same_training(train) -> None:
    command = train(**SHARED)
    finish(start(command, 2))
    command.run.rename(command.folder / "unbroken")
    assert finish(start(command, 2, "--max-updates", 25))[0].code == 0
    (done,) = finish(start(command, 1))
    assert "processes: 1, and 2 before" in done.stderr
    assert_same_training(command.folder / "unbroken", command.run, {"validation"})


@pytest.mark.parametrize("shard", [False, True])
def test_a_lost_process_ends_the_others_within_seconds(shard, train) -> None:
    processes = start(train(max_updates=100_000, shard=shard), 2)
    processes[0].wait_for_stderr(b"update 1 ")
    begun = time.monotonic()
    processes[1].send_signal(signal.SIGKILL)
    done = processes[0].finish()
    assert time.monotonic() - begun < 20
    assert done.code == 1
    assert done.stderr.count("seq2seq: error:") == 1
    assert "the checkpoint of update" in done.stderr


def test_processes_that_differ_end_with_one_error_before_training_begins(train) -> None:
    first, second = start(train(), 2, own=[[], ["--seed", "2"]])
    done = first.finish()
    second.send_signal(signal.SIGTERM)  # as a launcher does
    assert done.code == 2
    assert "processes 0 and 1 differ in their settings" in done.stderr
    assert second.finish().stderr == ""


def test_processes_with_other_files_end_with_one_error_before_training_begins(
    train, tmp_path: Path
) -> None:
    command = train()
    elsewhere = Command(command.seq2seq, tmp_path / "elsewhere")
    shutil.copytree(command.folder, elsewhere.folder)
    text = elsewhere.folder / "valid.de"
    text.write_text(text.read_text().replace("eins", "zwei"))
    one, two = places(2)
    first, second = command.start(environment=one), elsewhere.start(environment=two)
    done = first.finish()
    second.send_signal(signal.SIGTERM)  # as a launcher does
    assert done.code == 2
    assert "the text that process 1 reads is not that of process 0" in done.stderr
    assert second.finish().stderr == ""
    assert not command.run.exists() or not list(command.run.glob("*"))


def test_more_processes_than_pairs_in_an_update_are_an_error(train) -> None:
    first, second = start(train(batch_tokens=5, micro_batch_tokens=5), 2)
    done = first.finish()
    second.send_signal(signal.SIGTERM)  # as a launcher does
    assert done.code == 2
    assert "2 processes, but an update has about 1 sentence pair" in done.stderr
    assert second.finish().stderr == ""


@pytest.mark.parametrize("more", [[], ["--stream"]])
def test_processes_cannot_read_a_pipe(more, train) -> None:
    done = train().start("--processes", 2, *more, files={"--source": "-"}).finish(b"one\n")
    assert done.code == 2
    assert "standard input" in done.stderr
    assert "comes through a pipe, which several processes cannot read" in done.stderr


def test_an_output_that_a_process_does_not_see_is_an_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(blocks, "SECONDS_FOR_OTHERS", 0.1)
    folder = blocks.BlockFolder(tmp_path / "out.de", {"lines": 1})
    with pytest.raises(
        InputError, match=r"out\.de\.blocks: .*a file system that all processes see"
    ):
        folder.open(pytest.fail, is_first=False)


def test_what_ends_a_training_before_it_begins_is_said_once(train) -> None:
    command = train(max_updates=3)
    assert [done.code for done in finish(start(command, 2))] == [0, 0]
    first, second = finish(start(command, 2))
    assert "is finished since update 3" in first.stderr
    assert (first.code, second.code, second.stderr) == (0, 0, "")
    wrong = start(command, 2, "--restart", files={"--source": "nope.en"})
    first = wrong[0].finish()
    wrong[1].send_signal(signal.SIGTERM)  # as a launcher does
    assert (first.code, wrong[1].finish().stderr) == (2, "")
    assert "nope.en: no such file" in first.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="processes end with their parent on Linux")
def test_processes_end_with_the_one_that_launched_them(train: Callable[..., Command]) -> None:
    command = train(max_updates=100_000)
    launcher = launched(command, "-m", "seq2seq_cli", more=("--processes", "2"))
    seen = ""
    while "update 1 " not in seen:
        seen += (line := launcher.stderr.readline())
        assert line, seen
    launcher.kill()
    _, rest = launcher.communicate(timeout=120)  # until they have closed their end of the pipe
    assert "all saved" in rest


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "but not RANK"),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
            "RANK=2 and WORLD_SIZE=2",
        ),
    ],
)
def test_an_environment_of_no_launcher_is_an_error(environment, message, train) -> None:
    done = train()(environment=environment)
    assert done.code == 2
    assert message in done.stderr


def launched(command: Command, *launcher: str, more: tuple[str, ...] = ()) -> subprocess.Popen:
    """Start the training under a launcher, in Python of its own."""
    data = [each for pair in FILES.items() for each in pair]
    fixed = ["--config", "tiny.toml", "--output", "run"]
    return subprocess.Popen(
        [sys.executable, *launcher, "train", *data, *fixed, *more],
        cwd=command.folder,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_processes_are_launched_and_stopped_by_one_command(train: Callable[..., Command]) -> None:
    command = train(max_updates=100_000)
    process = launched(command, "-m", "seq2seq_cli", more=("--processes", "2"))
    seen = ""
    while "update 1 " not in seen:
        seen += (line := process.stderr.readline())
        assert line, seen
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT
    assert rest.count("all saved; the same command continues") == 1
    assert "Traceback" not in rest


def block_lines(folder: Path) -> list[str]:
    """More lines than three blocks have, that differ."""
    source = (folder / "train.en").read_text().splitlines()
    count = 3 * BLOCK_LINES + 700
    return [f"{source[k % 300]} {source[k // 300 % 300]}" for k in range(count)]


def test_processes_translate_to_the_bytes_of_one_though_they_are_killed(
    seq2seq, trained: Path, corpus: Path
) -> None:
    (corpus / "many.en").write_text("".join(f"{line}\n" for line in block_lines(corpus)))
    command = ["translate", trained, "--beam", 1, "--precision", "int8", "--input", "many.en"]
    assert seq2seq(*command, "--output", "one.de", folder=corpus).code == 0
    output = corpus / "three.de"
    command += ["--output", output]
    blocks = output.with_name("three.de.blocks")
    for killed in (1, 2):
        processes = [
            seq2seq.start(*command, folder=corpus, environment=place) for place in places(3)
        ]
        while len(list(blocks.glob("*.block"))) < killed:
            time.sleep(0.01)
        for process in processes:
            process.send_signal(signal.SIGKILL)
        finish(processes)
        assert not output.exists()
    done = finish([seq2seq.start(*command, folder=corpus, environment=p) for p in places(3)])
    assert [each.code for each in done] == [0, 0, 0]
    assert "continuing;" in done[0].stderr
    assert output.read_bytes() == (corpus / "one.de").read_bytes()
    assert not blocks.exists()


def test_a_process_that_starts_late_ends_with_the_others(seq2seq, trained, corpus) -> None:
    command = ["translate", trained, "--beam", 1, "--input", "valid.en", "--output", "out.de"]
    one, two = places(2)
    first = seq2seq.start(*command, folder=corpus, environment=one)
    while not (corpus / "out.de").exists():  # all of its one block is the first process' work
        time.sleep(0.01)
    second = seq2seq.start(*command, folder=corpus, environment=two)
    assert [done.code for done in finish([second, first])] == [0, 0]
    assert not (corpus / "out.de.blocks").exists()


def test_blocks_of_another_translation_are_not_taken_for_ones_own(
    seq2seq, trained: Path, corpus: Path
) -> None:
    (corpus / "some.en").write_text("one two\n")
    blocks = corpus / "some.de.blocks"
    blocks.mkdir()
    (blocks / "plan.json").write_text("{}")
    (blocks / "00000000.block").write_text("wrong\n")
    command = ["translate", trained, "--input", "some.en", "--output", "some.de"]
    done = finish([seq2seq.start(*command, folder=corpus, environment=p) for p in places(2)])
    assert "blocks of another translation" in done[0].stderr
    assert (corpus / "some.de").read_text() == "eins zwei\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input", "valid.en"], "give --input and --output"),
        (["--output", "out.de"], "give --input and --output"),
        (["--input", "valid.en", "--output", "a", "--alignment", "b"], "written by one process"),
    ],
)
def test_what_processes_cannot_divide_is_an_error(options, message, seq2seq, trained, corpus):
    done = seq2seq("translate", trained, "--processes", 2, *options, folder=corpus)
    assert done.code == 2
    assert message in done.stderr


def test_what_is_wrong_for_all_processes_is_said_once_and_nothing_is_left(
    seq2seq, run_copy: Path, corpus: Path
) -> None:
    weights = run_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    before = sorted(corpus.iterdir())
    files = ["--input", "valid.en", "--output", "out.de"]
    done = seq2seq("translate", run_copy, "--processes", 2, *files, folder=corpus)
    assert done.code == 2, done.stderr
    assert done.stderr.count("seq2seq: error:") == 1
    assert str(weights) in done.stderr
    assert sorted(corpus.iterdir()) == before


def workers_of(launcher: subprocess.Popen) -> list[int]:
    """The processes that a launcher has started, by rank."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    ranks = {}
    for child in children:
        with contextlib.suppress(OSError):
            variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            rank = next((v for v in variables if v.startswith(b"RANK=")), None)
            if rank is not None:
                ranks[int(rank.removeprefix(b"RANK="))] = int(child)
    return [ranks[rank] for rank in sorted(ranks)]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")
def test_a_killed_process_is_started_again_and_training_ends_as_it_would_have(train) -> None:
    command = train(**SHARED | {"checkpoint_every": 5, "max_updates": 150})
    assert [done.code for done in finish(start(command, 2))] == [0, 0]
    unbroken = result(command.run), reports(command.run)
    command.run.rename(command.folder / "unbroken")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    process = launched(command, *torchrun, "--max-restarts=9", "-m", "seq2seq_cli")
    seen = ""
    while "update 1 " not in seen:
        seen += (line := process.stderr.readline())
        assert line, seen
    os.kill(workers_of(process)[1], signal.SIGKILL)
    _, rest = process.communicate(timeout=200)
    assert process.returncode == 0, rest
    assert (result(command.run), reports(command.run)) == unbroken
