"""Scores are sacreBLEU's: the same files give the same figures and signatures."""

import json
import logging
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from seq2seq_cli.cli.app import app
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.metrics import ScoreOptions
from seq2seq_cli.evaluation.scoring import score

SENTENCE = "die alte Frau liest ein Buch , während das Kind im Garten spielt – Größe & Öl ."


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A translation and two references, with blank lines and characters that are no line ends."""
    generator = random.Random(1)
    words = SENTENCE.split()
    first = [" ".join(generator.choices(words, k=generator.randint(4, 12))) for _ in range(60)]
    second = [line.replace("Frau", "Dame").upper().capitalize() for line in first]
    hypothesis = [" ".join(w for w in line.split() if generator.random() > 0.2) for line in first]
    hypothesis[3] = ""
    hypothesis[5], first[5], second[5] = "", "", ""  # between two paragraphs
    hypothesis[9] += "\u2028noch\x0cetwas\x85 \t"
    gaps = [
        "" if row in (0, 7, 20) else line.replace("Kind", "M\u00e4dchen")
        for row, line in enumerate(first)
    ]
    texts = {"hypothesis": hypothesis, "first": first, "second": second, "gaps": gaps}
    for name, lines in texts.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), newline="\n")
    return {name: str(tmp_path / name) for name in texts}


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["score", *arguments], input=stdin)


def run_json(*arguments: str, stdin: str | None = None) -> list[dict[str, Any]]:
    result = run(*arguments, "--format", "json", stdin=stdin)
    assert result.exit_code == 0, result.exception
    scores: list[dict[str, Any]] = json.loads(result.stdout)
    return scores


def failure(*arguments: str, stdin: str | None = None) -> str:
    """The message of a command that must end with an InputError."""
    error = run(*arguments, stdin=stdin).exception
    assert isinstance(error, InputError)
    return str(error)


@pytest.mark.parametrize("references", [["first"], ["first", "second"], ["gaps", "first"]])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([], []),
        (
            ["--ter-normalized", "--ter-no-punct", "--ter-asian", "--ter-case-sensitive"],
            [
                "--ter-normalized",
                "--ter-no-punct",
                "--ter-asian-support",
                "--ter-case-sensitive",
            ],
        ),
        (["--confidence", "200"], ["--confidence", "--confidence-n", "200"]),
        (
            ["--lowercase", "--tokenize", "intl", "--chrf-word-order", "2"],
            ["-lc", "--chrf-lowercase", "--tokenize", "intl", "--chrf-word-order", "2"],
        ),
    ],
    ids=["plain", "ter", "confidence", "options"],
)
def test_figures_equal_those_of_the_sacrebleu_command(
    files: dict[str, str], references: list[str], ours: list[str], theirs: list[str]
) -> None:
    paths = [files[name] for name in references]
    command = [sys.executable, "-m", "sacrebleu", *paths, "--input", files["hypothesis"]]
    command += ["--metrics", "bleu", "chrf", "ter", "--width", "10", "--format", "json", *theirs]
    expected = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    options = [word for path in paths for word in ("--reference", path)]
    options += ["--hypothesis", files["hypothesis"], "--metrics", "bleu,chrf,ter", *ours]
    if "gaps" in references:
        options.append("--as-sacrebleu")
    scores = run_json(*options)
    assert [
        (
            one["metric"],
            round(one["value"], 10),
            one["signature"],
            one["details"],
            one["mean"],
            one["confidence"],
        )
        for one in scores
    ] == [
        (
            one["name"],
            one["score"],
            one["signature"],
            one.get("verbose_score", ""),
            one.get("confidence_mean"),
            one.get("confidence_var"),
        )
        for one in expected
    ]


def test_text_has_a_line_for_each_metric_with_its_signature(files: dict[str, str]) -> None:
    options = ["--reference", files["first"], "--hypothesis", files["first"]]
    result = run(*options, "--metrics", "ter,BLEU", "--confidence", "10")
    ter, bleu = result.stdout.splitlines()
    assert ter.startswith("TER 0.00 ± 0.00  nrefs:1|bs:10|seed:12345|case:lc|tok:tercom|")
    assert bleu.startswith("BLEU 100.00 ± 0.00  100.0/100.0/100.0/100.0 (BP = 1.000 ratio")
    assert ")  nrefs:1|bs:10|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:" in bleu
    assert result.stderr == ""


def test_hypothesis_comes_from_standard_input(files: dict[str, str]) -> None:
    reference = ["--reference", files["first"]]
    text = Path(files["hypothesis"]).read_bytes().decode()
    from_file = run_json(*reference, "--hypothesis", files["hypothesis"])
    assert run_json(*reference, stdin=text) == from_file
    assert [one["metric"] for one in from_file] == ["BLEU", "chrF2"]


def test_unequal_line_counts_exit_with_2_and_name_both_files(files: dict[str, str]) -> None:
    command = [sys.executable, "-m", "seq2seq_cli", "score", "--reference", files["first"]]
    process = subprocess.run(command, input=b"only\nthree\nlines\n", capture_output=True)
    assert process.returncode == 2
    assert process.stdout == b""
    assert process.stderr.decode() == (
        f"seq2seq: error: standard input has 3 lines but {files['first']} has 60; "
        "line k of the one must belong to line k of the other\n"
    )


def test_empty_input_is_refused(files: dict[str, str]) -> None:
    assert "standard input: no lines" in failure("--reference", files["first"], stdin="")


def test_missing_reference_suggests_the_near_name(files: dict[str, str]) -> None:
    message = failure("--reference", files["first"] + "t", stdin="")
    assert message.endswith(f"no such file; did you mean {files['first']}?")


def test_standard_input_is_not_read_twice() -> None:
    assert "standard input can be read once" in failure("--reference", "-", stdin="a\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--metrics", "blue"],
            "unknown metric 'blue'; did you mean bleu? allowed are bleu, spbleu",
        ),
        (["--metrics", ","], "no metric given; allowed are bleu, spbleu, chrf, chrf++, ter"),
        (["--tokenize", "13"], "unknown tokenizer '13'; did you mean 13a? allowed are "),
        (["--confidence", "1"], "1 bootstrap samples do not make an interval; give 1000, or 0 for"),
        (["--ter-asian"], "--ter-asian alone changes nothing: with --ter-normalized"),
        (["--sentences", "--by-length"], "--sentences and --by-length write different tables"),
        (["--chrf-word-order", "-1"], "chrF word order -1 is below 0; 0 is chrF, 2 is chrF++"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(
    options: list[str], message: str
) -> None:
    assert message in failure("--reference", "absent", *options)


def test_a_missing_tokenizer_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    with pytest.raises(InputError, match=r"needs an extra package: .*sacrebleu\[ja\]"):
        score(["a"], [["a"]], options=ScoreOptions(tokenize="ja-mecab"))


def test_text_that_looks_tokenized_gives_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokenized"
    path.write_text("a b c d .\n" * 100)
    result = run("--reference", str(path), "--hypothesis", str(path))
    assert "the text looks tokenized" in result.stderr
    assert result.stderr.count("\n") == 1
    with caplog.at_level(logging.WARNING):
        score(["a b ."] * 100, [["a b ."] * 100])
    assert caplog.records == []  # validation during training calls this often


def test_unequal_sequences_are_refused() -> None:
    with pytest.raises(InputError, match="hypotheses has 1 line but reference 2 has 2"):
        score(["a"], [["a"], ["a", "b"]])


@pytest.mark.parametrize("options", [[], ["--as-sacrebleu"]], ids=["ours", "as-sacrebleu"])
def test_two_translations_are_compared_as_sacrebleu_does(
    files: dict[str, str], options: list[str]
) -> None:
    """Paired bootstrap resampling, as `sacrebleu --paired-bs` has it."""
    other = Path(files["second"]).with_name("other")
    lines = Path(files["hypothesis"]).read_bytes().decode().split("\n")[:-1]
    other.write_text("".join(f"{line.replace('Frau', 'Mann')}\n" for line in lines), newline="\n")
    command = [sys.executable, "-m", "sacrebleu", files["first"], "-m", "bleu", "chrf", "--force"]
    command += ["-i", files["hypothesis"], str(other), "--paired-bs", "--paired-bs-n", "100"]
    done = subprocess.run(
        [*command, "--format", "text", "-w", "4"], capture_output=True, text=True, check=True
    )
    result = run(
        *("-r", files["first"], "--hypothesis", files["hypothesis"], "--compare", str(other)),
        *("--confidence", "100", "--format", "json", *options),
    )
    ours = json.loads(result.stdout)["comparisons"]
    figures = re.findall(r"([0-9.]+) \([0-9.]+ ± ", done.stdout)
    assert figures == [f"{one[key]:.4f}" for key in ("value", "other") for one in ours]
    assert re.findall(r"p = ([0-9.]+)", done.stdout) == [f"{one['p_value']:.4f}" for one in ours]


def test_buckets_hold_the_lines_of_their_length(files: dict[str, str]) -> None:
    arguments = ("-r", files["first"], "--hypothesis", files["hypothesis"], "--by-length")
    result = run(*arguments, "--source", files["second"], "--bucket", "4", "--format", "json")
    [buckets] = json.loads(result.stdout)["by_length"].values()
    texts = {name: Path(file).read_bytes().decode().split("\n") for name, file in files.items()}
    assert sum(bucket["lines"] for bucket in buckets) == 60
    for bucket in buckets:
        rows = [
            row
            for row, line in enumerate(texts["second"][:60])
            if bucket["least"] <= max(1, len(line.split())) <= bucket["most"]
        ]
        hypotheses, references = (
            [texts[name][row] for row in rows] for name in ("hypothesis", "first")
        )
        bleu, _ = score(hypotheses, [references])
        assert bucket["scores"][0]["value"] == bleu.value


def test_a_curve_over_length_is_drawn(files: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'seq2seq-cli[plots]' to draw figures")
    arguments = ("-r", files["first"], "--hypothesis", files["hypothesis"], "--by-length")
    plot = tmp_path / "curve.png"
    assert run(*arguments, "--compare", files["second"], "--plot", str(plot)).exit_code == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_options_by_length_that_do_not_fit_are_refused(files: dict[str, str]) -> None:
    arguments = ("-r", files["first"], "--hypothesis", files["hypothesis"])
    assert "--plot to --by-length" in failure(*arguments, "--plot", "a.png")
    assert "must end in .png or .svg" in failure(*arguments, "--by-length", "--plot", "a.pdf")


@pytest.fixture
def subwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where sacreBLEU has the models of its tokenizers, with one of subwords."""
    import sentencepiece

    folder = tmp_path / "models"
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([SENTENCE] * 50),
        model_prefix=str(folder / "flores200sacrebleuspm"),
        vocab_size=36,
        minloglevel=2,
    )
    (folder / "flores200sacrebleuspm.model").rename(folder / "flores200sacrebleuspm")
    for module in ("sacrebleu.tokenizers.tokenizer_spm", "seq2seq_cli.evaluation.metrics"):
        monkeypatch.setattr(f"{module}.SACREBLEU_DIR", str(tmp_path))
    return folder


