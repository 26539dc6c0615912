"""`seq2seq import` makes a run of a model or leaves nothing; a made-up format stands for all."""

import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest

from seq2seq_cli.cli.app import app
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.model_info import ModelInfo
from seq2seq_cli.runs.layout import check_run_folder
from seq2seq_cli.runs.new_folder import new_folder
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.translation import TranslationSettings, Translator
from seq2seq_cli.translation.importing import ImportRequest, import_model
from tests.integration.made_up_format import (
    EMBEDDING,
    INNER,
    files,
    install_made_up_format,
    made_up_model,
    written,
)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REASONS = {
    "broken": r"made-up\.bin is damaged",
    "NaN": f"{INNER} holds NaN or infinity",
    "another shape": rf"{INNER} is \[23, 16\], \[24, 16\] by its settings",
    "more tokens than rows": rf"{EMBEDDING} is \[\d+, 16\], \[\d+, 16\] by its settings",
    "a weight too few": f"lacks weight {INNER}",
}


@pytest.fixture
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    install_made_up_format(monkeypatch)


@pytest.mark.usefixtures("_made_up")
def test_an_imported_model_is_a_run_that_says_where_it_came_from(
    tmp_path: Path,
) -> None:
    model = made_up_model()
    source, run = written(tmp_path / "model"), tmp_path / "run"
    said: list[str] = []
    origin = import_model(ImportRequest(str(source)), run, note=said.append)
    expected = Origin("made-up", "MadeUpModel", str(source), licence="cc-by-nc-4.0")
    facts = RunFolder(run).config.facts()
    assert origin == facts.origin == expected
    assert facts.search == model.search
    assert said[0] == "a note of the reader"
    assert [line.startswith("check: ") for line in said[1:]] == [True, True]
    translator = Translator.load(run)
    assert translator.settings.search.beam == 3
    settings = TranslationSettings(search=SearchOptions())
    assert Translator.load(run, settings).settings.search.beam == SearchOptions.beam
    assert translator.splits_sentences
    shown = ModelInfo.of_run(run).as_text()
    began = f"began as         {source} (MadeUpModel)\nlicence          cc-by-nc-4.0\n"
    assert shown.startswith(began)
    assert "search           beam 3, length_penalty power, unless options say otherwise" in shown
    plain = RunFolder(run).load_plain_model()
    assert plain.stored is not None
    assert all(
        np.array_equal(plain.stored[name], each.read()) and plain.stored[name].dtype == np.float16
        for name, each in model.weights.items()
    )
    assert [path.name for path in files(tmp_path)] == [
        "made-up.bin", "config.toml", "model.safetensors", "tokenizer.model"
    ]  # fmt: skip


@pytest.mark.usefixtures("_made_up")
@pytest.mark.parametrize("content", REASONS)
def test_a_bad_model_is_refused_with_file_and_reason_and_leaves_nothing(
    content: str, tmp_path: Path
) -> None:
    source = written(tmp_path / "model", content)
    with pytest.raises(InputError, match=REASONS[content]) as caught:
        import_model(ImportRequest(str(source)), tmp_path / "run")
    assert str(source) in str(caught.value)
    assert files(tmp_path) == [source / "made-up.bin"]
    assert not (tmp_path / "run").exists()


def zipped(path: Path, name: str = "folder/made-up.bin") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "sound")
    return path


@pytest.mark.usefixtures("_made_up")
def test_an_archive_is_imported_and_what_was_unpacked_removed(tmp_path: Path) -> None:
    path, run = zipped(tmp_path / "opus.zip"), tmp_path / "run"
    assert import_model(ImportRequest(str(path)), run).source == str(path)
    assert "source" not in [each.name for each in run.iterdir()]
    assert [each for each in tmp_path.iterdir() if each not in (path, run)] == []


@pytest.mark.usefixtures("_made_up")
def test_an_archive_that_writes_elsewhere_leaves_nothing(tmp_path: Path) -> None:
    path = zipped(tmp_path / "evil.zip", "../made-up.bin")
    with pytest.raises(InputError, match="would lie outside"):
        import_model(ImportRequest(str(path)), tmp_path / "run")
    assert files(tmp_path) == [path]


def test_a_folder_that_cannot_be_made_is_named_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "run"
    with pytest.raises(InputError, match=rf"^{path} cannot be made: "), new_folder(path):
        pass
    with (
        pytest.raises(FileNotFoundError, match=rf"'{tmp_path}/run/a/b'"),
        new_folder(tmp_path / "run") as folder,
    ):
        (folder / "a" / "b").touch()


