"""Weights of 16 bits are computed with as the same numbers in 32 bits, in both halves."""

import tracemalloc
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq_cli.config.models import Vocabulary, model_config
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.evaluation import model_info
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.inference.weights import ModelWeights
from seq2seq_cli.kernels.arrays import widened
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.runs.arrays import load_arrays
from seq2seq_cli.runs.stored_weights import StoredWeight, save_stored_weights
from seq2seq_cli.search.engine import EnginePredictor
from seq2seq_cli.symbols import EOS

KINDS = ["float16", "bfloat16"]
SOURCES = [[4, 5, 6, EOS], [6, 4, EOS]]


def narrowed(array: np.ndarray, kind: str) -> np.ndarray:
    """The numbers as they are stored in this type."""
    if kind == "float16":
        return array.astype(np.float16)
    return torch.from_numpy(array).bfloat16().view(torch.int16).numpy().view(np.uint16)


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eight_bits", [False, True])
def test_weights_that_are_widened_row_by_row_find_the_same(
    model: TranslationModel, kind: str, eight_bits: bool
) -> None:
    plain = PlainModel.of(model)
    stored = {name: narrowed(np.array(array), kind) for name, array in plain.arrays.items()}
    wide = {name: widened(array) for name, array in stored.items()}
    found = [
        EnginePredictor([each], (), None, eight_bits=eight_bits).search(
            SOURCES, SearchOptions(beam=3)
        )
        for each in (
            PlainModel(plain.config, plain.vocabulary, wide),
            PlainModel(plain.config, plain.vocabulary, wide, stored=stored),
        )
    ]
    assert found[0] == found[1]


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize("shape", [(128, 64), (7, 33), (1, 3), (301, 256)])
def test_layers_are_packed_as_those_of_the_same_numbers_in_32_bits(
    kind: str, eight_bits: bool, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of numbers that are very large, subnormal or zero, in several blocks of rows."""
    monkeypatch.setattr("seq2seq_cli.kernels.inference.linear.ROWS", 64)
    random = np.random.default_rng(shape)
    scales = random.choice([0, 1e-7, 1e-5, 1, 6e4], (shape[0], 1))
    stored = narrowed((random.uniform(-1, 1, shape) * scales).astype(np.float32), kind)
    bias = random.standard_normal(shape[0], np.float32)
    packed = [
        Linear.pack(array, bias, eight_bits=eight_bits) for array in (stored, widened(stored))
    ]
    assert bytes(packed[0].block) == bytes(packed[1].block)


@pytest.mark.parametrize("kind", KINDS)
def test_a_matrix_of_16_bits_is_packed_without_a_copy_of_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq_cli.kernels.inference.linear.ROWS", 1024)
    vocabulary = Vocabulary(40_000, 40_000, joint=True)
    config = model_config({"architecture": "transformer", "width": 64, "feed_forward": 64})
    shapes = weight_shapes(config, vocabulary)
    weights = {
        name: StoredWeight.of(narrowed(np.ones(shape, np.float32), kind))
        for name, shape in shapes.items()
    }
    save_stored_weights(tmp_path / "model.safetensors", weights, {})
    arrays, _ = load_arrays(tmp_path / "model.safetensors")
    model = PlainModel(config, vocabulary, arrays, arrays.release, arrays.stored)
    layers = ModelWeights(model, eight_bits=True)
    tracemalloc.start()
    output = layers.output()
    layers.target_embedding()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most - len(output.block) < weights["target_embedding.weight"].bytes / 10


def test_the_bytes_of_weights_are_counted_by_the_type_of_each_the_most_first(
    model: TranslationModel,
) -> None:
    plain = PlainModel.of(model)
    types = dict(zip(plain.arrays, cycle([*KINDS, "float32"])))
    stored = {
        name: np.array(array)
        if types[name] == "float32"
        else narrowed(np.array(array), types[name])
        for name, array in plain.arrays.items()
    }
    found = model_info._stored_types(
        PlainModel(plain.config, plain.vocabulary, plain.arrays, stored=stored)
    )
    assert found == types
    assert set(model_info._stored_types(plain).values()) == {"float32"}
    unused: Any = None
    shapes = weight_shapes(plain.config, plain.vocabulary)
    info = model_info.ModelInfo("rnn", shapes, found, *[unused] * 8)
    sizes: dict[str, int] = {}
    for name, array in stored.items():
        sizes[types[name]] = sizes.get(types[name], 0) + array.nbytes
    assert info.stored_bytes == sizes
    assert list(info.stored_bytes.values()) == sorted(sizes.values(), reverse=True)
