"""Presets are listed with a description and printed unchanged; a wrong name gets the nearest."""

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seq2seq_cli.cli.app import app
from seq2seq_cli.config import presets
from seq2seq_cli.errors import InputError

TINY = '# A model for the first minute.\n# More about it.\n[model]\narchitecture = "rnn" # Größe\n'


@pytest.fixture
def two_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    (tmp_path / "bahdanau-2015.toml").write_text("\n# Attention.\n", encoding="utf-8")
    (tmp_path / "__init__.py").touch()
    monkeypatch.setattr(presets, "files", lambda package: tmp_path)


@pytest.mark.usefixtures("two_presets")
def test_lists_names_with_descriptions() -> None:
    result = CliRunner().invoke(app, ["presets"])
    assert result.stdout == (
        "bahdanau-2015  Attention.\ntiny           A model for the first minute.\n"
    )


@pytest.mark.usefixtures("two_presets")
def test_prints_the_file_as_it_is() -> None:
    assert CliRunner().invoke(app, ["presets", "tiny"]).stdout == TINY


@pytest.mark.usefixtures("two_presets")
def test_unknown_name_suggests_the_nearest() -> None:
    error = CliRunner().invoke(app, ["presets", "tyny"]).exception
    assert isinstance(error, InputError)
    assert str(error) == (
        "unknown preset 'tyny'; did you mean tiny? allowed are bahdanau-2015, tiny"
    )


def test_every_preset_is_toml_with_a_description() -> None:
    for name in presets.names():
        text = presets.read(name)
        assert tomllib.loads(text), name
        assert presets.description(text), name
