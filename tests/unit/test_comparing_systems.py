"""Several systems on one text: figures, groups, marked words, and every output."""

import json
import random
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from seq2seq_cli.cli.app import app
from seq2seq_cli.evaluation import system_comparison
from seq2seq_cli.evaluation.comparison import SampledScores, holm, two_sided_chance
from seq2seq_cli.evaluation.comparison_results import SystemComparison
from seq2seq_cli.evaluation.comparison_tables import as_latex, as_markdown
from seq2seq_cli.evaluation.line_groups import kind_of_sentence
from seq2seq_cli.evaluation.marked_text import mark_differences
from seq2seq_cli.evaluation.references import Text
from seq2seq_cli.evaluation.scoring import score
from seq2seq_cli.evaluation.system_comparison import (
    ComparedTexts,
    ComparisonOptions,
    compare_systems,
)
from seq2seq_cli.evaluation.word_accuracy import accuracy_by_frequency, word_counts
from seq2seq_cli.evaluation.words import words

NOUNS = ["Katze", "Hund", "Haus", "Fluss", "Kind", "Lehrer", "Lied", "Bild"]
ENDS = (".", "?", "!", "")


def noisy(lines: list[str], seed: int, share: float) -> list[str]:
    generator = random.Random(seed)
    return [
        " ".join(w if generator.random() > share else generator.choice(NOUNS) for w in line.split())
        for line in lines
    ]


GENERATOR = random.Random(1)
REFERENCE = [
    " ".join(GENERATOR.choices([*NOUNS, "3"], k=GENERATOR.randint(1, 18))) + ENDS[row % 4]
    for row in range(80)
]
GOOD, BAD, OTHER = (noisy(REFERENCE, seed, share) for seed, share in ((2, 0.1), (3, 0.4), (5, 0.4)))


def comparison_of(
    *systems: Text, baseline: str | None = None, **options: object
) -> SystemComparison:
    how = ComparisonOptions(samples=200, **options)  # type: ignore[arg-type]
    return compare_systems(systems, ComparedTexts([Text("ref", REFERENCE)]), how, baseline)


THREE = (Text("bad", BAD), Text("good", GOOD), Text("other", OTHER))


def test_holm_corrects_as_in_the_paper() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_an_interval_leaves_out_one_sample_in_forty_at_each_end() -> None:
    samples = np.random.default_rng(1).permutation(np.arange(1001.0))
    assert SampledScores("", 500.0, samples).interval == (25.0, 975.0)


def test_figures_are_those_of_score_and_p_is_corrected() -> None:
    found = comparison_of(*THREE)
    for index, table in enumerate(found.tables):
        values = [score(text.lines, [REFERENCE])[index].value for text in THREE]
        assert [each.value for each in table.scores] == values
        assert table.scores[0].p_value is None
        assert all(each.low <= each.value <= each.high for each in table.scores)
        assert [each.is_best for each in table.scores] == [False, True, False]
    corrected = [each.corrected for table in found.tables for each in table.scores[1:]]
    plain = [each.p_value for table in found.tables for each in table.scores[1:]]
    assert corrected == holm([each for each in plain if each is not None])
    assert [each.is_significant for each in found.tables[0].scores] == [False, True, False]


