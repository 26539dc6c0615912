"""Scores of real text do not mislead: gaps in references, ties, scripts, short lines."""

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from seq2seq_cli.cli.app import app
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.comparison import compare
from seq2seq_cli.evaluation.metrics import ScoreOptions, tokenizer_for
from seq2seq_cli.evaluation.scoring import length_unit, score, score_by_length, score_lines

ALL = ("bleu", "chrf", "ter")
CAT = "the big cat sat on the red mat today"
LONG = "a very different sentence is the reference of it"
HYPOTHESES = [CAT, "something wrong"]

Score = Callable[..., Result]


@pytest.fixture
def score_files(tmp_path: Path) -> Score:
    """Runs `seq2seq score` on texts, written to files with the names of the keywords."""

    def run(*options: str, **texts: list[str]) -> Result:
        for name, lines in texts.items():
            (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
        references = [name for name in texts if name.startswith("reference")]
        arguments = [word for name in references for word in ("-r", str(tmp_path / name))]
        arguments += ["--hypothesis", str(tmp_path / "hypothesis")]
        if "other" in texts:
            arguments += ["--compare", str(tmp_path / "other")]
        return CliRunner().invoke(app, ["score", *arguments, *options])

    return run


# Blank reference lines


@pytest.mark.parametrize("blank", ["", " ", "\u3000", "\t"])
def test_a_blank_line_in_a_second_reference_means_none_is_given(blank: str) -> None:
    one = score(HYPOTHESES, [[CAT, LONG]], ALL)
    for references in ([[CAT, LONG], [CAT, blank]], [[CAT, blank], [CAT, LONG]]):
        two = score(HYPOTHESES, references, ALL)
        assert [each.value for each in two] == [each.value for each in one]
        for each in two:
            assert "nrefs:var|" in each.signature
            assert "|blank:none|version:" in each.signature


def test_blank_lines_that_leave_one_reference_each_are_in_the_signature_too() -> None:
    one = score(HYPOTHESES, [[CAT, LONG]], ALL)
    for ours, theirs in zip(score(HYPOTHESES, [[CAT, ""], ["", LONG]], ALL), one, strict=True):
        assert ours.value == theirs.value
        assert "nrefs:1|" in ours.signature
        assert "|blank:none|" in ours.signature


def test_stderr_says_in_a_line_why_the_figure_is_not_that_of_sacrebleu(score_files: Score) -> None:
    texts = {"hypothesis": HYPOTHESES, "reference1": [CAT, LONG], "reference2": [CAT, ""]}
    result = score_files("--metrics", "bleu,chrf,ter", **texts)
    assert result.stderr == (
        "seq2seq: warning: BLEU, chrF2, TER: 1 line of the references blank, taken as not "
        "given, where the sacrebleu command compares with an empty reference (its figure: "
        "--as-sacrebleu)\n"
    )
    assert result.stdout.startswith("BLEU 48.87  ")
    own = score_files("--as-sacrebleu", **texts)
    assert own.stdout.startswith("BLEU 92.35  ")
    assert (own.stderr, "blank" in own.stdout) == ("", False)


@pytest.mark.parametrize("references", [[[CAT, ""]], [[CAT, ""], [CAT, " "]]])
def test_a_translated_line_without_any_reference_is_refused(references: list[list[str]]) -> None:
    for function in (score, score_lines):
        with pytest.raises(InputError, match="line 2: translated, but blank in every reference"):
            function(HYPOTHESES, references)
    with pytest.raises(InputError, match="line 2: translated, but blank in every reference"):
        compare([CAT, ""], HYPOTHESES, references)
    assert score(HYPOTHESES, references, options=ScoreOptions(as_sacrebleu=True))


def test_only_the_first_lines_without_a_reference_are_named() -> None:
    with pytest.raises(InputError, match="lines 1, 2, 3, 4, 5 and 1,995 more: translated"):
        score(["a"] * 2000, [[""] * 2000])


def test_a_line_that_is_blank_in_all_texts_counts_for_nothing() -> None:
    """Blank lines between paragraphs are translated to blank lines."""
    for references in ([[CAT, LONG]], [[CAT, LONG], [LONG, CAT]]):
        spaced = [[lines[0], "", lines[1]] for lines in references]
        ours = score([HYPOTHESES[0], "", HYPOTHESES[1]], spaced, ALL)
        expected = score(HYPOTHESES, references, ALL)
        assert [(one.value, one.signature) for one in ours] == [
            (one.value, one.signature) for one in expected
        ]


def test_lengths_are_those_of_the_first_reference_that_is_given(score_files: Score) -> None:
    texts = {"hypothesis": [CAT, LONG], "reference1": ["", LONG], "reference2": [CAT, LONG]}
    result = score_files("--by-length", "--bucket", "5", **texts)
    assert "1-5 " not in result.stdout


# The order of references


@pytest.mark.parametrize("word_order", [0, 2])
def test_chrf_does_not_depend_on_the_order_of_references(word_order: int) -> None:
    hypotheses = ["the cat sat on the mat", "zzzz qqqq", "", "ab ab"]
    references = [
        ["the cat sat on the mat", "a dog barks loudly in the night", "one", "cd"],
        ["the cat sat on the mat", "hi", "three words here", "ab"],
        ["a mat", "hm hm", "two words", "ba ba ba"],
    ]
    options = ScoreOptions(chrf_word_order=word_order, bootstrap_samples=50)
    found = {
        (one.value, one.mean, one.confidence, one.signature)
        for order in permutations(references)
        for one in score(hypotheses, order, ("chrf",), options)
    }
    assert len(found) == 1
    assert "|ties:mean|" in found.pop()[3]


def test_chrf_without_ties_is_that_of_the_sacrebleu_command_signature_included() -> None:
    references = [[CAT, LONG], [LONG, CAT]]
    [ours] = score([CAT, "it is wrong"], references, ("chrf",))
    [theirs] = score([CAT, "it is wrong"], references, ("chrf",), ScoreOptions(as_sacrebleu=True))
    assert ours == theirs


def test_ties_of_chrf_are_said_on_stderr(score_files: Score) -> None:
    texts = {
        "hypothesis": ["the cat sat on the mat", "zzzz qqqq"],
        "reference1": ["the cat sat on the mat", "a dog barks loudly in the night"],
        "reference2": ["the cat sat on the mat", "hi"],
    }
    result = score_files("--metrics", "chrf", **texts)
    assert "chrF2: for 1 line several references are equally good" in result.stderr
    assert result.stderr.count("\n") == 1
    own = score_files("--metrics", "chrf", "--as-sacrebleu", **texts)
    assert own.stdout.startswith("chrF2 43.11  ")
    assert own.stderr == ""


# Comparisons


def test_identical_outputs_have_p_1_and_are_called_identical(score_files: Score) -> None:
    lines = [f"line number {number} of the text here" for number in range(50)]
    reference = [line.replace("text", "book") for line in lines]
    result = score_files(
        "--metrics", "bleu,chrf,ter", hypothesis=lines, other=lines, reference=reference
    )
    assert result.stdout.count("(+0.00), p = 1.0000, the outputs are identical  ") == 3
    assert result.stdout.count("|p:ties|") == 3
    assert "p of BLEU, p of chrF2, p of TER: the sacrebleu command counts only" in result.stderr
    assert result.stderr.count("\n") == 1
    own = score_files("--as-sacrebleu", hypothesis=lines, other=lines, reference=reference)
    assert "p = 0.0010, the outputs are identical" in own.stdout
    assert own.stderr == ""


def test_ties_of_few_lines_count(score_files: Score) -> None:
    """In one line, every sample differs as much as the text does: nothing is shown."""
    for one in compare([CAT], [LONG], [[CAT]], ALL):
        assert one.p_value < 1
    for one in compare([CAT, CAT], [f"{CAT} .", CAT], [[f"{CAT} now", CAT]], ("chrf",)):
        assert one.same_lines == 1
        assert not one.are_identical


# Scripts without spaces

WRITTEN = {
    "Chinese": ("我们昨天在图书馆看了一本关于历史的书。", "zh", "characters"),
    "Chinese with Latin names": ("他在Google和IBM工作了很多年，现在住在北京。", "zh", "characters"),
    "Japanese": ("昨日は図書館で歴史の本を読みました。", ("ja-mecab", "char"), "characters"),
    "Japanese katakana": (
        "コンピューターのプログラミングは楽しいです。",
        ("ja-mecab", "char"),
        "characters",
    ),
    "Korean": ("어제 도서관에서 역사책을 읽었습니다.", ("ko-mecab", "13a"), "words"),
    "Thai": ("เมื่อวานนี้เราอ่านหนังสือประวัติศาสตร์ที่ห้องสมุด", "char", "characters"),
    "Thai cut into words": ("เมื่อ วาน นี้ เรา อ่าน หนังสือ ที่ ห้อง สมุด", "13a", "words"),
    "Lao": ("ມື້ວານນີ້ພວກເຮົາອ່ານປຶ້ມປະຫວັດສາດຢູ່ຫ້ອງສະໝຸດ", "char", "characters"),
    "Khmer": ("ម្សិលមិញយើងបានអានសៀវភៅប្រវត្តិសាស្ត្រនៅបណ្ណាល័យ", "char", "characters"),
    "Burmese": ("မနေ့က ကျွန်တော်တို့ စာကြည့်တိုက်မှာ သမိုင်းစာအုပ်ဖတ်ခဲ့တယ်", ("char", "13a"), None),
    "Tibetan": ("ཁ་སང་ང་ཚོས་དཔེ་མཛོད་ཁང་ནང་ལོ་རྒྱུས་ཀྱི་དཔེ་ཆ་ཞིག་བཀླགས།", "char", "characters"),
    "Hindi": ("कल हमने पुस्तकालय में इतिहास की एक किताब पढ़ी।", "13a", "words"),
    "Arabic": ("قرأنا أمس كتابا عن التاريخ في المكتبة.", "13a", "words"),
    "German": ("Gestern lasen wir in der Bibliothek ein Buch über Geschichte.", "13a", "words"),
    "digits": ("1 2 3", "13a", "words"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_tokenizer_and_unit_of_lengths_go_by_script(name: str) -> None:
    line, tokenizers, unit = WRITTEN[name]
    found = tokenizer_for([line])
    assert found in (tokenizers if isinstance(tokenizers, tuple) else (tokenizers,))
    assert unit in (None, length_unit([line]))


def test_lengths_of_unspaced_text_are_characters(score_files: Score) -> None:
    line = "เมื่อวานนี้เราอ่านหนังสือ"
    [bucket] = score_by_length([line], [[line]], [line], ("chrf",), width=10)
    assert (bucket.least, bucket.most, bucket.unit) == (11, 20, "characters")
    result = score_files("--by-length", "--tokenize", "auto", hypothesis=[line], reference=[line])
    assert "by length in characters:\ncharacters  lines" in result.stdout
    assert "|tok:char|" in result.stdout
    assert result.stderr == ""


def test_unspaced_text_is_not_scored_by_words_without_a_word(score_files: Score) -> None:
    lines = ["我们昨天在图书馆看了一本书。", "他现在住在北京。"]
    result = score_files("--metrics", "bleu,ter", hypothesis=lines, reference=lines)
    assert (
        "BLEU with the tokenizer 13a counts what spaces divide: give --tokenize zh" in result.stderr
    )
    assert "--ter-normalized --ter-asian counts Chinese characters" in result.stderr
    options = ("--metrics", "bleu,ter", "--tokenize", "zh", "--ter-normalized", "--ter-asian")
    assert score_files(*options, hypothesis=lines, reference=lines).stderr == ""


def test_ter_counts_chinese_characters() -> None:
    hypothesis, reference = ["我们在北京看书"], ["我们在北京买书"]
    options = ScoreOptions(ter_normalized=True, ter_asian=True)
    [ter] = score(hypothesis, [reference], ("ter",), options)
    assert ter.value == pytest.approx(100 / 7)
    assert "|norm:yes|punct:yes|asian:yes|" in ter.signature


def test_a_list_of_words_is_told_why_bleu_is_0(score_files: Score) -> None:
    words = ["house", "old tree", "cat"]
    result = score_files(hypothesis=words, reference=words)
    assert result.stdout.startswith("BLEU 0.00  ")
    assert (
        "100% of the reference lines have fewer than 4 words, and so no run of 4 words for BLEU to "
        "count: it is 0 or says little; go by chrF" in result.stderr
    )
    assert score_files("--metrics", "chrf", hypothesis=words, reference=words).stderr == ""


# A score for each line


def test_scores_of_lines_are_those_of_the_sacrebleu_command(
    tmp_path: Path, score_files: Score
) -> None:
    hypothesis, reference = (
        [CAT, "the cat", "something wrong here", ""],
        [f"{CAT} .", "the cat", LONG, CAT],
    )
    texts = {"hypothesis": hypothesis, "reference": reference}
    result = score_files("--sentences", "--metrics", "bleu,chrf,ter", **texts)
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert result.stderr.startswith("BLEU ")
    for column, metric in enumerate(("bleu", "chrf", "ter")):
        command = [sys.executable, "-m", "sacrebleu", str(tmp_path / "reference")]
        command += ["-i", str(tmp_path / "hypothesis"), "-m", metric, "--sentence-level"]
        done = subprocess.run(
            [*command, "-w", "2", "--format", "text", "-b"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert [row[column] for row in rows] == done.stdout.split()


def test_scores_of_lines_have_a_line_for_each_and_both_systems(score_files: Score) -> None:
    texts = {"hypothesis": [CAT, "", "one two"], "other": [LONG, "", "one two"]}
    reference = [CAT, "", "one two"]
    result = score_files("--sentences", **texts, reference=reference)
    assert result.stdout.splitlines()[0].startswith("100.00\t100.00\t")
    assert result.stdout.splitlines()[1:] == [
        "nan\tnan\tnan\tnan",
        "100.00\t100.00\t100.00\t100.00",
    ]
    record = json.loads(
        score_files("--sentences", "--format", "json", **texts, reference=reference).stdout
    )
    [bleu, chrf] = next(iter(record["sentences"].values()))
    assert bleu["values"] == [pytest.approx(100), None, pytest.approx(100)]
    assert "|eff:yes|" in bleu["signature"]
    assert chrf["metric"] == "chrF2"
