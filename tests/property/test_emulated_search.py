"""The engine finds the same with the kernels for ARM, which an emulator runs."""

import numpy as np
import pytest

from seq2seq_cli.inference.architectures import inference_class
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.search import EnginePredictor, Hypothesis, SearchOptions
from seq2seq_cli.symbols import EOS
from tests.property.emulation import ARM, emulated

pytestmark = [
    pytest.mark.skipif(not kernels.usable_builds(), reason="there is nothing to compare with"),
    pytest.mark.parametrize("build", ARM),
]

WORDS = (4, 5, 6)  # all that the tiny models of conftest can say
OPTIONS = SearchOptions(beam=4, n_best=4, max_ratio=1, max_extra=3)


def _sources() -> list[list[int]]:
    random = np.random.default_rng(5)
    return [[*random.choice(WORDS, length).tolist(), EOS] for length in (0, 1, 3, 4, 9)]


def _search(model: PlainModel, eight_bits: bool) -> tuple[list[list[Hypothesis]], list[float]]:
    """What is found, and the scores of tokens that are given."""
    predictor, sources = EnginePredictor([model], eight_bits=eight_bits), _sources()
    scores = predictor.token_scores(sources, [source[::-1] for source in sources])
    return predictor.search(sources, OPTIONS), [score for each in scores for score in each]


def _assert_close(mine: list[float], theirs: list[float], eight_bits: bool) -> None:
    """Builds round sums in the last bit, and what lies between two 8-bit numbers then to either."""
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=0.1 if eight_bits else 1e-4)
    assert np.isclose(mine, theirs, rtol=1e-4, atol=1e-4).mean() > 0.75


def test_a_whole_search_finds_the_same(model: TranslationModel, build: str) -> None:
    if inference_class(model.config) is None:
        pytest.skip("there are no kernels for this model")
    plain = PlainModel.of(model)
    with pytest.MonkeyPatch.context() as patch:
        # Its 8-bit inputs go up to 127, as those of the builds for ARM; those of AVX2 do not.
        scalar = kernels.build_file("scalar")
        assert scalar is not None
        patch.setattr(kernels, "library", lambda: kernels.load(scalar))
        expected = [_search(plain, eight_bits) for eight_bits in (False, True)]
    with emulated(build):
        found = [_search(plain, eight_bits) for eight_bits in (False, True)]
    for eight_bits in (False, True):
        (mine, mine_given), (theirs, theirs_given) = found[eight_bits], expected[eight_bits]
        assert [[each.tokens for each in row] for row in mine] == [
            [each.tokens for each in row] for row in theirs
        ]
        scores = ([each.score for row in rows for each in row] for rows in (mine, theirs))
        _assert_close(*scores, eight_bits)
        _assert_close(mine_given, theirs_given, eight_bits)


def test_layers_of_8_bits_compute_the_same_integers(build: str) -> None:
    """Weights and inputs are whole numbers up to 127, whose scales are 1: the product is exact."""
    random = np.random.default_rng(3)
    with emulated(build):
        for rows, inputs, outputs in (
            (1, 40, 33),
            (2, 7, 5),
            (5, 64, 16),
            (17, 43, 70),
            (8, 16, 4),
        ):
            weight, x = (
                random.integers(-127, 128, (size, inputs)).astype(np.float32)
                for size in (outputs, rows)
            )
            weight[:, 0], x[:, -1] = 127, -127
            bias = random.integers(-9, 10, outputs).astype(np.float32)
            exact = x @ weight.T + bias
            layer = Linear.pack(weight, bias, eight_bits=True)
            np.testing.assert_array_equal(layer(x), exact)
            selected = random.integers(0, outputs, 3)
            np.testing.assert_array_equal(layer.select_outputs(selected)(x), exact[:, selected])
