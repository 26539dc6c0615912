"""What the hub may answer, by a server on this machine: a run, or one sentence and nothing else."""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from seq2seq_cli.cli.app import run
from seq2seq_cli.runs.layout import RUN_CONFIG, TOKENIZERS, WEIGHTS

constants = pytest.importorskip("huggingface_hub.constants")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "someone/en-de"
Answer = tuple[int, dict[str, str], bytes]
Fault = Callable[[str], Answer | None]  # of a path: None where the hub answers as it should


class Hub(ThreadingHTTPServer):
    """Serves the files of one model as the hub does, with a fault if there is one."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.fault, self.sent = files, no_fault, list[str]()
        super().__init__(("127.0.0.1", 0), Handler)

    def answer(self, path: str) -> Answer:
        if (fault := self.fault(path)) is not None:
            return fault
        hashes = {name: hashlib.sha1(data).hexdigest() for name, data in self.files.items()}
        if f"/models/{NAME}/revision/" in path:
            return as_json({"id": NAME, "sha": COMMIT, "siblings": siblings(hashes)})
        if f"/models/{NAME}/tree/" in path:
            entries = hashes.items()
            return as_json(
                [
                    {"type": "file", "path": name, "size": len(self.files[name]), "oid": digest}
                    for name, digest in entries
                ]
            )
        name = path.rpartition(f"/resolve/{COMMIT}/")[2]
        if name not in self.files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashes[name]}"'}, self.files[name]


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *arguments: object) -> None: ...

    def do_HEAD(self) -> None:
        self.reply(with_data=False)

    def do_GET(self) -> None:
        self.reply(with_data=True)

    def reply(self, *, with_data: bool) -> None:
        status, headers, data = self.server.answer(urlsplit(self.path).path)
        size = int(headers.pop("Content-Length", len(data)))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(size)}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_data:
            self.server.sent.append(self.path.rpartition("/")[2])
            self.wfile.write(data)


def no_fault(path: str) -> None: ...


def as_json(content: object) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def siblings(names: dict[str, str]) -> list[dict[str, str]]:
    return [{"rfilename": name} for name in names]


def status(number: int, code: str = "", where: str = "/api/models/") -> Fault:
    """A fault: this status, with the hub's own code, for paths with `where` in them."""
    headers = {"X-Error-Code": code} if code else {}
    return lambda path: (number, dict(headers), b"{}") if where in path else None


def log_in_page(path: str) -> Answer:
    return 200, {"Content-Type": "text/html"}, b"<html>Log in to the network</html>"


FAULTS: dict[str, tuple[Fault, str]] = {
    "unknown": (status(401, "RepoNotFound"), "the hub has no such model, or a private one"),
    "missing": (status(404, "RepoNotFound"), "the hub has no such model, or a private one"),
    "gated": (status(403, "GatedRepo"), "accept them on its page, then log in"),
    "gated files": (status(401, "GatedRepo", WEIGHTS), "accept them on its page, then log in"),
    "no revision": (status(404, "RevisionNotFound"), "has no revision v2; give a branch"),
    "login": (status(401), "does not take the login (HTTP 401)"),
    "forbidden": (status(403), "refuses access (HTTP 403)"),
    "too many": (status(429), "too many requests (HTTP 429); wait some minutes"),
    "fault": (status(500), "the hub has a fault of its own (HTTP 500); try again later"),
    "fault of files": (status(503, where=WEIGHTS), "the hub has a fault of its own (HTTP 503)"),
    "a file is gone": (status(404, "EntryNotFound", WEIGHTS), "(HTTP 404)"),
    "another server": (log_in_page, "what answers is not the hub"),
}


@pytest.fixture
def hub(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a run, and an empty cache."""
    names = (RUN_CONFIG, WEIGHTS, *TOKENIZERS)
    hub = Hub({name: (trained / name).read_bytes() for name in names if (trained / name).is_file()})
    address = f"http://127.0.0.1:{hub.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "ENDPOINT", address)  # which HF_ENDPOINT sets when it is read
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # before it is tried again
    monkeypatch.chdir(tmp_path)
    threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True).start()
    yield hub
    hub.shutdown()
    hub.server_close()


@dataclass(frozen=True)
class Import:
    """Runs `seq2seq import`, which writes the folder `run`."""

    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def __call__(self, *options: str) -> tuple[int, str]:
        """Returns the exit code, and what stands on standard error, as one line."""
        self.patch.setattr(sys, "argv", ["seq2seq", "import", NAME, "run", *options])
        with pytest.raises(SystemExit) as end:
            run()
        return int(end.value.code or 0), " ".join(self.capture.readouterr().err.split())


@pytest.fixture
def imported(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Import:
    return Import(capsys, monkeypatch)


@pytest.mark.parametrize(("fault", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_what_the_hub_refuses_is_one_sentence_and_leaves_nothing(
    hub: Hub, imported: Import, fault: Fault, words: str, tmp_path: Path
) -> None:
    hub.fault = fault
    code, said = imported("--revision", "v2")
    assert code == 2
    assert words in said
    assert NAME in said
    assert {each.name for each in tmp_path.iterdir()} <= {"cache"}


def test_after_a_download_that_broke_off_only_what_is_missing_is_fetched(
    hub: Hub, imported: Import, tmp_path: Path
) -> None:
    weights = hub.files[WEIGHTS]

    def breaks_off(path: str) -> Answer | None:
        if not path.endswith(WEIGHTS):
            return None
        digest = hashlib.sha1(weights).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest}"'}
        return 200, {**headers, "Content-Length": str(len(weights))}, weights[:1000]

    hub.fault = breaks_off
    code, said = imported()
    assert code == 2
    assert "the download broke off" in said
    assert not (tmp_path / "run").exists()
    hub.fault = no_fault
    hub.sent.clear()
    assert imported()[0] == 0
    assert set(hub.sent) & set(hub.files) == {WEIGHTS}
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == weights


def test_a_model_in_the_cache_is_used_while_the_hub_has_a_fault(
    hub: Hub, imported: Import, tmp_path: Path
) -> None:
    assert imported()[0] == 0
    (tmp_path / "run").rename(tmp_path / "first")
    hub.fault = status(500)
    assert imported()[0] == 0
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == hub.files[WEIGHTS]
