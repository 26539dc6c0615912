"""Weights can be read at any moment, also while they are replaced."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from seq2seq_cli.errors import InputError
from seq2seq_cli.runs import arrays
from seq2seq_cli.runs.arrays import load_arrays
from seq2seq_cli.runs.checkpoints import Checkpoints
from seq2seq_cli.runs.saved_weights import SavedWeights
from seq2seq_cli.runs.tensors import load_tensors, load_with_label, save_tensors

SAVES_IN_A_LOOP = """
import sys, torch
from pathlib import Path
from seq2seq_cli.runs.tensors import save_tensors

torch.set_num_threads(1)
number = 0
while True:
    number += 1
    tensors = {f"weight {i}": torch.full((8, number % 7 + 1), float(number)) for i in range(3)}
    save_tensors(Path(sys.argv[1]), tensors, {"number": number})
"""


def test_reading_while_another_process_saves_gives_one_of_the_saved_files(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"weight 0": torch.zeros(8, 1)}, {"number": 0})
    writer = subprocess.Popen([sys.executable, "-c", SAVES_IN_A_LOOP, str(path)])
    try:
        end, numbers = time.monotonic() + 30, set[int]()
        while time.monotonic() < end and len(numbers) < 20:
            tensors, label = load_with_label(path)
            number = label["model"]["number"]
            assert all((tensor == number).all() for tensor in tensors.values())
            numbers = (numbers | {number}) - {0}
        assert len(numbers) >= 2
    finally:
        writer.kill()
        writer.wait()


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was_opened(
    tmp_path: Path, monkeypatch
) -> None:
    """The other file comes between any two times that this one would be opened."""
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"weight": torch.zeros(8)})
    save_tensors(tmp_path / "other", {"weight": torch.ones(9)})
    opened = Path.open

    def open_and_replace(self: Path, *arguments, **named):
        stream = opened(self, *arguments, **named)
        if self == path:
            (tmp_path / "other").replace(path)
        return stream

    monkeypatch.setattr(Path, "open", open_and_replace)
    assert torch.equal(load_tensors(path)["weight"], torch.zeros(8))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ],
)
def test_a_file_that_cannot_be_read_is_not_called_damaged(
    error: OSError, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"weight": torch.zeros(8)})

    def fail(*given: object, **named: object) -> None:
        raise error

    for holder, name in ((arrays, "digest_of_file"), (arrays, "safe_open"), (Path, "open")):
        with monkeypatch.context() as failing:
            failing.setattr(holder, name, fail)
            with pytest.raises(InputError, match=f"model.safetensors: cannot be read: {reason}"):
                load_arrays(path)
    checkpoint = tmp_path / "training/update-00000001"
    checkpoint.mkdir(parents=True)
    monkeypatch.setattr(Path, "read_text", fail)
    with pytest.raises(InputError, match=f"state.json: cannot be read: {reason}"):
        Checkpoints(tmp_path / "training", SavedWeights(tmp_path / "weights")).load_state()
