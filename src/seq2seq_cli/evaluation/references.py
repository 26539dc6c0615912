"""References of a translation: as many lines, and in blank lines none given."""

from collections.abc import Sequence
from dataclasses import dataclass

from seq2seq_cli.errors import InputError
from seq2seq_cli.text import check_line_counts

LINES_NAMED = 5  # of all that have no reference


@dataclass(frozen=True)
class Text:
    """Lines, and the name that messages and tables have for them."""

    name: str
    lines: Sequence[str]


@dataclass(frozen=True)
class References:
    """Reference translations, each of as many lines; None where one has no translation."""

    lines: Sequence[Sequence[str | None]]
    blanks: int = 0  # lines that are None


def given_references(
    translations: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    as_sacrebleu: bool = False,
) -> References:
    """References in which a blank line means that none is given, if others are.

    To compare with an empty reference would be rewarded: it has the length of any omission. Lines
    that are blank in all texts stay, since they count for nothing. With `as_sacrebleu` all lines
    stay as they are. Raises InputError for a line that is translated and has no reference.
    """
    if as_sacrebleu:
        return References(references)
    blank = [[not line.strip() for line in reference] for reference in references]
    if not any(map(any, blank)):
        return References(references)
    without = {row for row, blanks in enumerate(zip(*blank, strict=True)) if all(blanks)}
    missing = [row for row in sorted(without) if any(lines[row].strip() for lines in translations)]
    if missing:
        raise InputError(_no_reference(missing))
    given = [
        [
            None if is_blank and row not in without else line
            for row, (line, is_blank) in enumerate(pairs)
        ]
        for pairs in (zip(*each, strict=True) for each in zip(references, blank, strict=True))
    ]
    return References(given, sum(line is None for reference in given for line in reference))


def first_given(references: Sequence[Sequence[str]]) -> list[str]:
    """The first reference of each line that is not blank."""
    return [
        next((line for line in lines if line.strip()), "")
        for lines in zip(*references, strict=True)
    ]


def _no_reference(rows: Sequence[int]) -> str:
    """The message for translated lines without a reference."""
    numbers = ", ".join(str(row + 1) for row in rows[:LINES_NAMED])
    more = f" and {len(rows) - LINES_NAMED:,} more" if len(rows) > LINES_NAMED else ""
    lines = "line" if len(rows) == 1 else "lines"
    return (
        f"{lines} {numbers}{more}: translated, but blank in every reference, so there is nothing "
        "to compare with; remove such lines from all texts, or give --as-sacrebleu, which compares "
        "with an empty reference"
    )


def check_lengths(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    hypotheses_name: str = "hypotheses",
    reference_names: Sequence[str] = (),
) -> None:
    """Raise InputError, with the names, unless all texts have the same number of lines above 0."""
    if not references:
        raise InputError("no references given; scoring needs at least one")
    if not hypotheses:
        raise InputError(f"{hypotheses_name}: no lines; there is nothing to score")
    names = reference_names or [f"reference {number + 1}" for number in range(len(references))]
    for name, reference in zip(names, references, strict=True):
        check_line_counts(hypotheses_name, len(hypotheses), name, len(reference))
