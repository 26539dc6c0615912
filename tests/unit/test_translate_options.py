"""`seq2seq translate` hands every option on: to search, and to the settings of the translator."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from seq2seq_cli.cli.app import app
from seq2seq_cli.cli.options import CommandLineSearch
from seq2seq_cli.search import SearchOptions
from seq2seq_cli.translation import TranslationSettings, Translator

ROOT = Path(__file__).parents[2]

# A value for each field that is not its default. Beam search and sampling exclude each other.
BEAM: dict[str, Any] = {
    "beam": 7,
    "n_best": 3,
    "length_penalty": "power",
    "alpha": 0.5,
    "coverage_penalty": 0.2,
    "repetition_penalty": 1.5,
    "no_repeat_ngram": 4,
    "min_ratio": 0.5,
    "max_ratio": 1.5,
    "max_extra": 9,
}
SAMPLING: dict[str, Any] = {
    "sample": True,
    "temperature": 0.7,
    "top_k": 8,
    "top_p": 0.9,
    "seed": 5,
}
MACHINE: dict[str, Any] = {
    "weights": (2.0, 1.0),
    "target_language": "de",
    "unknown": "keep",
    "split_sentences": "on",
    "source_language": "en",
    "precision": "bfloat16",
    "shortlist": True,
    "device": "cpu",
    "batch_tokens": 77,
    "workers": 2,
}


class LoadedError(Exception):
    """Carries the settings that runs would be loaded with."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a run; loading it raises the settings."""

    def load(runs: object, settings: TranslationSettings) -> Translator:
        raise LoadedError(settings)

    monkeypatch.setattr(Translator, "load", load)
    sections = ("data", "tokenizer", "model", "training", "vocabulary", "sha256")
    (tmp_path / "config.toml").write_text("".join(f"[{section}]\n" for section in sections))
    return tmp_path


def loaded(run: Path, *arguments: str) -> TranslationSettings:
    """The settings that the command loads a run with."""
    result = CliRunner().invoke(app, ["translate", str(run), "--format", "tsv", *arguments])
    assert isinstance(result.exception, LoadedError), result.exception or result.output
    return result.exception.args[0]


def written(values: dict[str, Any]) -> list[str]:
    """Fields as options of the same names."""
    arguments = []
    for name, value in values.items():
        arguments.append(f"--{name.replace('_', '-')}")
        if isinstance(value, tuple):
            arguments.append(",".join(map(str, value)))
        elif value is not True:
            arguments.append(str(value))
    return arguments


@pytest.mark.parametrize("values", [BEAM, SAMPLING], ids=["beam", "sampling"])
def test_every_option_of_search_is_handed_on(values: dict[str, Any], run: Path) -> None:
    assert loaded(run, *written(values)).search == CommandLineSearch(**values)


def test_an_imported_run_is_searched_as_by_its_author_unless_options_say_otherwise(
    run: Path,
) -> None:
    with (run / "config.toml").open("a") as config:
        config.write('[search]\nbeam = 6\nlength_penalty = "power"\nalpha = 0.6\n')
    assert loaded(run).search == CommandLineSearch(beam=6, length_penalty="power", alpha=0.6)
    given = ("--beam", "5", "--length-penalty", "gnmt")
    assert loaded(run, *given).search == CommandLineSearch(beam=5)  # the penalty has its own alpha
    assert loaded(run, "--sample").search == CommandLineSearch(sample=True)


def test_every_setting_of_a_translator_is_handed_on(run: Path) -> None:
    given = [*written(MACHINE), "--beam", "2", "--alignment", str(run / "pairs")]
    search = CommandLineSearch(beam=2)
    assert loaded(run, *given) == TranslationSettings(
        search=search, alignments="required", **MACHINE
    )
    assert loaded(run, "--format", "jsonl").alignments == "if-possible"
    assert loaded(run, "--no-split-sentences").split_sentences == "off"


def test_each_field_has_a_value_here_that_is_not_its_default() -> None:
    for kind, values in (
        (SearchOptions, BEAM | SAMPLING),
        (TranslationSettings, MACHINE | {"search": SearchOptions(2), "alignments": "required"}),
    ):
        defaults = {each.name: getattr(kind, each.name) for each in fields(kind)}
        assert values.keys() == defaults.keys()
        assert [name for name in values if values[name] == defaults[name]] == []


def test_every_option_of_search_is_explained_in_its_page() -> None:
    page = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    names = [f"--{each.name.replace('_', '-')}" for each in fields(SearchOptions)]
    assert [name for name in names if f"`{name}" not in page] == []
