"""Comparisons of systems in the terminal: tables, and lines whose differences are coloured."""

import signal
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table as Drawn
from rich.text import Text

from seq2seq_cli.cli.terminal_plots import END_ISOLATE, ISOLATE, cell_width, has_right_to_left

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.comparison_results import Example, SystemComparison
    from seq2seq_cli.evaluation.comparison_tables import Table
    from seq2seq_cli.evaluation.marked_text import MarkedText

STYLES = {"same": "", "right": "bold green", "wrong": "red underline"}
SIGNS = {"same": ("", ""), "right": ("[", "]"), "wrong": ("{", "}")}  # where there is no colour
NARROWEST = 100  # columns of tables where there is no terminal


class Printer(Console):
    """A console that ends as other commands do when the reader of its output has gone."""

    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(128 + signal.SIGPIPE) from None


def print_comparison(comparison: "SystemComparison") -> None:
    """Print the tables and lines of a comparison."""
    from seq2seq_cli.evaluation.comparison_tables import explanations, group_tables, score_tables

    console = Printer(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(NARROWEST, _width(comparison))
    for table in score_tables(comparison):
        console.print(_drawn(table))
        console.print()
    for explanation in explanations(comparison):
        console.print(Text(explanation, style="dim"), soft_wrap=True)
    for table in group_tables(comparison):
        console.print()
        console.print(Text(table.title, style="italic"), soft_wrap=True)
        console.print(_drawn(table))
    if comparison.examples:
        console.print()
        console.print(_legend(comparison, colour=bool(console.color_system)), soft_wrap=True)
    for example in comparison.examples:
        console.print()
        for line in example_lines(example, comparison.systems, colour=bool(console.color_system)):
            console.print(line, soft_wrap=True)


def _width(comparison: "SystemComparison") -> int:
    """Columns in which no name of a system has to be broken."""
    return 40 + sum(max(8, cell_width(name)) + 2 for name in comparison.systems)


def _drawn(table: "Table") -> Drawn:
    drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, name in enumerate(table.head):
        drawn.add_column(
            Text(_isolated(name)), justify="left" if column == 0 else "right", overflow="fold"
        )
    for row, cells in enumerate(table.rows):
        drawn.add_row(
            *(
                Text(_isolated(cell), style="bold" if (row, column) in table.best else "")
                for column, cell in enumerate(cells)
            )
        )
    return drawn


def _isolated(text: str) -> str:
    """Text whose order is its own: letters from right to left do not move what is around them."""
    return f"{ISOLATE}{text}{END_ISOLATE}" if has_right_to_left(text) else text


def _legend(comparison: "SystemComparison", *, colour: bool) -> Text:
    legend = Text(f"Lines with the largest differences in {comparison.example_metric}: ")
    for mark, words in (
        ("right", "words that not all have, as in a reference"),
        ("wrong", "other such words"),
    ):
        if mark == "wrong":
            legend.append(", ")
        _append(legend, words, mark, colour=colour)
    return legend


def _append(text: Text, words: str, mark: str, *, colour: bool) -> None:
    before, after = ("", "") if colour else SIGNS[mark]
    text.append(f"{before}{words}{after}", style=STYLES[mark] if colour else "")


def example_lines(example: "Example", systems: Sequence[str], *, colour: bool) -> Iterator[Text]:
    """A line for the source, each reference and each system, below the number of the line."""
    names = [*(["source"] if example.source is not None else []), "reference", *systems]
    width = max(map(cell_width, names))
    yield Text(f"line {example.number:,}", style="bold")
    plain = [] if example.source is None else [("source", example.source)]
    for name, line in [*plain, *(("reference", line) for line in example.references)]:
        yield Text(f"{_padded(name, width)}         {_isolated(line)}")
    for name, score, parts in zip(systems, example.scores, example.translations, strict=True):
        yield Text(f"{_padded(name, width)} {score:7.2f}  ").append_text(
            _marked(parts, colour=colour)
        )


def _padded(name: str, width: int) -> str:
    return _isolated(name) + " " * (width - cell_width(name))


def _marked(parts: "Sequence[MarkedText]", *, colour: bool) -> Text:
    text = Text()
    isolate = any(has_right_to_left(part.text) for part in parts)
    text.append(ISOLATE if isolate else "")
    for part in parts:
        _append(text, part.text, part.mark, colour=colour)
    text.append(END_ISOLATE if isolate else "")
    return text
