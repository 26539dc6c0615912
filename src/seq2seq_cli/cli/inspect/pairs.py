"""Source lines, each with the translation given for it, if there is one."""

from collections.abc import Iterator
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Self

from seq2seq_cli.cli import console
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import Reading
from seq2seq_cli.text import check_line_counts

if TYPE_CHECKING:
    from seq2seq_cli.data.sources import Source

MOST_LINES = 1000  # of what a page shows: it holds the weights of all of them

Pair = tuple[str, str | None]


@dataclass(frozen=True)
class Pairs:
    """A source text and its translation, line by line; None: the model is to translate."""

    source: "Source"
    target: "Source | None"

    @classmethod
    def parse(cls, source: str, target: str | None, reading: Reading) -> Self:
        """Read the names of both texts."""
        from seq2seq_cli.data.sources import parse_text

        return cls(
            parse_text(source, reading), None if target is None else parse_text(target, reading)
        )

    def texts(self) -> list["Source"]:
        """All texts that are read."""
        return [self.source] if self.target is None else [self.source, self.target]

    def __iter__(self) -> Iterator[Pair]:
        """Yield lines as they are read. Raises InputError when one text ends before the other."""
        lines = self.source.lines(console.warn)
        if self.target is None:
            yield from ((line, None) for line in lines)
            return
        targets = self.target.lines(console.warn)
        for number, (line, target) in enumerate(zip_longest(lines, targets)):
            if line is None or target is None:
                more = 1 + sum(1 for _ in chain(lines, targets))
                counts = (number, number + more) if line is None else (number + more, number)
                check_line_counts(self.source.name, counts[0], self.target.name, counts[1])
            yield line, target

    def read(self) -> list[Pair]:
        """Return all lines. Raises InputError if there are more than MOST_LINES."""
        pairs = list(islice(self, MOST_LINES + 1))
        if len(pairs) > MOST_LINES:
            raise InputError(f"{self.source.name}: more than {MOST_LINES:,} lines; give fewer")
        return pairs
