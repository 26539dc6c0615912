"""`seq2seq import` makes a run of a model or leaves nothing; a made-up format stands for all."""

import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer.testing

from seq2seq_cli.cli.app import app
from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.model_info import ModelInfo
from seq2seq_cli.interop import formats
from seq2seq_cli.interop.foreign_model import ForeignModel, StoredWeight
from seq2seq_cli.interop.formats import Format
from seq2seq_cli.interop.hub import hub_name, upload
from seq2seq_cli.interop.run_writer import write_run
from seq2seq_cli.runs.layout import check_run_folder
from seq2seq_cli.runs.new_folder import new_folder
from seq2seq_cli.runs.origin import Origin
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation import TranslationSettings, Translator
from seq2seq_cli.translation.importing import ImportRequest, import_model
from seq2seq_cli.translation.self_check import CheckedLine, _usual_target, two_letters

CONFIG = TransformerConfig(
    width=16, heads=2, feed_forward=24, encoder_layers=1, decoder_layers=1, norm="post"
)
SIGNALS = (signal.SIGINT, signal.SIGTERM)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_NAME = "someone/made-up-en-de"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    lines = ["the committee approved the budget yesterday", "where is the nearest station"]
    return train_tokenizer(lines * 5, TokenizerSettings(vocabulary_size=40)).tokenizer


@pytest.fixture
def model(tokenizer: Tokenizer) -> ForeignModel:
    draw = np.random.default_rng(1)
    shapes = weight_shapes(CONFIG, Tokenizers(tokenizer, tokenizer).vocabulary)
    return ForeignModel(
        config=CONFIG,
        tokenizers=Tokenizers(tokenizer, tokenizer),
        weights={
            name: StoredWeight.of(draw.normal(0, 0.5, shape).astype(np.float16))
            for name, shape in shapes.items()
        },
        data=DataConfig(source_language="en"),
        origin=Origin(format="made-up", model="MadeUpModel", licence="cc-by-nc-4.0"),
        search={"beam": 3, "length_penalty": "power"},
        notes=("a note of the reader",),
    )