@pytest.mark.usefixtures("_made_up")
def test_what_is_said_of_an_archive_names_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "opus.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made-up.bin", "broken")
    with pytest.raises(InputError) as caught:
        import_model(ImportRequest(str(path)), tmp_path / "run")
    assert str(caught.value) == f"{path}/made-up.bin is damaged"


MISNAMED: dict[str, tuple[str, str, str]] = {
    "weights": ("hf/model.safetensors", "auto", "(Hugging Face); name their folder, hf"),
    "settings": ("hf/config.json", "auto", "(Hugging Face); name their folder, hf"),
    "no settings": ("weights", "auto", "weights/config.json is missing, beside model.safetensors"),
    "only weights": ("weights/model.safetensors", "auto", "config.json is missing, beside model."),
    "no type": ("no-type", "auto", "no-type/config.json names no model_type"),
    "tar": ("model.tar.gz", "auto", "only zip is unpacked; unpack it (tar -xf model.tar.gz) and"),
    "tar of a format": ("model.tar.gz", "marian", "only zip is unpacked"),
    "7z": ("model.7z", "auto", "only zip is unpacked; unpack it and name"),
    "firefox": ("hf", "firefox", "hf is a model of Hugging Face; give --format huggingface, or n"),
    "marian": ("model", "marian", "model is a model of a made-up format; give --format made-up, o"),
    "none": ("empty", "firefox", "empty is no whole model of Firefox: it has no model, model.bin,"),
}


@pytest.mark.usefixtures("_made_up")
@pytest.mark.parametrize("name", MISNAMED)
def test_a_source_that_is_nearly_a_model_is_answered_with_what_to_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "model")
    for folder in ("hf", "weights", "no-type", "empty"):
        (tmp_path / folder).mkdir()
        if folder != "empty":
            (tmp_path / folder / "model.safetensors").touch()
    Path("hf/config.json").write_text('{"model_type": "marian"}')
    Path("no-type/config.json").write_text("{}")
    for archive in ("model.tar.gz", "model.7z"):
        Path(archive).touch()
    source, format_, message = MISNAMED[name]
    with pytest.raises(InputError) as caught:
        import_model(ImportRequest(source, format_), Path("run"))
    assert message in str(caught.value)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ImportRequest("model", revision="v1"), "--revision v1 is for models on the hub"),
        (ImportRequest("modle"), r"modle: no such file or folder; did you mean model\?$"),
        (ImportRequest("opus"), "opus: no such file or folder; a model on the hub is named OWNER/"),
        (ImportRequest("../a/b"), "no such file or folder"),
        (ImportRequest("https://example.org/a.zip"), "only https://huggingface.co/OWNER/NAME is f"),
        (ImportRequest("empty"), "empty: no model of a known format is here"),
    ],
)
@pytest.mark.usefixtures("_made_up")
def test_a_source_that_is_no_model_is_named(
    request_: ImportRequest, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        import_model(request_, Path("run"))
    assert not Path("run").exists()


@pytest.mark.usefixtures("_made_up")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", ["import", "export"])
def test_a_signal_leaves_nothing_half_written(
    command: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of a large model would take up gigabytes, under a name that nobody looks for."""

    def interrupt(*arguments: object, **options: object) -> None:
        assert any(path.name.endswith(".tmp") for path in tmp_path.iterdir())
        os.kill(os.getpid(), number)

    import_model(ImportRequest(str(written(tmp_path / "model"))), tmp_path / "run")
    monkeypatch.setattr("seq2seq_cli.translation.importing._check", interrupt)
    monkeypatch.setattr("seq2seq_cli.interop.ctranslate2.writer.write", interrupt)
    before, handlers = set(tmp_path.iterdir()), [signal.getsignal(each) for each in SIGNALS]
    source = "model" if command == "import" else "run"
    with pytest.raises(SystemExit) as ended:
        app([command, str(tmp_path / source), str(tmp_path / "new")], standalone_mode=False)
    assert ended.value.code == 128 + number
    assert set(tmp_path.iterdir()) == before
    assert [signal.getsignal(each) for each in SIGNALS] == handlers


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model", "it has no config.toml; seq2seq import model RUN makes a run of a model of anot"),
        ("Owner/opus-mt", "seq2seq import Owner/opus-mt RUN makes one of a model on the Hugging"),
        ("runs/mine", "runs/mine: no such run folder$"),
    ],
)
def test_a_model_that_was_not_imported_is_told_from_a_missing_run(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.bin").touch()
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        check_run_folder(Path(name))


def test_a_folder_that_holds_something_is_not_overwritten(tmp_path: Path) -> None:
    source = written(tmp_path / "model")
    with pytest.raises(InputError, match="exists already"):
        import_model(ImportRequest(str(source)), source)
    assert files(tmp_path) == [source / "made-up.bin"]
