"""Real `seq2seq` processes, a toy corpus, and one run trained on it for all tests that only read.

Starting Python with torch takes two seconds, so one process imports everything and then forks a
new `seq2seq` for each command: its own process with its own descriptors, signals and exit.
"""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from seq2seq_cli.config.settings import toml_value

FORKS = """
import gc, json, os, resource, signal, socket, sys
from importlib import import_module
import torch.distributed.checkpoint, torch.distributed.fsdp  # which a sharded training imports
import seq2seq_cli.training.run, seq2seq_cli.translation.translator
from seq2seq_cli.cli.app import COMMANDS

for name, entry in COMMANDS.items():
    import_module(f"seq2seq_cli.cli.{entry.function_of(name)}")

def wait_for(child, connection):
    connection.send(child.to_bytes(4, "big"))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.send(status.to_bytes(4, "big", signed=True))
    os._exit(0)

def serve(listener):
    while True:
        connection, _ = listener.accept()
        message, standard, _, _ = socket.recv_fds(connection, 1 << 16, 3)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            child = os.fork()
            if child:
                wait_for(child, connection)
            for number, descriptor in enumerate(standard):
                os.dup2(descriptor, number)
            os.closerange(3, 1024)
            return json.loads(message)
        for descriptor in standard:
            os.close(descriptor)
        connection.close()

def kill_after_writes(count):
    def watch(event, arguments):
        nonlocal count
        if event == "open":
            writes = str(arguments[0]).startswith("run") and arguments[2] & os.O_WRONLY
        else:
            writes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
        if writes and count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if writes:
            count -= 1
    sys.addaudithook(watch)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
gc.freeze()  # or each child would touch, and so copy, all memory when it ends
listener = socket.socket(fileno=int(sys.argv[1]))
request = serve(listener)
listener.detach()
os.chdir(request["folder"])
os.environ.update(request["environment"])
if request["largest_file"] is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"],) * 2)
if request["writes"] is not None:
    kill_after_writes(request["writes"])
sys.argv = ["seq2seq", *request["arguments"]]
seq2seq_cli.cli.main()
"""


@dataclass(frozen=True)
class Done:
    """How a process ended."""

    code: int  # negative: the signal that killed it
    stdout: bytes
    stderr: str


class Process:
    """A running `seq2seq`, with a pipe to its standard input and, unless said, from its output."""

    def __init__(self, server: str, request: dict[str, object], stdout: int | None) -> None:
        mine, theirs = zip(*(self._pipe(i) for i in range(3)), strict=True)
        self.stdin: BinaryIO = os.fdopen(mine[0], "wb", buffering=0)
        self.stdout: BinaryIO = os.fdopen(mine[1], "rb", buffering=0)
        self.stderr: BinaryIO = os.fdopen(mine[2], "rb")
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(server)
        given = [theirs[0], theirs[1] if stdout is None else stdout, theirs[2]]
        socket.send_fds(self._connection, [json.dumps(request).encode()], given)
        for descriptor in theirs:
            os.close(descriptor)
        self.pid = int.from_bytes(self._connection.recv(4), "big")

    @staticmethod
    def _pipe(number: int) -> tuple[int, int]:
        """Our end and its end of a pipe to one of its standard descriptors."""
        reading, writing = os.pipe()
        return (writing, reading) if number == 0 else (reading, writing)

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, timeout: float = 240) -> int:
        """The exit code; raises TimeoutError, and kills the process, if it takes longer."""
        self._connection.settimeout(timeout)
        try:
            return int.from_bytes(self._connection.recv(4), "big", signed=True)
        except TimeoutError:
            self.send_signal(signal.SIGKILL)
            raise

    def finish(self, data: bytes = b"", timeout: float = 240) -> Done:
        """Give it all of its input, close that, and wait for its end."""

        def feed() -> None:
            with contextlib.suppress(BrokenPipeError):
                self.stdin.write(data)
            self.stdin.close()

        errors: list[bytes] = []
        helpers = [
            threading.Thread(target=feed),
            threading.Thread(target=lambda: errors.append(self.stderr.read())),
        ]
        for helper in helpers:
            helper.start()
        alarm = threading.Timer(timeout, lambda: self.send_signal(signal.SIGKILL))
        alarm.start()
        output = b"".join(iter(lambda: self.stdout.read(1 << 16), b""))
        for helper in helpers:
            helper.join()
        alarm.cancel()
        return Done(self.wait(), output, errors[0].decode())

    def wait_for_stderr(self, words: bytes) -> bytes:
        """Read stderr up to the line with these words, and return what was read."""
        seen = b""
        for line in self.stderr:
            seen += line
            if words in line:
                return seen
        raise AssertionError(f"{words!r} did not come; stderr was:\n{seen.decode()}")


