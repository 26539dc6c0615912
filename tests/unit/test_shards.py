"""Shards of a checkpoint are read as they were written, and nothing else is."""

import pickle
from pathlib import Path

import pytest
import torch

from seq2seq_cli.data.contents import file_sha256
from seq2seq_cli.errors import InputError
from seq2seq_cli.runs import shards
from seq2seq_cli.runs.shards import check_shards, load_whole, save_index, save_shards
from seq2seq_cli.runs.tensors import save_one_by_one, save_tensors

TENSORS = {
    "weights/a": torch.arange(12.0).view(4, 3),
    "exp_avg/a": torch.ones(4, 3),
    "step/a": torch.tensor(7.0),
    "weights/b": torch.zeros(1),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shards of one process, in several files."""
    monkeypatch.setattr(shards, "FILE_BYTES", 60)
    folder = tmp_path / "shards"
    save_index(folder, [save_shards(folder, TENSORS, rank=0)])
    return folder


def test_what_is_written_is_read(folder: Path) -> None:
    assert len(list(folder.glob("*.safetensors"))) > 1
    found = load_whole(folder)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def flip_a_bit(folder: Path) -> None:
    path = min(folder.glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def remove_a_file(folder: Path) -> None:
    min(folder.glob("*.safetensors")).unlink()


def add_a_pickle(folder: Path) -> None:
    (folder / ".metadata").write_bytes(pickle.dumps(TENSORS))


def damage_the_index(folder: Path) -> None:
    (folder / shards.INDEX).write_text("[]")


@pytest.mark.parametrize("damage", [flip_a_bit, remove_a_file, add_a_pickle, damage_the_index])
def test_anything_else_is_refused(damage, folder: Path) -> None:
    damage(folder)
    with pytest.raises(InputError, match="is damaged"):
        check_shards(folder)


def test_a_tensor_of_which_a_part_is_missing_is_refused(folder: Path) -> None:
    (folder / shards.INDEX).unlink()
    for path in folder.glob("*.safetensors"):
        before, after = (f'{{\\"saved_offsets\\": [{row}, 0]}}'.encode() for row in (0, 4))
        data = path.read_bytes().replace(before, after)
        path.write_bytes(data)
    hashes = {path.name: file_sha256(path) for path in folder.iterdir()}
    save_index(folder, [hashes])
    with pytest.raises(InputError, match="does not hold all of"):
        check_shards(folder)


def test_tensors_that_come_one_by_one_are_the_bytes_of_all_at_once(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tensors = {
        "b.ä": torch.randn(3, 2),
        "a": torch.randn(5),
        "c": torch.zeros(0, 2),
    }
    settings = {"architecture": "rnn", "width": 3}
    save_tensors(tmp_path / "all", tensors, settings)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    save_one_by_one(tmp_path / "each", shapes, iter(sorted(tensors.items())), settings)
    assert (tmp_path / "each").read_bytes() == (tmp_path / "all").read_bytes()
