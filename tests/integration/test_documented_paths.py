"""docs/internals.md names the files that a training step and a search step pass through."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import seq2seq_cli
from seq2seq_cli.cli.app import app
from seq2seq_cli.search.torch_beam import TorchBeamSearch
from seq2seq_cli.training.trainer import Trainer
from seq2seq_cli.translation import TranslationSettings, Translator

PACKAGE = Path(seq2seq_cli.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "internals.md"
LINES = ["the old woman reads a book .", "the men see him .", "a boy sings ."] * 5


class Files:
    """The files of the package that are entered during some calls of a function.

    The command line is left out: it shows progress once a second, in whichever update that is.
    """

    def __init__(self) -> None:
        self.entered: set[str] = set()
        self.calls = 0
        self.watching = False

    def profile(self, frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if self.watching and event == "call" and path.is_relative_to(PACKAGE):
            name = str(path.relative_to(PACKAGE))
            if not name.startswith("cli/"):
                self.entered.add(name)

    def watch(
        self, function: Callable[..., Any], chosen: Callable[[int], bool]
    ) -> Callable[..., Any]:
        """Watch the chosen calls of a function, which are counted from 1."""

        def watched(*arguments: Any) -> Any:
            self.calls += 1
            self.watching = chosen(self.calls)
            sys.setprofile(self.profile if self.watching else None)
            try:
                return function(*arguments)
            finally:
                self.watching = False
                sys.setprofile(None)

        return watched


@pytest.fixture
def files() -> Iterator[Files]:
    found = Files()
    threading.setprofile(found.profile)  # of threads that start later
    yield found
    threading.setprofile(None)


def train(folder: Path) -> Path:
    """Train a tiny Transformer for some updates."""
    (folder / "lines").write_text("".join(f"{line}\n" for line in LINES))
    sides = ("--source", "--target", "--valid-source", "--valid-target")
    texts = [each for option in sides for each in (option, str(folder / "lines"))]
    sizes = ["model.width=32", "model.feed_forward=64", "model.heads=2"]
    sizes += ["tokenizer.vocabulary_size=40", "training.batch_tokens=40"]
    settings = [each for size in sizes for each in ("--set", size)]
    limit = ["--max-updates", "3", "--output", str(folder / "run"), "--device", "cpu", "--quiet"]
    limit += ["--accept-data"]  # the same text four times
    result = CliRunner().invoke(app, ["train", *texts, *settings, *limit])
    assert result.exit_code == 0, result.output
    torch.set_num_threads(1)
    return folder / "run"


def named(heading: str) -> set[str]:
    """The files, and folders ending in a slash, that a section of the page names in its table."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    first_cells = [row.split("|")[1] for row in rows]
    return {name for cell in first_cells for name in re.findall(r"`([\w/]+(?:\.py|/))`", cell)}


def check(entered: set[str], names: set[str]) -> None:
    entered -= {"deferred.py"}  # it makes the first few objects of any dataclass
    folders = {name for name in names if name.endswith("/")}
    assert {name for name in entered if not name.startswith(tuple(folders))} == names - folders


def test_a_training_step_passes_through_the_files_that_are_named(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first update prepares kernels, the last one reports.
    watched = files.watch(Trainer.update, lambda number: number == 2)
    monkeypatch.setattr(Trainer, "update", watched)
    train(tmp_path)
    check(files.entered, named("The path of a training step"))


@pytest.mark.usefixtures("_without_kernels")
def test_a_search_step_passes_through_the_files_that_are_named(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tmp_path)
    watched = files.watch(TorchBeamSearch.step, lambda number: True)
    monkeypatch.setattr(TorchBeamSearch, "step", watched)
    Translator.load(run, TranslationSettings(device="cpu")).translate(LINES)
    check(files.entered, named("The path of a search step"))
