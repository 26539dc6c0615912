"""Converts a text block by block in several processes, so that one that is killed goes on.

Each block of lines becomes a file in a folder beside the output, written under another name and
renamed. When all are there the first process joins them; only then there is an output.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from uuid import uuid4

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.messages import Warn, counted_subject
from seq2seq_cli.whole_files import replace_file, sync_directory

BLOCK_LINES = 1024
PLAN = "plan.json"
SECONDS_BETWEEN_LOOKS = 0.05
SECONDS_FOR_OTHERS = 600  # that processes wait for each other, since each starts when it can

Convert = Callable[[list[str], int], list[str]]  # lines, and the number of the first


@dataclass(frozen=True)
class BlockFolder:
    """The blocks of one output that are done so far.

    `work` says what is done: blocks of any other work are removed.
    """

    output: Path
    work: Mapping[str, object]

    @property
    def path(self) -> Path:
        """The folder, beside the output."""
        return self.output.with_name(f"{self.output.name}.blocks")

    def open(self, warn: Warn, *, is_first: bool) -> None:
        """Make the folder in the first process; the others wait until it is there.

        Raises InputError if they do not find it.
        """
        if not is_first:
            last = time.monotonic() + SECONDS_FOR_OTHERS
            while not self._is_of_this_work():
                if time.monotonic() > last:
                    raise InputError(
                        f"{self.path}: this process has not seen the folder that process 0 makes "
                        f"within {SECONDS_FOR_OTHERS / 60:.0f} minutes; put --output on a file "
                        "system that all processes see, or use one machine"
                    )
                time.sleep(SECONDS_BETWEEN_LOOKS)
            return
        if self._is_of_this_work():
            (self.path / PLAN).touch()  # its time says when this start began
            done = sum(1 for _ in self.path.glob("*.block"))
            warn(
                f"{self.path}: continuing; {counted_subject(done, 'block', 'are')} done, of "
                f"{BLOCK_LINES:,} lines each"
            )
            return
        if self.path.exists():
            if not (self.path / PLAN).exists() and any(self.path.iterdir()):
                raise Seq2seqError(
                    f"{self.path} is in the way and holds no blocks of a translation; move it"
                )
            warn(f"{self.path} holds blocks of another translation; they are removed")
            shutil.rmtree(self.path)
        self.path.mkdir()
        replace_file(self.path / PLAN, self._plan().encode())

    def _plan(self) -> str:
        return json.dumps(dict(self.work))

    def _is_of_this_work(self) -> bool:
        try:
            text = (self.path / PLAN).read_text(encoding="utf-8")
            return bool(json.loads(text) == json.loads(self._plan()))
        except (OSError, ValueError):
            return False

    def block(self, index: int) -> Path:
        """The file of a block, which is complete if it exists."""
        return self.path / f"{index:08d}.block"

    def write(self, index: int, lines: Iterable[str]) -> None:
        """Write a block, whole or not at all."""
        partial = self.path / f".{index:08d}.{uuid4().hex}.tmp"
        with partial.open("wb") as stream:
            stream.writelines(f"{line}\n".encode() for line in lines)
        partial.rename(self.block(index))

    def end(self, rank: int) -> None:
        """Say that a process other than the first has seen all of its blocks done.

        It says so until the folder is gone, or for ten minutes: the first process believes only
        what is said after it has opened the folder, since an earlier start may have left the same.
        """
        said = self._end_of(rank)
        last = time.monotonic() + SECONDS_FOR_OTHERS
        with suppress(FileNotFoundError):
            said.touch()
            while time.monotonic() < last:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                os.utime(said)

    def _end_of(self, rank: int) -> Path:
        return self.path / f"process-{rank}.end"

    def _has_ended(self, rank: int) -> bool:
        """Whether a process has said so since this start began, by the file system's clock."""
        try:
            said = self._end_of(rank).stat().st_mtime_ns
        except FileNotFoundError:
            return False
        return said > (self.path / PLAN).stat().st_mtime_ns

    def join(self, count: int, processes: int) -> None:
        """Wait for all blocks, let them be the output, and remove the folder.

        A process that has started late would wait for a folder which is gone, so the folder stays
        until all of this start have ended, or for ten minutes.
        """
        joined = self.path / "joined.tmp"
        with joined.open("wb") as stream:
            for index in range(count):
                while not self.block(index).exists():
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                with self.block(index).open("rb") as block:
                    shutil.copyfileobj(block, stream, 1 << 20)
        joined.replace(self.output)
        sync_directory(self.output.parent)
        last = time.monotonic() + SECONDS_FOR_OTHERS
        while time.monotonic() < last and not all(map(self._has_ended, range(1, processes))):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        shutil.rmtree(self.path)


def convert_in_blocks(
    lines: Iterable[str],
    convert: Convert,
    folder: BlockFolder,
    *,
    window: int,
    rank: int,
    processes: int,
) -> int:
    """Convert this process' blocks of a text, `window` lines at a time; returns its lines.

    Process k of N converts the blocks k, k + N, k + 2N, … that are not there yet. All
    return when the output is complete; those that wait longer than ten minutes for it, before.
    """
    number, count = 1, 0
    for index, block in enumerate(_blocks(lines)):
        if index % processes == rank and not folder.block(index).exists():
            converted = _converted(block, convert, number, window)
            folder.write(index, converted)
        number += len(block)
        count = index + 1
    if rank == 0:
        folder.join(count, processes)
    else:
        folder.end(rank)
    return number - 1


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(lines)
    while block := list(islice(iterator, BLOCK_LINES)):
        yield block


def _converted(block: list[str], convert: Convert, first: int, window: int) -> Iterator[str]:
    for start in range(0, len(block), window):
        yield from convert(block[start : start + window], first + start)
