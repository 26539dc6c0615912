"""The table of formats is what the commands offer."""

import inspect
from pathlib import Path
from typing import get_args

import pytest

from seq2seq_cli.cli.export import export
from seq2seq_cli.cli.import_run import import_run
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.formats import FORMATS, Format, export_run, format_named


def choices(command: object) -> set[str]:
    """The values of --format."""
    hint = inspect.signature(command).parameters["format_"].annotation  # type: ignore[arg-type]
    return set(get_args(get_args(hint)[0]))


def test_every_format_can_be_chosen() -> None:
    names = {each.name for each in FORMATS}
    assert names <= choices(import_run) - {"auto"}
    assert {each.name for each in FORMATS if each.exports} <= choices(export)


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.name)
def test_every_format_has_the_functions_that_its_row_promises(row: Format) -> None:
    module = row.load()
    assert callable(module.recognises)
    assert callable(module.read)
    assert not row.engine or callable(module.translate_with_original)
    assert not row.exports or callable(row.load_writer().write)


def test_an_unknown_format_gets_the_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--format argos: one of marian, .* is allowed"):
        export_run(tmp_path, tmp_path / "out", "argos")
    with pytest.raises(InputError, match=r"one of .*marian.* is allowed"):
        format_named("onnx")