@pytest.fixture
def _made_up(model: ForeignModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format of folders with a file made-up.bin, whose content says which model it holds."""

    def recognises(path: Path) -> bool:
        return (path / "made-up.bin").is_file()

    def read(path: Path) -> ForeignModel:
        if (path / "made-up.bin").read_text() == "broken":
            raise InputError(f"{path / 'made-up.bin'} is damaged")
        return MODELS.get((path / "made-up.bin").read_text(), lambda each: each)(model)

    def translate_with_original(path: Path, lines: list[str], beam: int) -> list[str]:
        assert recognises(path)
        assert beam == 1
        return [f"{line}?" if line.startswith("where") else "?" for line in lines]

    module = SimpleNamespace(
        recognises=recognises, read=read, translate_with_original=translate_with_original
    )
    monkeypatch.setitem(sys.modules, "seq2seq_cli.interop.made_up", module)  # type: ignore[arg-type]
    rows = (Format("made-up", "a made-up format", "made_up", engine="numpy"), *formats.FORMATS)
    monkeypatch.setattr(formats, "FORMATS", rows)


def with_weight(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    def changed(model: ForeignModel) -> ForeignModel:
        array = change(np.array(model.weights[name].read()))
        return replace(model, weights={**model.weights, name: StoredWeight.of(array)})

    return changed


def not_a_number(array: np.ndarray) -> np.ndarray:
    array[0, 0] = np.nan
    return array


EMBEDDING, INNER = "target_embedding.weight", "encoder.0.feed_forward.inner.weight"
MODELS: dict[str, Callable[[ForeignModel], ForeignModel]] = {
    "NaN": with_weight(INNER, not_a_number),
    "another shape": with_weight(INNER, lambda array: array[:-1]),
    "more tokens than rows": with_weight(EMBEDDING, lambda array: array[:-3]),
    "a weight too few": lambda model: replace(
        model, weights={name: each for name, each in model.weights.items() if name != INNER}
    ),
    "a weight too many": with_weight(INNER, lambda array: array),
}
REASONS = {
    "broken": r"made-up\.bin is damaged",
    "NaN": f"{INNER} holds NaN or infinity",
    "another shape": rf"{INNER} is \[23, 16\], \[24, 16\] by its settings",
    "more tokens than rows": rf"{EMBEDDING} is \[\d+, 16\], \[\d+, 16\] by its settings",
    "a weight too few": f"lacks weight {INNER}",
}


def written(folder: Path, content: str = "sound") -> Path:
    folder.mkdir()
    (folder / "made-up.bin").write_text(content)
    return folder


def translations(run: Path) -> list[str]:
    found = Translator.load(run).translate(["the budget", "the nearest station"])
    return [each.as_jsonl(1) for each in found]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("_made_up")
def test_an_imported_model_is_a_run_that_says_where_it_came_from(
    tmp_path: Path, model: ForeignModel
) -> None:
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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the hub with no model in it, and no network; returns a snapshot's folder."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / f"models--{HUB_NAME.replace('/', '--')}" / "snapshots" / COMMIT


def cached(snapshot: Path, content: Path | str = "sound") -> None:
    """Put a model into the cache."""
    snapshot.parent.mkdir(parents=True)
    if isinstance(content, Path):
        shutil.copytree(content, snapshot)
    else:
        written(snapshot, content)
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT)


@pytest.mark.usefixtures("_made_up")
def test_a_model_in_the_cache_of_the_hub_is_imported_without_a_network(
    cache: Path, tmp_path: Path
) -> None:
    cached(cache)
    result = typer.testing.CliRunner().invoke(app, ["import", HUB_NAME, "run"])
    assert result.exit_code == 0, result.output
    address = f"https://huggingface.co/{HUB_NAME}"
    assert import_model(ImportRequest(address), tmp_path / "again").source == HUB_NAME
    assert f"run: made of {HUB_NAME} (MadeUpModel, revision {COMMIT[:12]})" in result.stderr
    assert "cc-by-nc-4.0 forbids commercial use" in result.stderr
    origin = RunFolder(tmp_path / "run").config.facts().origin
    assert origin is not None
    assert (origin.source, origin.revision) == (HUB_NAME, COMMIT)


@pytest.mark.usefixtures("cache")
def test_a_model_that_is_neither_in_the_cache_nor_to_be_had_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, and the model is not in the cac"):
        import_model(ImportRequest(HUB_NAME), tmp_path / "run")
    with pytest.raises(InputError, match=rf"{HUB_NAME}, revision v2: no such"):
        import_model(ImportRequest(HUB_NAME, revision="v2"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_made_up")
def test_a_run_comes_back_from_the_hub_as_it_was_pushed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded: dict[str, Any] = {}

    class Hub:
        def create_repo(self, name: str, **how: object) -> str:
            return f"https://hub/{name}"

        def upload_folder(
            self, *, folder_path: Path, allow_patterns: list[str], **how: Any
        ) -> None:
            uploaded["files"] = [path for path in files(folder_path) if path.name in allow_patterns]

        def upload_file(self, *, path_or_fileobj: bytes, **how: object) -> None:
            uploaded["card"] = path_or_fileobj

    run = tmp_path / "run"
    import_model(ImportRequest(str(written(tmp_path / "model"))), run)
    (run / "training").mkdir()
    (run / "training" / "finished.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    result = typer.testing.CliRunner().invoke(app, ["push", str(run), HUB_NAME])
    assert result.exit_code == 0, result.output
    assert "https://hub/" in result.stderr
    assert b"license: cc-by-nc-4.0" in uploaded["card"]
    names = {path.name for path in uploaded["files"]}
    assert names == {"config.toml", "model.safetensors", "tokenizer.model"}
    (tmp_path / "pushed").mkdir()
    for path in uploaded["files"]:
        shutil.copy(path, tmp_path / "pushed")
    cached(cache, tmp_path / "pushed")
    back = tmp_path / "back"
    assert import_model(ImportRequest(HUB_NAME), back).licence == "cc-by-nc-4.0"
    assert translations(back) == translations(run)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://huggingface.co/me/my-model", ("me/my-model", "")),
        ("huggingface.co/me/my-model/tree/v1.0/", ("me/my-model", "v1.0")),
        ("https://hf.co/me/my-model?library=x", ("me/my-model", "")),
        ("me/my-model", ("me/my-model", "")),
        ("https://example.org/me/my-model", ("https://example.org/me/my-model", "")),
    ],
)
def test_an_address_of_the_hub_is_as_good_as_a_name(address: str, name: tuple[str, str]) -> None:
    assert hub_name(address) == name


@pytest.mark.parametrize(
    ("status", "kind", "helps"),
    [(401, "HfHubHTTPError", True), (500, "HfHubHTTPError", False), (None, "ConnectError", False)],
)
def test_an_upload_that_fails_names_the_login_where_it_helps(
    status: int | None, kind: str, helps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hub:
        def create_repo(self, name: str, **how: object) -> str:
            error = type(kind, (Exception,), {})("so it is")
            error.response = status and SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
            raise error

    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    with pytest.raises(InputError, match="so it is") as caught:
        upload(tmp_path, HUB_NAME, card="")
    assert ("hf auth login" in str(caught.value)) == helps
    assert ("cannot be reached" in str(caught.value)) == (status is None)


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


@pytest.mark.parametrize(
    ("search", "said"),
    [({"length_penalty": "power"}, False), ({"length_penalty": "power", "beam": 3}, True)],
)
@pytest.mark.usefixtures("_made_up")
def test_only_what_an_author_chose_is_said_when_translating(
    search: dict[str, Any], said: bool, tmp_path: Path, model: ForeignModel
) -> None:
    run = tmp_path / "run"
    write_run(replace(model, search=search), run)
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


class Panic(BaseException):
    """As those of Rust, which derive from no Exception."""


def original(monkeypatch: pytest.MonkeyPatch, translate: Callable[..., Any]) -> None:
    """Let the made-up engine translate so."""
    module = sys.modules["seq2seq_cli.interop.made_up"]
    monkeypatch.setattr(module, "translate_with_original", translate)


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
