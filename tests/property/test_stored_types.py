"""Weights of 16 bits are computed with as the same numbers in 32 bits, in both halves."""

import numpy as np
import pytest
import torch

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.runs.arrays import widened
from seq2seq_cli.search.engine import EnginePredictor
from seq2seq_cli.symbols import EOS

SOURCES = [[4, 5, 6, EOS], [6, 4, EOS]]


def narrowed(array: np.ndarray, kind: str) -> np.ndarray:
    """The numbers as they are stored in this type."""
    if kind == "float16":
        return array.astype(np.float16)
    return torch.from_numpy(array).bfloat16().view(torch.int16).numpy().view(np.uint16)


@pytest.mark.usefixtures("_each_kernel_build")
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_embeddings_that_are_widened_row_by_row_find_the_same(
    model: TranslationModel, kind: str
) -> None:
    plain = PlainModel.of(model)
    stored = {name: narrowed(np.array(array), kind) for name, array in plain.arrays.items()}
    wide = {name: widened(array) for name, array in stored.items()}
    found = [
        EnginePredictor([each], (), None, eight_bits=False).search(SOURCES, SearchOptions(beam=3))
        for each in (
            PlainModel(plain.config, plain.vocabulary, wide),
            PlainModel(plain.config, plain.vocabulary, wide, stored=stored),
        )
    ]
    assert found[0] == found[1]
