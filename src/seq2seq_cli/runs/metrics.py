"""metrics.jsonl: one line of JSON for each report of training and each validation."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from seq2seq_cli.whole_files import replace_file


class Follower(Protocol):
    """Receives the records too, such as a file in another format."""

    def restart(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Begin with the records that there are, which may be fewer than before."""

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record."""

    def close(self) -> None:
        """Finish: no more records come in this session."""


class Metrics:
    """Reads and writes the metrics of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.followers: list[Follower] = []

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line. Records have a "kind" and an "update".

        Kinds are "training" and "validation"; "final", of the weights that training ended with if
        they were validated only then; and of `seq2seq average` "average", without an update.
        """
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        for follower in self.followers:
            follower.append(record)

    def follow(self, followers: Sequence[Follower]) -> None:
        """Give the records from now on to others too, which begin with those there are."""
        for follower in followers:
            follower.restart(self._records())
        self.followers = [*followers]

    def close(self) -> None:
        """Let others finish."""
        for follower in self.followers:
            follower.close()
        self.followers = []

    def _records(self) -> list[dict[str, Any]]:
        """All records, read after `truncate` removed incomplete lines."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def truncate(self, update: int, validated: int) -> None:
        """Remove incomplete lines and those of work that will be done again.

        Training after `update` and validation after the update `validated` will be, and so will
        the choice at the end.
        """
        done = {"training": update, "validation": validated}
        if not self.path.exists():
            return
        lines = []
        for line in self.path.read_text(encoding="utf-8").split("\n"):
            try:
                record = json.loads(line)
                if record["update"] <= done.get(record["kind"], -1):
                    lines.append(line)
            except (ValueError, KeyError, TypeError):
                continue
        replace_file(self.path, "".join(f"{line}\n" for line in lines).encode())

    def clear(self) -> None:
        """Remove every line: training begins at update 0."""
        self.truncate(update=-1, validated=-1)

    def validation_losses(self) -> list[tuple[int, float]]:
        """Update and loss of each validation, read after `truncate` removed incomplete lines."""
        return [(r["update"], r["loss"]) for r in self._records() if r["kind"] == "validation"]
