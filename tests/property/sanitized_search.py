"""Runs the kernels of inference over random shapes, for tests/property/test_sanitized_kernels.py.

    python sanitized_search.py LIBRARY MODELS

LIBRARY is compiled with sanitizers, which have to be preloaded; MODELS is a pickled list.
"""

import pickle
import random
import sys
from pathlib import Path

import numpy as np

from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.search import EnginePredictor, SearchOptions
from seq2seq_cli.symbols import EOS

FIRST_PIECE = 4


def multiply(random_numbers: np.random.Generator) -> None:
    """Linear layers of any size, whole and with selected outputs."""
    for _ in range(60):
        rows, inputs, outputs = (int(each) for each in random_numbers.integers(1, 70, 3))
        weight = random_numbers.standard_normal((outputs, inputs), dtype=np.float32)
        bias = random_numbers.standard_normal(outputs, dtype=np.float32)
        x = random_numbers.standard_normal((rows, inputs), dtype=np.float32)
        selected = random_numbers.integers(0, outputs, int(random_numbers.integers(1, outputs + 1)))
        for eight_bits in (False, True):
            layer = Linear.pack(weight, bias, eight_bits=eight_bits)
            chosen = layer.select_outputs(selected)(x)
            np.testing.assert_array_equal(layer(x)[:, selected], chosen)


def search(predictor: EnginePredictor, vocabulary: tuple[int, int]) -> None:
    """Translations of batches of random sentences."""

    def sentences(pieces: int) -> list[list[int]]:
        lengths = [random.randint(0, 12) for _ in range(random.randint(1, 6))]
        return [[random.randrange(FIRST_PIECE, pieces) for _ in range(n)] + [EOS] for n in lengths]

    for _ in range(3):
        sources = sentences(vocabulary[0])
        beam = random.randint(1, 5)
        options = SearchOptions(beam=beam, n_best=random.randint(1, beam))
        found = predictor.search(sources, options)
        assert len(found) == len(sources)


def main() -> None:
    path = Path(sys.argv[1])
    kernels.build_file = lambda build: path  # type: ignore[assignment]
    assert kernels.library() is not None
    random.seed(1)
    multiply(np.random.default_rng(1))
    for model in pickle.loads(Path(sys.argv[2]).read_bytes()):
        for eight_bits in (False, True):
            vocabulary = model.vocabulary.source, model.vocabulary.target
            search(EnginePredictor([model], eight_bits=eight_bits), vocabulary)
    print("searched")


main()