def test_spbleu_is_bleu_of_the_subwords_of_flores(subwords: Path) -> None:
    texts = [SENTENCE, "ein Kind"], [["die alte Frau liest", "ein Kind"]]
    [spbleu] = score(*texts, metrics=["spbleu"])
    [bleu] = score(*texts, metrics=["bleu"], options=ScoreOptions(tokenize="flores200"))
    assert (spbleu.metric, spbleu.value, spbleu.signature) == ("spBLEU", bleu.value, bleu.signature)
    assert "|tok:flores200|" in spbleu.signature
    assert spbleu.value != score(*texts, metrics=["bleu"])[0].value


def test_a_broken_model_of_subwords_is_named(subwords: Path) -> None:
    model = subwords / "flores200sacrebleuspm"
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(InputError, match=f"cannot read its model {model}, as after a download"):
        score(["a"], [["a"]], metrics=["spbleu"])


def test_a_model_that_cannot_be_downloaded_is_named(
    subwords: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(url: str, path: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.download_file", fails)
    expected = f"{subwords}/sacrebleu_tokenizer_spm.model"
    with pytest.raises(
        InputError, match=rf"\(no network\).* or put the file https://.* at {expected}"
    ):
        score(["a"], [["a"]], options=ScoreOptions(tokenize="flores101"))


def test_chrf_plus_plus_has_two_words_whatever_the_option() -> None:
    texts = ["the cat sat"], [["the cat lay"]]
    both = score(*texts, metrics=["chrf", "chrf++"])
    assert [each.metric for each in both] == ["chrF2", "chrF2++"]
    options = ScoreOptions(chrf_word_order=2)
    assert both[1] == score(*texts, metrics=["chrf"], options=options)[0]
