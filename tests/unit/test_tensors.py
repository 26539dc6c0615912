"""Weights can be read at any moment, also while they are replaced."""

import subprocess
import sys
import time
from pathlib import Path

import torch

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
