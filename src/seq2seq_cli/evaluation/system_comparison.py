"""Several translations of one text, compared with one of them: scores, groups of lines, examples.

What is compared first is the whole text: each system by each metric, with a bootstrap interval and
a paired test of both sides against the baseline, corrected for the number of comparisons (Holm
1979). Groups of lines and of words say where systems differ, and single lines how.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

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
from seq2seq_cli.evaluation.comparison_results import (
    Example,
    GroupScores,
    MetricTable,
    SystemComparison,
    SystemScore,
)
from seq2seq_cli.evaluation.line_groups import LineGroup, groups_by_kind, groups_by_length
from seq2seq_cli.evaluation.marked_text import mark_differences
from seq2seq_cli.evaluation.metrics import LOWER_IS_BETTER, ScoreOptions, build_metrics
from seq2seq_cli.evaluation.references import (
    References,
    Text,
    check_lengths,
    first_given,
    given_references,
)
from seq2seq_cli.evaluation.scoring import difference_notes, score, score_lines, signed
from seq2seq_cli.evaluation.word_accuracy import accuracy_by_frequency, word_counts
from seq2seq_cli.messages import counted

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class ComparedTexts:
    """The texts that systems are compared by; all but the training text have as many lines."""

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
