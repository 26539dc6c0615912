"""Several translations of one text, compared with one of them: scores, groups of lines, examples.

What is compared first is the whole text: each system by each metric, with a bootstrap interval and
a paired test of both sides against the baseline, corrected for the number of comparisons (Holm
1979). Groups of lines and of words say where systems differ, and single lines how.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from sacrebleu.metrics.base import Metric

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.advice import advice
from seq2seq_cli.evaluation.comparison import (
    COMPARISON_SAMPLES,
    FEW_LINES,
    SampledScores,
    few_lines_note,
    holm,
    sample_changes,
    sample_scores,
    sampled_rows,
    two_sided_chance,
)
from seq2seq_cli.evaluation.line_groups import LineGroup, groups_by_kind, groups_by_length
from seq2seq_cli.evaluation.metrics import LOWER_IS_BETTER, ScoreOptions, build_metrics
from seq2seq_cli.evaluation.references import (
    References,
    Text,
    check_lengths,
    first_given,
    given_references,
)
from seq2seq_cli.evaluation.scoring import difference_notes, score, score_lines, signed
from seq2seq_cli.evaluation.word_accuracy import (
    FrequencyGroup,
    accuracy_by_frequency,
    word_counts,
)
from seq2seq_cli.evaluation.words import Word, matched, words
from seq2seq_cli.messages import counted

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class ComparedTexts:
    """What systems are compared by; all texts but the training text have as many lines."""

    references: Sequence[Text]
    source: Text | None = None  # whose lengths and kinds of sentences count
    training: Sequence[str] | None = None  # text of the target language, for frequencies of words

    @property
    def reference_lines(self) -> list[Sequence[str]]:
        return [reference.lines for reference in self.references]


@dataclass(frozen=True)
class ComparisonOptions:
    """How systems are compared."""

    metrics: Sequence[str] = ("bleu", "chrf")
    score: ScoreOptions = field(default_factory=ScoreOptions)
    samples: int = COMPARISON_SAMPLES
    seed: int | None = 12345  # of the samples; sacreBLEU's own
    width: int = 10  # words or characters in a group of lengths
    examples: int = 10  # lines shown


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
class MarkedText:
    """A part of a line: "same" in all systems, or else "right" or "wrong" by the reference."""

    text: str
    mark: str


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
    """What tables, pages and JSON show."""

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


def compare_systems(
    systems: Sequence[Text],
    texts: ComparedTexts,
    options: ComparisonOptions | None = None,
    baseline: str | None = None,
) -> SystemComparison:
    """Compare systems with a baseline, by default the first.

    Raises InputError for fewer than two systems, two of the same name, an unknown baseline, and as
    `score` does.
    """
    options = options or ComparisonOptions()
    names = [system.name for system in systems]
    check_names(names, baseline)
    others = [*texts.references, *([] if texts.source is None else [texts.source])]
    for system in systems:
        check_lengths(
            system.lines,
            [text.lines for text in others],
            system.name,
            [text.name for text in others],
        )
    built = build_metrics(options.metrics, options.score)
    given = given_references([system.lines for system in systems], texts.reference_lines)
    first = names.index(baseline) if baseline else 0
    tables, notes = _tables(systems, first, built, given, options)
    example_metric, examples = _examples(systems, first, texts, options)
    few = few_lines_note(len(systems[0].lines))
    return SystemComparison(
        systems=names,
        baseline=names[first],
        lines=len(systems[0].lines),
        samples=options.samples,
        seed=options.seed,
        tables=tables,
        groups=[_group_scores(group, systems, texts, options) for group in _groups(texts, options)],
        frequencies=accuracy_by_frequency(
            [system.lines for system in systems],
            texts.reference_lines,
            word_counts(texts.reference_lines[0] if texts.training is None else texts.training),
        ),
        frequencies_of="reference" if texts.training is None else "training text",
        example_metric=example_metric,
        examples=examples,
        notes=[
            *([f"{few}; no difference gets a *"] if few else []),
            *notes,
            *_identical(systems, first),
            *advice(systems, texts.references, options.metrics, options.score),
        ],
    )


def check_names(names: Sequence[str], baseline: str | None) -> None:
    """Raise InputError unless there are two systems or more, each with a name of its own."""
    if len(names) < 2:
        raise InputError(
            "one system cannot be compared: give two or more, or score it with `seq2seq score`"
        )
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise InputError(
            f"two systems have the name {twice[0]}; give each a name of its own, as in "
            f"other={twice[0]}"
        )
    if baseline is not None and baseline not in names:
        raise InputError(f"no system has the name {baseline}; there are {', '.join(names)}")


def _tables(
    systems: Sequence[Text],
    baseline: int,
    built: Sequence[Metric],
    references: References,
    options: ComparisonOptions,
) -> tuple[list[MetricTable], list[str]]:
    """The table of each metric, and notes on how its figures are to be read."""
    rows = sampled_rows(len(systems[0].lines), options.samples, options.seed)
    sampled = [
        [sample_scores(metric, system.lines, references, rows) for system in systems]
        for metric in built
    ]
    others = [index for index in range(len(systems)) if index != baseline]
    found = [
        [two_sided_chance(each[index], each[baseline]) for index in others] for each in sampled
    ]
    corrected = iter(holm([p_value for of_metric in found for p_value in of_metric]))
    tables, notes = [], []
    changes = sample_changes(options.samples, options.seed) | {"p": "two-sided"}
    for metric, scores, of_metric in zip(built, sampled, found, strict=True):
        p_values = {
            index: (p_value, next(corrected))
            for index, p_value in zip(others, of_metric, strict=True)
        }
        lower = scores[0].metric in LOWER_IS_BETTER
        values = [each.value for each in scores]
        best = min(values) if lower else max(values)
        tables.append(
            MetricTable(
                scores[0].metric,
                signed(metric, references, **changes),
                lower,
                [
                    _system_score(
                        system.name,
                        each,
                        scores[baseline].value,
                        p_values.get(index),
                        lines=len(system.lines),
                        is_best=each.value == best,
                    )
                    for index, (system, each) in enumerate(zip(systems, scores, strict=True))
                ],
            )
        )
        notes += [f"{scores[0].metric}: {note}" for note in difference_notes(metric, references)]
    comparisons = len(built) * len(others)
    if comparisons / (options.samples + 1) >= SIGNIFICANT:
        notes.append(
            f"{options.samples:,} samples are too few for {comparisons:,} comparisons: after the "
            f"correction no difference can have p < {SIGNIFICANT}; give --samples "
            f"{100 * comparisons:,}"
        )
    return tables, notes


def _system_score(
    name: str,
    sampled: SampledScores,
    baseline: float,
    p_values: tuple[float, float] | None,
    *,
    lines: int,
    is_best: bool,
) -> SystemScore:
    low, high = sampled.interval
    p_value, corrected = p_values or (None, None)
    return SystemScore(
        system=name,
        value=sampled.value,
        low=low,
        high=high,
        difference=None if p_values is None else sampled.value - baseline,
        p_value=p_value,
        corrected=corrected,
        is_best=is_best,
        is_significant=corrected is not None and corrected < SIGNIFICANT and lines >= FEW_LINES,
    )


def _groups(texts: ComparedTexts, options: ComparisonOptions) -> list[LineGroup]:
    """The groups of lines, by the source if it is given, otherwise by the reference.

    What all lines have in common does not divide them.
    """
    if texts.source is None:
        whose, lines = "reference", first_given(texts.reference_lines)
    else:
        whose, lines = "source", list(texts.source.lines)
    groups = [*groups_by_length(lines, whose, options.width), *groups_by_kind(lines, whose)]
    return [group for group in groups if len(group.rows) < len(lines)]


def _group_scores(
    group: LineGroup,
    systems: Sequence[Text],
    texts: ComparedTexts,
    options: ComparisonOptions,
) -> GroupScores:
    references = [[text[row] for row in group.rows] for text in texts.reference_lines]
    scored = [
        score(
            [system.lines[row] for row in group.rows],
            references,
            options.metrics,
            options.score.of_rows(group.rows),
        )
        for system in systems
    ]
    return GroupScores(
        group.title,
        group.name,
        len(group.rows),
        {
            metric.metric: [each[index].value for each in scored]
            for index, metric in enumerate(scored[0])
        },
    )


def _identical(systems: Sequence[Text], baseline: int) -> list[str]:
    """Notes on systems whose translations are those of the baseline."""
    same = systems[baseline]
    return [
        f"{system.name} and {same.name} have the same {counted(len(system.lines), 'line')}"
        for index, system in enumerate(systems)
        if index != baseline and list(system.lines) == list(same.lines)
    ]


def _examples(
    systems: Sequence[Text],
    baseline: int,
    texts: ComparedTexts,
    options: ComparisonOptions,
) -> tuple[str, list[Example]]:
    """The metric of lines, and the lines in which the scores of systems are furthest apart.

    chrF is the surest one for a single line.
    """
    metric = next((name for name in options.metrics if "chrf" in name), options.metrics[0])
    scored = [
        score_lines(system.lines, texts.reference_lines, (metric,), options.score)[0]
        for system in systems
    ]
    columns = zip(*(each.values for each in scored), strict=True)
    spreads = []
    for row, values in enumerate(columns):
        known = [value for value in values if value is not None]
        spreads.append((max(known) - min(known) if known else 0.0, row))
    chosen = sorted(spreads, key=lambda each: (-each[0], each[1]))[: options.examples]
    return scored[0].metric, [
        Example(
            number=row + 1,
            spread=spread,
            source=None if texts.source is None else texts.source.lines[row],
            references=[text[row] for text in texts.reference_lines if text[row].strip()],
            translations=mark_differences(
                [system.lines[row] for system in systems],
                [text[row] for text in texts.reference_lines],
                baseline,
            ),
            scores=[each.values[row] or 0.0 for each in scored],
        )
        for spread, row in chosen
        if spread > 0
    ]


def mark_differences(
    lines: Sequence[str], references: Sequence[str], baseline: int = 0
) -> list[list[MarkedText]]:
    """Mark the words in which translations of a line differ, by whether a reference has them.

    Words of the baseline are "same" if every other system has them, words of another system if the
    baseline has them; order counts.
    """
    divided = [words(line) for line in lines]
    wanted = [words(reference) for reference in references]
    marked = []
    for index, (line, own) in enumerate(zip(lines, divided, strict=True)):
        against = (
            [each for other, each in enumerate(divided) if other != baseline]
            if index == baseline
            else [divided[baseline]]
        )
        same = [all(each) for each in zip(*(matched(own, other) for other in against), strict=True)]
        right = [any(each) for each in zip(*(matched(own, text) for text in wanted), strict=True)]
        marks = [
            "same" if is_same else "right" if is_right else "wrong"
            for is_same, is_right in zip(same, right, strict=True)
        ]
        marked.append(_joined(line, own, marks))
    return marked


def _joined(line: str, own: Sequence[Word], marks: Sequence[str]) -> list[MarkedText]:
    """A line in parts with marks; what is between two words of one mark belongs to them."""
    parts: list[MarkedText] = []

    def add(text: str, mark: str) -> None:
        if parts and parts[-1].mark == mark:
            parts[-1] = MarkedText(parts[-1].text + text, mark)
        elif text:
            parts.append(MarkedText(text, mark))

    place = 0
    for word, mark in zip(own, marks, strict=True):
        between = line[place : word.start]
        place = word.start + len(word.text)
        goes_on = parts and parts[-1].mark == mark
        add(between, mark if goes_on else "same")
        add(word.text, mark)
    return parts