def test_a_difference_that_does_not_hold_among_all_comparisons_gets_no_star(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four comparisons of a p of 0.03 are not significant, one is."""
    monkeypatch.setattr(system_comparison, "two_sided_chance", lambda *_: 0.03)
    four, one = comparison_of(*THREE), comparison_of(*THREE[:2], metrics=("chrf",))
    for table, corrected in ((four.tables[0], 0.12), (one.tables[0], 0.03)):
        first, second, *_ = table.scores
        assert second.corrected == pytest.approx(corrected)
        assert second.is_significant == (corrected < 0.05)
        assert second.difference == second.value - first.value > 0  # good beside bad


def test_a_difference_on_a_few_lines_is_never_called_significant() -> None:
    few = [line for line in REFERENCE if len(line) > 20][:3]
    wrong = Text("wrong", ["x y z"] * 3)
    texts, how = ComparedTexts([Text("ref", few)]), ComparisonOptions(samples=200)
    found = compare_systems([Text("same", few), wrong], texts, how)
    assert found.tables[0].scores[1].corrected is not None
    assert found.tables[0].scores[1].corrected < 0.05
    assert not any(each.is_significant for table in found.tables for each in table.scores)


def test_of_equal_systems_one_in_twenty_differs_at_a_p_of_one_in_twenty() -> None:
    generator = np.random.default_rng(1)
    found = 0
    for _ in range(400):
        lines = generator.normal(size=(2, 100))
        rows = generator.integers(0, 100, size=(200, 100))
        one, other = (SampledScores("", x.mean(), x[rows].mean(1)) for x in lines)
        found += two_sided_chance(one, other) < 0.05
    assert 8 <= found <= 36  # sacreBLEU's test finds 44


def test_a_seed_gives_the_same_report_and_another_seed_another() -> None:
    same = [comparison_of(*THREE).as_json() for _ in range(2)]
    assert same[0] == same[1]
    assert comparison_of(*THREE, seed=7).as_json() != same[0]


def test_the_baseline_is_chosen_and_identical_outputs_are_no_difference() -> None:
    found = comparison_of(Text("a", GOOD), Text("b", BAD), Text("c", BAD), baseline="b")
    scores = found.tables[0].scores
    assert scores[1].difference is None
    assert (scores[2].difference, scores[2].p_value) == (0.0, 1.0)
    assert "c and b have the same 80 lines" in found.notes


def test_lower_is_better_for_ter() -> None:
    [ter] = comparison_of(*THREE, metrics=("ter",)).tables
    assert ter.lower_is_better
    assert [each.is_best for each in ter.scores] == [False, True, False]


def test_too_few_samples_for_many_comparisons_are_told() -> None:
    many = [Text(str(number), noisy(REFERENCE, number, 0.3)) for number in range(12)]
    notes = comparison_of(*many, metrics=("bleu",)).notes
    assert any("200 samples are too few for 11 comparisons" in note for note in notes)
    assert not any("too few" in note for note in comparison_of(*THREE).notes)


def test_groups_have_the_scores_of_their_lines_alone() -> None:
    found = comparison_of(*THREE)
    ends = [group for group in found.groups if group.title == "end of the reference"]
    names = ["question", "exclamation", "statement", "without an end mark"]
    assert [(group.name, group.lines) for group in ends] == [(name, 20) for name in names]
    rows = [row for row, line in enumerate(REFERENCE) if line.endswith("?")]
    bleu = score([GOOD[row] for row in rows], [[REFERENCE[row] for row in rows]])[0].value
    assert ends[0].scores["BLEU"][1] == bleu
    assert sum(g.lines for g in found.groups if g.title == "words in the reference") == 80


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('He said "why?"', "question"),
        ("«Quoi ?»", "question"),
        ("هل هذا كتاب؟", "question"),
        ("你好吗？", "question"),
        ("Τι κάνεις;", "question"),
        ("Ինչո՞ւ է", "question"),
        ("first; second;", "without an end mark"),
        ("Nein!", "exclamation"),
        ("是！”", "exclamation"),
        ("कैसे हो।", "statement"),
        ("了。」", "statement"),
        ("ok...", "statement"),
        ("A heading", "without an end mark"),
        ("", "without an end mark"),
    ],
)
def test_marks_of_all_scripts_tell_the_kind_of_sentence(line: str, kind: str) -> None:
    assert kind_of_sentence(line) == kind


@pytest.mark.parametrize(
    ("line", "divided"),
    [
        ("Don't (now), it's 3.5!!", ["Don't", "(", "now", ")", ",", "it's", "3.5", "!", "!"]),
        ("我喜欢 Python3，你", ["我", "喜", "欢", "Python3", "，", "你"]),
        ("हिन्दी में है।", ["हिन्दी", "में", "है", "।"]),
        ("هل قرأت؟", ["هل", "قرأت", "؟"]),
        ("e\u0301te\u0301\u3000\u00a0x", ["e\u0301te\u0301", "x"]),
        (" \t ", []),
    ],
)
def test_words_are_found_in_any_script(line: str, divided: list[str]) -> None:
    found = words(line)
    assert [word.text for word in found] == divided
    assert all(line[word.start :].startswith(word.text) for word in found)


def test_words_are_marked_by_the_other_systems_and_the_reference() -> None:
    lines = ["the old cat sat .", "the red cat stood ."]
    first, second = mark_differences(lines, ["the old cat stood ."])
    assert [(part.text, part.mark) for part in first] == [
        ("the ", "same"), ("old", "right"), (" cat ", "same"), ("sat", "wrong"), (" .", "same"),
    ]  # fmt: skip
    assert [part.mark for part in second] == ["same", "wrong", "same", "right", "same"]
    for line, parts in zip(lines, (first, second), strict=True):
        assert "".join(part.text for part in parts) == line


def test_words_are_marked_by_the_baseline_that_was_chosen() -> None:
    lines = ["a dog", "the cat", "the dog"]
    marked = mark_differences(lines, ["the dog"], baseline=1)
    assert [[part.mark for part in parts] for parts in marked] == [
        ["wrong", "same", "right"],  # neither word is in the baseline; the space is between
        ["right", "same", "wrong"],  # neither is in all others
        ["same", "right"],
    ]


def test_marked_parts_make_up_the_line_whatever_it_is() -> None:
    generator = random.Random(5)
    letters = "ab \u3000x.,!?中文ہے’-" + unicodedata.lookup("COMBINING ACUTE ACCENT")
    for _ in range(300):
        lines = ["".join(generator.choices(letters, k=generator.randint(0, 14))) for _ in range(3)]
        for line, parts in zip(lines, mark_differences(lines, [lines[0]]), strict=True):
            assert line.startswith("".join(part.text for part in parts))
            assert not line[sum(len(part.text) for part in parts) :].strip()


def test_rare_words_are_scored_apart_from_frequent_ones() -> None:
    reference = ["die Katze", "die Maus", "die Katze"]
    system = ["die Katze", "die Ratte", "der Katze"]
    one, frequent = accuracy_by_frequency([system], [reference], word_counts(reference))
    assert (one.name, one.words, one.f_measures[0]) == ("1", 1, 0.0)
    assert (frequent.name, frequent.words) == ("2-9", 5)
    assert frequent.f_measures[0] == pytest.approx(100 * 2 * 4 / (4 + 5))
    capitals = [line.upper() for line in system]
    assert accuracy_by_frequency([capitals], [reference], word_counts(capitals + reference)) == (
        accuracy_by_frequency([system], [reference], word_counts(system + reference))
    )
    other = ["die Maus", "die Ratte", "der Katze"]  # each line has one of its own
    [_, frequent] = accuracy_by_frequency([system], [reference, other], word_counts(reference))
    assert frequent.f_measures[0] == pytest.approx(100 * 2 * 5 / (5 + 5))
    [unseen, *_] = accuracy_by_frequency([system], [reference], word_counts(["die die Katze"]))
    assert (unseen.name, unseen.words) == ("0", 1)


# Outputs

ODD = r"a_b|<i>&%$#{}~^\*"


class _Cells(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def test_latex_has_no_character_that_is_a_command_unescaped() -> None:
    text = as_latex(comparison_of(Text(ODD, GOOD), Text("[x]", BAD)))
    body = [line for line in text.splitlines() if not line.startswith("%")]
    plain = re.sub(r"\\(text\w+\{\}|[&%$#_{}])", "", "\n".join(body))
    assert not re.search(r"[#~%<>|_]", plain)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    columns = {line.count(" & ") for line in plain.splitlines() if line.startswith("{}")}
    assert columns == {5, 3}
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") > 3
    assert all(ODD not in line for line in body)


def test_markdown_has_as_many_cells_in_each_row_of_a_table() -> None:
    text = as_markdown(comparison_of(Text(ODD, GOOD), Text("b", BAD)))
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1
    assert "<i>" not in text
    assert "<b>" in text
    assert "<del>" in text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, lines in {"good": GOOD, "bad": BAD, "ref": REFERENCE, "short": GOOD[:3]}.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments])


def test_files_of_every_format_are_written_in_one_run(folder: Path) -> None:
    outputs = [word for end in ("html", "json", "md", "tex") for word in ("-o", f"out.{end}")]
    done = run("bad", "</script>=good", "-r", "ref", "--samples", "100", *outputs)
    assert done.exit_code == 0, done.exception
    assert done.stdout == ""
    record = json.loads((folder / "out.json").read_text())
    assert record["systems"] == ["bad", "</script>"]
    page = (folder / "out.html").read_text()
    parser = _Cells()
    parser.feed(page)
    assert parser.tags.count("script") == 2
    assert "http" not in page.replace("http-equiv", "")
    assert (folder / "out.tex").read_text().startswith("% 80 lines; ")


def test_a_terminal_gets_tables_and_lines(folder: Path) -> None:
    done = run("bad", "new=good", "-r", "ref", "--samples", "100", "--lines", "1")
    assert done.exit_code == 0, done.exception
    text = done.stdout
    assert "bad (baseline)" in text
    assert re.search(r"^new +\d", text, re.M)
    assert text.count("\nline ") == 1
    assert "[" in text.rpartition("line ")[2]  # without colour, brackets
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bad", "-r", "ref"], "one system cannot be compared: give two or more"),
        (["bad", "bad", "-r", "ref"], "bad is given twice; a system does not differ from itself"),
        (["x=bad", "x=good", "-r", "ref"], "two systems have the name x"),
        (["=bad", "good", "-r", "ref"], "=bad: a name and a run or file are needed"),
        (["bad", "good", "-r", "ref", "--baseline", "q"], "no system has the name q; there are"),
        (["bad", "short", "-r", "ref"], "ref has 80 lines but short has 3"),
        (["bad", "good", "-r", "short"], "short has 3 lines but bad has 80"),
        (["bad", "good", "-r", "ref", "--source", "short"], "ref has 80 lines but short has 3"),
        (["bad", "empty", "-r", "ref"], "ref has 80 lines but empty has 0"),
        (["bad", "good", "-r", "empty"], "empty: no lines; there is nothing to compare with"),
        (["bad", "folder", "-r", "ref"], "folder is a folder, and runs translate the source"),
        (["bad", "folder", "-r", "ref", "--source", "ref"], "folder is not a run folder"),
        (["bad", "good", "-r", "folder"], "folder is a directory; name a text file"),
        (["bad", "absent", "-r", "ref"], "absent: no such file"),
        (["bad", "good", "-r", "ref", "-o", "a.pdf"], "a.pdf: the name must end in .html, .json"),
        (["bad", "good", "-r", "ref", "-o", "bad"], "bad: the name must end in"),
        (["bad", "good", "-r", "ref", "--metrics", "blue"], "unknown metric 'blue'"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    folder: Path, arguments: list[str], message: str
) -> None:
    done = run(*arguments)
    assert message in str(done.exception)
    assert done.stdout == ""
    assert sorted(path.name for path in folder.iterdir()) == [
        "bad", "empty", "folder", "good", "ref", "short",
    ]  # fmt: skip


def test_one_word_and_few_lines_are_told(folder: Path) -> None:
    for name, word in {"one": "x", "two": "y", "word": "x"}.items():
        (folder / name).write_text(f"{word}\n")
    done = run("one", "two", "-r", "word", "--samples", "100")
    assert done.exit_code == 0, done.exception
    assert "1 line: too few for intervals and p" in done.stdout
    assert "100% of the reference lines have fewer than 4 words" in done.stdout
