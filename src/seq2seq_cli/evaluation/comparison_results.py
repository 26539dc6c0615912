"""The results of a comparison of systems, as tables, pages and JSON show them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from seq2seq_cli.evaluation.marked_text import MarkedText
from seq2seq_cli.evaluation.word_accuracy import FrequencyGroup


@dataclass(frozen=True)
class SystemScore:
    """The score of a system by one metric, with its interval and its distance from the baseline."""

    system: str
    value: float
    low: float  # ends of the 95 % interval
    high: float
    difference: float | None  # from the baseline; None for the baseline itself
    p_value: float | None  # before it is corrected
    corrected: float | None  # for all comparisons of all metrics
    is_best: bool
    is_significant: bool  # the difference holds among all comparisons, on enough lines


@dataclass(frozen=True)
class MetricTable:
    """All systems by one metric."""

    metric: str
    signature: str
    lower_is_better: bool
    scores: Sequence[SystemScore]


@dataclass(frozen=True)
class GroupScores:
    """The scores of each system on some of the lines."""

    title: str  # by what lines are divided
    name: str
    lines: int
    scores: dict[str, Sequence[float]]  # by metric, in the order of the systems


@dataclass(frozen=True)
class Example:
    """A line that systems translate differently well."""

    number: int  # of the line, from 1
    spread: float  # between the scores of the best and the worst system
    source: str | None
    references: Sequence[str]
    translations: Sequence[Sequence[MarkedText]]  # of each system
    scores: Sequence[float]


@dataclass(frozen=True)
class SystemComparison:
    """Systems compared with a baseline: scores, groups of lines, groups of words, examples."""

    systems: Sequence[str]
    baseline: str
    lines: int
    samples: int
    seed: int | None
    tables: Sequence[MetricTable]
    groups: Sequence[GroupScores]
    frequencies: Sequence[FrequencyGroup]
    frequencies_of: str  # the text in which words were counted
    example_metric: str
    examples: Sequence[Example]
    notes: Sequence[str]

    def as_json(self) -> str:
        """All of it as one object."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)
