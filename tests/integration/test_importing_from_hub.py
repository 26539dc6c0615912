"""`seq2seq import` of models on the Hugging Face hub, from its cache on this machine."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.testing

from seq2seq_cli.cli.app import app
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.hub import hub_name, upload
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.translation.importing import ImportRequest, import_model
from tests.integration.made_up_format import files, install_made_up_format, translations, written

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_NAME = "someone/made-up-en-de"


@pytest.fixture
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    install_made_up_format(monkeypatch)


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
