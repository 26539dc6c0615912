"""What an imported run is checked with: the original engine, and a few sentences."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.testing

from seq2seq_cli.cli.app import app
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop import formats
from seq2seq_cli.interop.formats import Format
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.translation.importing import ImportRequest, import_model
from seq2seq_cli.translation.self_check import CheckedLine, _usual_target, two_letters
from tests.integration.made_up_format import (
    files,
    install_made_up_format,
    made_up_model,
    translations,
    written,
)


@pytest.fixture
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    install_made_up_format(monkeypatch)


class Panic(BaseException):
    """As those of Rust, which derive from no Exception."""


def original(monkeypatch: pytest.MonkeyPatch, translate: Callable[..., Any]) -> None:
    """Let the made-up engine translate so."""
    module = sys.modules["seq2seq_cli.interop.made_up"]
    monkeypatch.setattr(module, "translate_with_original", translate)


@pytest.mark.usefixtures("_made_up")
def test_a_copy_of_a_run_folder_is_not_called_a_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a run that was imported itself: there is no engine to compare it with."""
    run = tmp_path / "run"
    import_model(ImportRequest(str(written(tmp_path / "model"))), run)
    monkeypatch.setattr(CheckedLine, "fault", lambda line: "is empty")
    warned: list[str] = []
    import_model(ImportRequest(str(run)), tmp_path / "copy", warn=warned.append)
    assert len(warned) == 2
    assert "--verify" not in "".join(warned)
    with pytest.raises(InputError, match="is a run folder"):
        import_model(ImportRequest(str(run), verify=["the budget"]), tmp_path / "another")


@pytest.mark.parametrize(
    ("search", "said"),
    [({"length_penalty": "power"}, False), ({"length_penalty": "power", "beam": 3}, True)],
)
@pytest.mark.usefixtures("_made_up")
def test_only_what_an_author_chose_is_said_when_translating(
    search: dict[str, Any], said: bool, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    write_run(replace(made_up_model(), search=search), run)
    result = typer.testing.CliRunner().invoke(app, ["translate", str(run)], input="the budget\n")
    assert result.exit_code == 0, result.output
    assert ("as its author does" in result.stderr) == said


@pytest.mark.usefixtures("_made_up")
def test_verify_compares_with_the_original_engine_and_records_the_result(tmp_path: Path) -> None:
    source, run = written(tmp_path / "model"), tmp_path / "run"
    lines = ["the budget", "where is the station"]
    warned: list[str] = []
    request = ImportRequest(str(source), verify=lines)
    origin = import_model(request, run, warn=warned.append)
    assert origin.verified == f"0 of 2 lines equal, greedily, to numpy {np.__version__}"
    assert RunFolder(run).config.facts().origin == origin
    (said,) = [each for each in warned if "of the comparison" in each]
    assert said.startswith(
        "numpy translates line 1 of the comparison otherwise: “the budget” is “?” there, and “"
    )


@pytest.mark.usefixtures("_made_up")
@pytest.mark.parametrize("kind", [IndexError, InputError, Panic])
def test_an_engine_that_fails_is_warned_of_and_the_import_kept(
    kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, lines: list[str], beam: int) -> list[str]:
        raise kind("index out of range")

    original(monkeypatch, fail)
    source, run, warned = written(tmp_path / "model"), tmp_path / "run", list[str]()
    origin = import_model(ImportRequest(str(source), verify=["a"]), run, warn=warned.append)
    assert RunFolder(run).config.facts().origin == origin
    assert origin.verified == ""
    assert "nothing was compared, and the run is kept: numpy failed" in warned[-1]
    assert warned[-1].endswith("index out of range")
    assert len(translations(run)) == 2


@pytest.mark.usefixtures("_made_up")
def test_lines_that_are_too_long_for_the_engine_are_counted_and_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["the budget", "where is the station"]
    original(monkeypatch, lambda path, lines, beam: [None, "?"])
    source = written(tmp_path / "model")
    origin = import_model(ImportRequest(str(source), verify=lines), tmp_path / "run")
    assert origin.verified.startswith("0 of 1 line equal, 1 too long for it, greedily, to numpy")
    original(monkeypatch, lambda path, lines, beam: [None, None])
    warned: list[str] = []
    request = ImportRequest(str(source), verify=lines)
    assert not import_model(request, tmp_path / "2", warn=warned.append).verified
    assert "all 2 lines are too long for numpy" in warned[-1]


@pytest.mark.usefixtures("_made_up")
@pytest.mark.parametrize("name", ["auto", "made-up"])
def test_the_engine_to_compare_with_is_looked_for_before_anything_is_converted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Format("made-up", "a made-up format", "made_up", "", "no_such_engine", "pip install it")
    monkeypatch.setattr(formats, "FORMATS", (row, *formats.FORMATS))
    source = written(tmp_path / "model", "broken")  # which reading would complain of
    with pytest.raises(InputError, match="no_such_engine is not installed; pip install it inst"):
        import_model(ImportRequest(str(source), name, verify=["a"]), tmp_path / "run")
    monkeypatch.setattr(formats, "FORMATS", (row,))
    with pytest.raises(InputError, match="none of no_such_engine is installed"):
        import_model(ImportRequest("someone/not-downloaded", verify=["a"]), tmp_path / "run")
    assert files(tmp_path) == [source / "made-up.bin"]


def test_languages_to_check_with_are_those_that_models_know_well() -> None:
    languages = ["ace_Arab", "deu_Latn", "eng_Latn", "fra_Latn"]
    assert _usual_target(languages, "en") == "deu_Latn"
    assert _usual_target(languages, "de") == "fra_Latn"
    assert _usual_target(["ace_Arab", "eng_Latn"], "en") == "ace_Arab"
    assert _usual_target(["en"], "en") == "en"


def test_a_translation_that_shows_a_broken_conversion_is_warned_of() -> None:
    source = "Where is the nearest station?"
    faults = {
        "Wo ist der nächste Bahnhof?": "",
        " ": "is empty",
        " . ": "has no word",
        "駅はどこですか": "",
        "der der der der der der der": "repeats itself",
        "where is the station?": "is made of the words of its source",
    }
    assert {text: CheckedLine(source, text).fault() for text in faults} == faults
    assert [two_letters(code) for code in ("deu", "pt-BR", "cmn_Hans", "")] == [
        "de", "pt", "cmn", ""
    ]  # fmt: skip


@pytest.mark.usefixtures("_made_up")
def test_a_fine_tuned_run_keeps_origin_and_search_but_not_the_comparison(tmp_path: Path) -> None:
    run = tmp_path / "run"
    import_model(ImportRequest(str(written(tmp_path / "model")), verify=["the budget"]), run)
    from seq2seq_cli.training.fine_tuning import PretrainedRun

    facts = PretrainedRun(RunFolder(run)).inherited_facts()
    own = RunFolder(run).config.facts()
    assert own.origin is not None
    assert facts.origin == replace(own.origin, verified="")
    assert facts.search == own.search
