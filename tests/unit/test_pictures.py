"""Pictures of any script: fonts are found, and Arabic is laid out from right to left."""

import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest

from seq2seq_cli.cli.terminal_plots import cell_width, heat_map
from seq2seq_cli.evaluation.attention_maps import AttentionMap
from seq2seq_cli.evaluation.plots import figures, fonts
from seq2seq_cli.evaluation.plots.files import save_attention
from seq2seq_cli.evaluation.scoring import Bucket, Score
from seq2seq_cli.evaluation.writing import is_right_to_left

CHINESE = ("▁我", "喜欢", "苹果", "。", "</s>")
ARABIC = ("▁ذهبت", "▁إلى", "▁البيت", ".", "</s>")
HINDI = ("▁मैं", "▁घर", "▁हूँ", "।", "</s>")
THAI = ("▁ฉันชอบ", "ผู้หญิง", "ที่", "นี่", "</s>")


def attention(source: tuple[str, ...], target: tuple[str, ...] = ("▁a", "b")) -> AttentionMap:
    weights = np.zeros((1, 1, len(target), len(source)), dtype=np.float32)
    weights[..., 0] = 1  # all attend to the first token
    return AttentionMap(source, target, weights)


def unexpected(message: str) -> None:
    raise AssertionError(message)


@pytest.mark.parametrize("source", [CHINESE, ARABIC, HINDI, THAI], ids=["zh", "ar", "hi", "th"])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_pictures_are_drawn_in_fonts_that_have_the_characters(
    source: tuple[str, ...], suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, without_font = fonts.families_for("".join(source), ["DejaVu Sans"])
    if without_font:
        pytest.skip(f"no installed font has {without_font}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_attention([attention(source)], tmp_path / f"a{suffix}", "title", warn=unexpected)
    assert (tmp_path / f"a{suffix}").stat().st_size > 5000
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("source", "package"), [(CHINESE, "fonts-noto-cjk"), (THAI, "fonts-noto-core")]
)
def test_characters_without_a_font_are_said_once_with_the_package_that_has_one(
    source: tuple[str, ...],
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fonts, "_fonts_with", lambda character: [])
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_attention([attention(source)], tmp_path / "a.png", "title", warn=said.append)
    (message,) = said
    assert message.startswith("no installed font has ")
    assert f"package {package}," in message
    assert capfd.readouterr().err == ""


def test_without_fontconfig_installed_fonts_are_searched_by_matplotlib(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    found = fonts._fonts_with("a")
    assert all(Path(path).is_file() for path in found)
    assert fonts.families_for("abc ▁ĝж", ["DejaVu Sans"]) == (["DejaVu Sans"], "")


def test_markers_of_equal_scores_lie_within_the_axes() -> None:
    scores = [Bucket(row, row + 9, 5, [Score("BLEU", 100.0, "", "")]) for row in (1, 11)]
    [axis] = figures.length_figure({"a": scores}).axes
    low, high = axis.get_ylim()
    assert low == 0
    assert high > 104  # a marker is 6 points high, the axis about 250


def test_the_first_token_of_arabic_is_at_the_right() -> None:
    assert is_right_to_left(ARABIC)
    assert not is_right_to_left(CHINESE)
    assert not is_right_to_left((".", "123"))
    for source, is_inverted in ((ARABIC, True), (HINDI, False)):
        drawing = figures.attention_figure([attention(source)], None, None)
        assert drawing.axes[0].xaxis_inverted() == is_inverted


def rows(source: tuple[str, ...], target: tuple[str, ...]) -> list[str]:
    drawn = attention(source, target)
    weights = drawn.mean(None, None).tolist()
    return list(heat_map(source, target, weights, colour=False))


def test_a_terminal_shows_arabic_from_right_to_left_and_reorders_nothing_else() -> None:
    lines = rows(ARABIC, ("من", "a"))
    assert lines[-1] == " a " + " " * 8 + "██"
    assert lines[-2] == "\u2068من\u2069 " + " " * 8 + "██"
    for line in lines[:-2]:
        is_arabic = any(unicodedata.bidirectional(letter) == "AL" for letter in line)
        assert is_arabic == (line.startswith("\u202d") and line.endswith("\u202c"))
    assert rows(CHINESE, ("a",))[-1].startswith("a ██")


def test_signs_stay_with_their_letters_and_take_no_column() -> None:
    assert [cell_width(text) for text in ("ที่", "हूँ", "é", "我", "e\u0301", "\u2068a\u2069")] == [
        1,
        1,
        1,
        2,
        1,
        1,
    ]
    last = rows(("ที่", "हूँ", "我"), ("a",))[-2]
    assert last == "  ที่ हूँ 我"


def test_pages_give_every_piece_its_direction(tmp_path: Path) -> None:
    save_attention([attention(ARABIC)], tmp_path / "a.html", "title")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "ذهبت" in page
    assert page.count('.dir = "auto"') == 4  # in lists, at both sides of the table, in the menu
    assert page.count(".dir = direction(") == 2