@dataclass(frozen=True)
class Seq2seq:
    """The command line as a user has it."""

    server: str

    def start(
        self,
        *arguments: object,
        folder: Path | None = None,
        stdout: int | None = None,
        largest_file: int | None = None,
        writes: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a command, with more variables in its environment.

        With `largest_file`, in bytes, writing more fails as on a full disk; with `writes`, the
        process is killed when it has changed the file system so many times.
        """
        request = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder or Path.cwd()),
            "largest_file": largest_file,
            "writes": writes,
            "environment": dict(environment or {}),
        }
        return Process(self.server, request, stdout)

    def __call__(self, *arguments: object, stdin: bytes = b"", **how: Any) -> Done:
        """Run a command to its end."""
        return self.start(*arguments, **how).finish(stdin)


@pytest.fixture(scope="session")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seq2seq]:
    path = str(tmp_path_factory.mktemp("server") / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        number = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-c", FORKS, str(number)],
            pass_fds=[number],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        yield Seq2seq(path)
        server.kill()
        server.wait()


WORDS = {
    "zero": "null", "one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf",
    "six": "sechs", "seven": "sieben", "eight": "acht", "nine": "neun", ".": ".",
}  # fmt: skip
MAX_LENGTH = 12  # tokens, which are words here


def number_words(seed: int, count: int) -> tuple[list[str], list[str]]:
    """Made-up numbers, digit by digit, in English and German."""
    draw = random.Random(seed)
    sentences = [draw.choices(list(WORDS), k=draw.randint(1, MAX_LENGTH)) for _ in range(count)]
    return (
        [" ".join(sentence) for sentence in sentences],
        [" ".join(WORDS[word] for word in sentence) for sentence in sentences],
    )


def write_corpus(folder: Path, valid_lines: int = 20) -> None:
    """Write train and valid .en/.de."""
    for name, seed, count in (("train", 1, 300), ("valid", 2, valid_lines)):
        for language, lines in zip(("en", "de"), number_words(seed, count), strict=True):
            (folder / f"{name}.{language}").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with train and valid .en/.de of its own."""
    write_corpus(tmp_path)
    return tmp_path


FILES = {
    "--source": "train.en", "--target": "train.de",
    "--valid-source": "valid.en", "--valid-target": "valid.de",
}  # fmt: skip

TRANSFORMER = {
    "architecture": "transformer", "width": 32, "encoder_layers": 1, "decoder_layers": 1,
    "heads": 2, "feed_forward": 64, "dropout": 0.1,
}  # fmt: skip
ARCHITECTURES = {
    "transformer": TRANSFORMER,
    "transformer-regularised": TRANSFORMER
    | {"decoder_layers": 2, "attention_dropout": 0.1, "layer_dropout": 0.3},
    "attention-rnn": {"architecture": "attention-rnn", "width": 16, "units": 32, "dropout": 0.1},
    "rnn": {"architecture": "rnn", "width": 16, "units": 32, "dropout": 0.1},
    "conv": {"architecture": "conv", "width": 16, "channels": 16, "dropout": 0.1},
}  # fmt: skip

TRAINING = {"batch_tokens": 300, "learning_rate": 0.01, "warmup_updates": 20, "max_updates": 40}


def settings_toml(architecture: str, training: dict[str, object]) -> str:
    """A settings file of a tiny model."""
    sections = {
        "model": ARCHITECTURES[architecture],
        "training": TRAINING | training,
        "tokenizer": {"vocabulary_size": 60},
        "data": {"max_length": MAX_LENGTH},
    }
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in table.items())
        for name, table in sections.items()
    )


@dataclass(frozen=True)
class Command:
    """A `seq2seq train` command that can be given again and again in one folder."""

    seq2seq: Seq2seq
    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def start(self, *more: object, files: Mapping[str, str] | None = None, **how: Any) -> Process:
        """Start it with more options, and with other `files` than FILES."""
        data = itertools.chain.from_iterable((FILES | dict(files or {})).items())
        fixed = ["train", *data, "--config", "tiny.toml", "--output", "run"]
        return self.seq2seq.start(*fixed, *more, folder=self.folder, **how)

    def __call__(self, *more: object, **how: Any) -> Done:
        return self.start(*more, **how).finish()


@pytest.fixture
def train(seq2seq: Seq2seq, corpus: Path) -> Callable[..., Command]:
    """Make a training command in the corpus folder, from an architecture and settings."""

    def make(architecture: str = "transformer", **training: object) -> Command:
        (corpus / "tiny.toml").write_text(settings_toml(architecture, training))
        return Command(seq2seq, corpus)

    return make


@pytest.fixture(scope="session")
def trained(seq2seq: Seq2seq, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose model has learned the toy corpus. For reading only."""
    folder = tmp_path_factory.mktemp("trained")
    write_corpus(folder)
    (folder / "tiny.toml").write_text(settings_toml("transformer", {"max_updates": 400}))
    done = Command(seq2seq, folder)()
    assert done.code == 0, done.stderr
    return folder / "run"


@pytest.fixture
def run_copy(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))
