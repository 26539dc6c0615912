"""Tables of a comparison of systems, and their text in Markdown and LaTeX."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from seq2seq_cli.evaluation.comparison import FEW_LINES
from seq2seq_cli.evaluation.comparison_results import (
    Example,
    MetricTable,
    SystemComparison,
    SystemScore,
)
from seq2seq_cli.evaluation.marked_text import MarkedText
from seq2seq_cli.evaluation.system_comparison import SIGNIFICANT
from seq2seq_cli.messages import counted

BEHIND = " (lower is better)"


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column is aligned to the left, the others to the right."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: frozenset[tuple[int, int]] = frozenset()  # row and column of the best figures


def score_tables(comparison: SystemComparison) -> list[Table]:
    """A table for each metric: systems, intervals, and differences from the baseline."""
    return [_score_table(table, comparison) for table in comparison.tables]


def _score_table(table: MetricTable, comparison: SystemComparison) -> Table:
    title = f"{table.metric}{BEHIND if table.lower_is_better else ''}"
    head = ["system", table.metric, "95 % interval", "difference", "p", "p (Holm)"]
    return Table(
        title,
        head,
        [_score_row(each, comparison.baseline) for each in table.scores],
        frozenset((row, 1) for row, each in enumerate(table.scores) if each.is_best),
    )


def _score_row(score: SystemScore, baseline: str) -> list[str]:
    figures = [f"{score.value:.2f}", f"{score.low:.2f} to {score.high:.2f}"]
    if score.difference is None or score.p_value is None or score.corrected is None:
        return [f"{score.system} (baseline)", *figures, "", "", ""]
    star = "*" if score.is_significant else ""
    return [
        score.system,
        *figures,
        f"{score.difference:+.2f}{star}",
        f"{score.p_value:.4f}",
        f"{score.corrected:.4f}",
    ]


def group_tables(comparison: SystemComparison) -> list[Table]:
    """A table for each metric and each way to divide lines, then one of words by frequency."""
    titles = list(dict.fromkeys(group.title for group in comparison.groups))
    tables = []
    for table in comparison.tables:
        for title in titles:
            groups = [group for group in comparison.groups if group.title == title]
            tables.append(
                _figures_table(
                    f"{table.metric} by {title}",
                    "lines",
                    comparison.systems,
                    [(group.name, group.lines, group.scores[table.metric]) for group in groups],
                    lower_is_better=table.lower_is_better,
                )
            )
    if comparison.frequencies:
        rows = [(each.name, each.words, each.f_measures) for each in comparison.frequencies]
        tables.append(
            _figures_table(
                f"F-measure of words by their frequency in the {comparison.frequencies_of}",
                "words",
                comparison.systems,
                rows,
            )
        )
    return tables


def _figures_table(
    title: str,
    unit: str,
    systems: Sequence[str],
    rows: Sequence[tuple[str, int, Sequence[float]]],
    *,
    lower_is_better: bool = False,
) -> Table:
    best = {
        (index, 2 + column)
        for index, (_, _, figures) in enumerate(rows)
        for column, figure in enumerate(figures)
        if figure == (min if lower_is_better else max)(figures)
    }
    return Table(
        title + (BEHIND if lower_is_better else ""),
        ["", unit, *systems],
        [
            [name, f"{count:,}", *(f"{figure:.2f}" for figure in figures)]
            for name, count, figures in rows
        ],
        frozenset(best),
    )


def explanations(comparison: SystemComparison) -> list[str]:
    """How the figures are to be read, with signatures."""
    few = [group for group in comparison.groups if group.lines < FEW_LINES]
    return [
        f"{counted(comparison.lines, 'line')}; intervals and p from {comparison.samples:,} "
        f"bootstrap samples (seed {comparison.seed}), p against {comparison.baseline}, corrected "
        f"for all comparisons of all metrics (Holm); * p (Holm) < {SIGNIFICANT}",
        *(f"{table.metric}: {table.signature}" for table in comparison.tables),
        *([f"groups of fewer than {FEW_LINES} lines say little by themselves"] if few else []),
        *comparison.notes,
    ]


# Markdown


def as_markdown(comparison: SystemComparison) -> str:
    """A report with all tables and examples."""
    lines = [f"# {', '.join(map(_markdown, comparison.systems))}"]
    for table in score_tables(comparison):
        lines += ["", *_markdown_table(table, title=False)]
    lines += ["", *(f"- {_markdown(line)}" for line in explanations(comparison))]
    for table in group_tables(comparison):
        lines += ["", *_markdown_table(table)]
    if comparison.examples:
        lines += [
            "",
            f"## Lines with the largest differences in {_markdown(comparison.example_metric)}",
            "",
            "In bold: words that not all have, as in a reference; struck through: other ones.",
        ]
        for example in comparison.examples:
            lines += ["", *_markdown_example(example, comparison.systems)]
    return "\n".join(lines) + "\n"


def _markdown_table(table: Table, *, title: bool = True) -> Iterator[str]:
    if title:
        yield f"## {_markdown(table.title)}"
        yield ""
    yield _markdown_row(map(_markdown, table.head))
    yield _markdown_row(["---", *["---:"] * (len(table.head) - 1)])
    for row, cells in enumerate(table.rows):
        yield _markdown_row(
            f"**{_markdown(cell)}**" if (row, column) in table.best else _markdown(cell)
            for column, cell in enumerate(cells)
        )


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_example(example: Example, systems: Sequence[str]) -> Iterator[str]:
    yield f"### Line {example.number:,}"
    yield ""
    yield "| | | |"
    yield "| --- | ---: | --- |"
    if example.source is not None:
        yield _markdown_row(["source", "", _markdown(example.source)])
    for reference in example.references:
        yield _markdown_row(["reference", "", _markdown(reference)])
    for name, score, parts in zip(systems, example.scores, example.translations, strict=True):
        text = "".join(map(_markdown_part, parts))
        yield _markdown_row([_markdown(name), f"{score:.2f}", text])


def _markdown_part(part: MarkedText) -> str:
    """Tags, since asterisks beside Chinese punctuation are not read as bold."""
    tag = {"right": "b", "wrong": "del"}.get(part.mark)
    return f"<{tag}>{_markdown(part.text)}</{tag}>" if tag else _markdown(part.text)


def _markdown(text: str) -> str:
    """Escape what Markdown and HTML would read as markup within a line."""
    plain = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", _one_line(text))
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# LaTeX

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # \textquotedbl is not in every encoding of fonts
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def as_latex(comparison: SystemComparison) -> str:
    """Tables to \\input into a document; they need no package."""
    lines = [f"% {_one_line(line)}" for line in explanations(comparison)]
    if not all(map(str.isascii, comparison.systems)):
        lines.append("% names with other letters than ASCII: compile with XeLaTeX or LuaLaTeX")
    for table in [*score_tables(comparison), *group_tables(comparison)]:
        lines += ["", *_latex_table(table)]
    return "\n".join(lines) + "\n"


def _latex_table(table: Table) -> Iterator[str]:
    yield r"\begin{table}[ht]"
    yield r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"
    yield rf"\caption{{{_latex(table.title)}}}"
    yield rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}"
    yield r"\hline"
    yield _latex_row(map(_latex, table.head))
    yield r"\hline"
    for row, cells in enumerate(table.rows):
        yield _latex_row(
            rf"\textbf{{{_latex(cell)}}}" if (row, column) in table.best else _latex(cell)
            for column, cell in enumerate(cells)
        )
    yield r"\hline"
    yield r"\end{tabular}"
    yield r"\end{table}"


def _latex_row(cells: Iterable[str]) -> str:
    """A row; a bracket or star at its beginning would be an argument of the row before it."""
    return f"{{}}{' & '.join(cells)} \\\\"


def _latex(text: str) -> str:
    """Escape what LaTeX would read as a command; a minus is one in figures."""
    figure = re.fullmatch(r"([+-])(\d.*?)(\*?)", text)
    if figure:
        star = "^{*}" if figure[3] else ""
        return f"${figure[1]}{figure[2]}{star}$"
    return "".join(LATEX.get(character, character) for character in _one_line(text))


def _one_line(text: str) -> str:
    """Text without line ends and control characters."""
    return "".join(each if each.isprintable() else " " for each in text)
