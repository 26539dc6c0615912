"""Packages of Argos as runs."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from seq2seq_cli.errors import InputError
from seq2seq_cli.interop import argos
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.translation.importing import ImportRequest, import_model
from tests.unit.ctranslate2_models import foreign_model, random_lines, sentencepiece_model


@pytest.fixture(scope="module")
def models() -> tuple[bytes, bytes]:
    """The SentencePiece models of two sides."""
    return sentencepiece_model(40, 1), sentencepiece_model(36, 2)


def _package(folder: Path, models: tuple[bytes, bytes], **metadata: object) -> Path:
    package = folder / "translate-en_de-1_9"
    foreign_model("opennmt-py", folder / "made", models)
    (folder / "made" / "sentencepiece.model").unlink()
    package.mkdir()
    shutil.move(folder / "made", package / "model")
    (package / "sentencepiece.model").write_bytes(models[0])
    given = {"from_code": "en", "to_code": "de", "package_version": "1.9", **metadata}
    (package / "metadata.json").write_text(json.dumps(given))
    return package


def test_a_package_of_argos_is_a_run(models: tuple[bytes, bytes], tmp_path: Path) -> None:
    package, archive = _package(tmp_path, models), tmp_path / "en_de.argosmodel"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in package.rglob("*"):
            packed.write(path, path.relative_to(tmp_path))
    run = tmp_path / "run"
    origin = import_model(ImportRequest(str(archive), verify=random_lines(10, 3)), run)
    assert (origin.format, origin.model) == ("argos", "en-de 1.9")
    assert origin.verified.startswith("10 of 10 lines equal")
    loaded = RunFolder(run)
    data = loaded.load_config().data
    assert (data.source_language, data.source_eos) == ("en", False)
    assert loaded.config.facts().search == {"beam": 4, "length_penalty": "power", "alpha": 0.2}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"type": "sbd"}, "type = 'sbd'; translate is what can be imported"),
        ({"from_code": None}, "lacks from_code"),
        ({"to_code": "../x"}, "to_code = '../x'"),
        ({"target_prefix": ">>por<<"}, "begin with '>>por<<' .target_prefix."),
    ],
)
def test_packages_that_are_no_translation_models_are_refused(
    metadata: dict[str, object], message: str, models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    package = _package(tmp_path, models, **metadata)
    assert argos.recognises(package)
    with pytest.raises(InputError, match=message):
        argos.read(package)


def test_a_package_whose_words_another_tool_cuts_is_refused(
    models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    package = _package(tmp_path, models)
    (package / "sentencepiece.model").rename(package / "bpe.model")
    with pytest.raises(InputError, match="cut by Moses and subword-nmt"):
        argos.read(package)
