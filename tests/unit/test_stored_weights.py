"""Weights are written one by one, and those of 16 bits are read as float32, by both halves."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from seq2seq_cli.config.models import Vocabulary, model_config
from seq2seq_cli.errors import InputError
from seq2seq_cli.models import build
from seq2seq_cli.runs.arrays import load_arrays
from seq2seq_cli.runs.stored_weights import StoredWeight, save_stored_weights
from seq2seq_cli.runs.tensors import load_tensors, load_with_label, save_tensors, weights_of

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def stored(tensor: torch.Tensor) -> StoredWeight:
    if tensor.dtype == torch.bfloat16:
        return StoredWeight.of(tensor.view(torch.int16).numpy().view(np.uint16))
    return StoredWeight.of(tensor.numpy())


@pytest.mark.parametrize("rows", [3, 4])
def test_weights_written_one_by_one_are_read_by_numpy_and_torch_in_every_type(
    rows: int, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    given = {
        # odd sizes of 16 bits come before numbers of 32 bits in the order of names
        f"{number} {name}": torch.randn(rows, 5 + number).to(kind)
        for number, (name, kind) in enumerate([*TYPES.items()][::-1])
    }
    path = tmp_path / "model.safetensors"
    save_stored_weights(path, {name: stored(each) for name, each in given.items()}, {"width": 8})
    tensors, label = load_with_label(path)  # which compares the hash
    arrays, same_label = load_arrays(path)
    assert label == same_label
    assert label["model"] == {"width": 8}
    for name, tensor in given.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype
        assert arrays[name].dtype == np.float32
        assert np.array_equal(arrays[name], tensor.float().numpy())
    with safe_open(path, "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in given} == TYPES.keys()


def test_the_file_is_the_one_that_training_would_write(tmp_path: Path) -> None:
    torch.manual_seed(2)
    vocabulary = Vocabulary(9, 9, joint=True)
    config = model_config({"architecture": "transformer", "width": 8, "feed_forward": 8})
    weights = weights_of(build(config, vocabulary))
    settings = dataclasses.asdict(config)
    save_tensors(tmp_path / "trained", weights, settings)
    arrays = {name: stored(each) for name, each in weights.items()}
    save_stored_weights(tmp_path / "written", arrays, settings)
    trained, written = (load_with_label(tmp_path / name) for name in ("trained", "written"))
    assert trained[1] == written[1]
    assert load_tensors(tmp_path / "written").keys() == weights.keys()


def test_a_large_weight_is_read_some_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq_cli.runs.stored_weights.BLOCK_BYTES", 100)
    matrix = np.arange(70, dtype=np.float32).reshape(10, 7)
    asked = []

    def rows(first: int, last: int) -> np.ndarray:
        asked.append((first, last))
        return matrix[first:last]

    weight = StoredWeight(matrix.shape, "F32", lambda: pytest.fail("read as a whole"), rows)
    save_stored_weights(tmp_path / "file", {"embedding": weight}, {})
    assert asked == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert np.array_equal(load_arrays(tmp_path / "file")[0]["embedding"], matrix)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused_by_the_name_of_their_weight(
    kind: str, number: float, tmp_path: Path
) -> None:
    tensor = torch.ones(4, 4)
    tensor[2, 1] = number
    weights = {"sound": stored(torch.ones(2)), "broken": stored(tensor.to(TYPES[kind]))}
    with pytest.raises(InputError, match=r"^broken holds NaN or infinity"):
        save_stored_weights(tmp_path / "model.safetensors", weights, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", TYPES)
def test_the_largest_finite_numbers_are_allowed(kind: str, tmp_path: Path) -> None:
    most = torch.full((3, 3), torch.finfo(TYPES[kind]).max, dtype=TYPES[kind])
    most[1] *= -1
    save_stored_weights(tmp_path / "file", {"weight": stored(most)}, {})
    assert torch.equal(load_tensors(tmp_path / "file")["weight"], most)
