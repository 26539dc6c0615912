"""Tokenises a corpus block by block, in this process or in several that it starts.

One process reads the text, once, and hands lines to the others, which tokenise them and write
blocks to disk. So any text can be divided, also what only one process can read, and blocks are the
same whoever makes them. A few blocks of lines are read ahead, so memory does not grow with the
corpus.
"""

import json
import os
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, cast

import seq2seq_cli
from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.data.pair_tokenizer import Lines, PairTokenizer, numbered_chunks
from seq2seq_cli.data.parallel import Corpus
from seq2seq_cli.data.token_blocks import TokenBlocks, schema_of
from seq2seq_cli.errors import Seq2seqError
from seq2seq_cli.messages import Warn
from seq2seq_cli.tokenization.tokenizer import Tokenizer

FEWEST_BLOCKS = 4  # that are worth starting processes for
READ_AHEAD = 2  # blocks of lines in memory for each process
DECIDING = ("max_length", "max_length_ratio", "language_tags", "source_language")  # of DataConfig
SERVE = "from seq2seq_cli.data.tokenising import serve; serve()"
LENGTH = struct.Struct("<Q")  # before each message to a process

Block = tuple[int, tuple[int, Lines]]  # index, number of the first line, lines


def tokenise_blocks(
    corpus: Corpus, tokenizer: PairTokenizer, folder: TokenBlocks, warn: Warn, workers: int
) -> int:
    """Make all blocks of a corpus that are not there yet; returns how many there are in all.

    Raises Seq2seqError if a process ended that should have gone on.
    """
    blocks: Iterator[Block] = enumerate(numbered_chunks(corpus.pairs(warn)))
    first = list(islice(blocks, FEWEST_BLOCKS)) if workers > 1 else []
    blocks = chain(first, blocks)
    if len(first) < FEWEST_BLOCKS:
        count = 0
        schema = schema_of(tokenizer)
        for index, (first_line, lines) in blocks:
            if not folder.block(index).exists():
                folder.write(index, tokenizer.tokenise_chunk(lines, first_line), schema)
            count = index + 1
        return count
    with _Workers(workers, tokenizer, folder) as started:
        return started.convert(blocks)


@dataclass
class _Workers:
    """The processes that tokenise, started when there are lines for them."""

    most: int
    tokenizer: PairTokenizer
    folder: TokenBlocks
    _idle: "SimpleQueue[_Worker]" = field(default_factory=SimpleQueue)
    _all: list["_Worker"] = field(default_factory=list)

    def __enter__(self) -> "_Workers":
        self._threads = ThreadPoolExecutor(self.most, "tokenising")  # each waits for a process
        return self

    def __exit__(self, *_: object) -> None:
        # An error or a signal may break off their work: a block is then whole or absent.
        for worker in self._all:
            worker.end()
        self._threads.shutdown(cancel_futures=True)

    def convert(self, blocks: Iterator[Block]) -> int:
        """Make the blocks that are not there; returns how many there are in all."""
        ahead: deque[Future[None]] = deque()
        count = 0
        for index, (first_line, lines) in blocks:
            count = index + 1
            if self.folder.block(index).exists():
                continue
            if len(ahead) == READ_AHEAD * self.most:
                ahead.popleft().result()
            if len(self._all) < self.most and self._idle.empty():
                self._start()
            ahead.append(self._threads.submit(self._make, index, first_line, lines))
        for made in ahead:
            made.result()
        return count

    def _start(self) -> None:
        worker = _Worker(self.tokenizer, self.folder)
        self._all.append(worker)
        self._idle.put(worker)

    def _make(self, index: int, first_line: int, lines: Lines) -> None:
        worker = self._idle.get()
        try:
            worker.make(index, first_line, lines)
        finally:
            self._idle.put(worker)


class _Worker:
    """A process that tokenises lines, from the side of the one that started it."""

    def __init__(self, tokenizer: PairTokenizer, folder: TokenBlocks) -> None:
        # The same package, whatever the folder is that the process starts in
        root = str(Path(seq2seq_cli.__file__).parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | variables,
            start_new_session=True,  # so that Ctrl-C reaches it through this process alone
        )
        self._begin = _description(tokenizer, folder)

    def make(self, index: int, first_line: int, lines: Lines) -> None:
        """Let the process make a block. Raises OSError if it could not write, or Seq2seqError."""
        text = "\n".join(chain.from_iterable(lines)).encode("utf-8", "surrogatepass")
        about = {"index": index, "first_line": first_line, "pairs": len(lines)}
        stdin, stdout = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        try:
            for message in (*self._begin, json.dumps(about).encode(), text):
                stdin.write(LENGTH.pack(len(message)))
                stdin.write(message)
            stdin.flush()
            self._begin = []
            answer = stdout.readline()
        except (BrokenPipeError, ValueError):  # it has ended, or its pipes are closed
            answer = b""
        if not answer:
            raise Seq2seqError(
                f"a process that tokenises text {_ending(self._process.wait())}; the blocks that "
                "are done are complete, and the same command goes on"
            )
        fault = json.loads(answer)
        if fault:
            raise OSError(*fault)

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            # What is not written yet is of no use any more.
            try:
                cast(BinaryIO, stream).close()
            except OSError:
                continue


def _ending(code: int) -> str:
    """How a process ended, after its name in a sentence."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}, perhaps for want of memory"
    return f"ended with exit code {code}"


def _description(tokenizer: PairTokenizer, folder: TokenBlocks) -> list[bytes]:
    """All that decides how a process tokenises, as messages to it."""
    about = {
        "folder": str(folder.path.absolute()),
        "sides": [tokenizer.source.side, tokenizer.target.side],
        "data": {name: getattr(tokenizer.data, name) for name in DECIDING},
    }
    return [json.dumps(about).encode(), tokenizer.source.model, tokenizer.target.model]


# What the processes run


def serve() -> None:
    """Tokenise what comes from standard input, until it ends; answer each block with a line."""
    stream = sys.stdin.buffer
    about, source, target = (_receive(stream) for _ in range(3))
    setup: dict[str, Any] = json.loads(about)
    tokenizer = PairTokenizer(
        Tokenizer(source).for_side(setup["sides"][0]),
        Tokenizer(target).for_side(setup["sides"][1]),
        DataConfig(**setup["data"]),
        threads=1,
    )
    folder, schema = TokenBlocks(Path(setup["folder"])), schema_of(tokenizer)
    while about := _receive(stream):
        block = json.loads(about)
        texts = _receive(stream).decode("utf-8", "surrogatepass").split("\n")
        pairs = list(zip(texts[::2], texts[1::2], strict=True))
        if len(pairs) != block["pairs"]:
            raise ValueError("a line has a line break")
        fault: list[object] = []
        try:
            chunk = tokenizer.tokenise_chunk(pairs, block["first_line"])
            folder.write(block["index"], chunk, schema)
        except OSError as error:
            fault = [error.errno, error.strerror, error.filename]
        try:
            os.write(1, json.dumps(fault).encode() + b"\n")
        except BrokenPipeError:  # whoever asked for the block has been killed
            return


def _receive(stream: BinaryIO) -> bytes:
    """A message, or b"" if there are no more, or not the whole of one."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return b""
    (length,) = LENGTH.unpack(head)
    message = stream.read(length)
    return message if len(message) == length else b""
