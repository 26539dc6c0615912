"""Settings of search and of translators are checked as they are made, in the words of Python."""

import math
from typing import Any

import numpy as np
import pytest

from seq2seq_cli.cli.options import CommandLineSearch
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.errors import InputError
from seq2seq_cli.search import SearchOptions
from seq2seq_cli.translation import TranslationSettings


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (
            TranslationSettings,
            {"precision": "int4"},
            'precision=\'int4\': "auto", "float32", "bfloat16" or "int8" is allowed',
        ),
        (
            TranslationSettings,
            {"alignments": "maybe"},
            'alignments=\'maybe\': "off", "if-possible" or "required" is allowed',
        ),
        (TranslationSettings, {"workers": 0}, "workers=0: 1 or more is allowed"),
        (
            TranslationSettings,
            {"batch_tokens": -5},
            "batch_tokens=-5: 1 or more, or None is allowed",
        ),
        (TranslationSettings, {"shortlist": "yes"}, "shortlist='yes': true or false is allowed"),
        (TranslationSettings, {"weights": 2.0}, "weights=2.0: a list of numbers is allowed"),
        (TranslationSettings, {"weights": "2,1"}, "weights='2,1': a list of numbers is allowed"),
        (TranslationSettings, {"search": {}}, "search={}: SearchOptions is allowed"),
        (SearchOptions, {"beam": "x"}, "beam='x': a whole number is allowed"),
        (SearchOptions, {"beam": 2.5}, "beam=2.5: a whole number is allowed"),
        (SearchOptions, {"beam": True}, "beam=True: a whole number is allowed"),
        (SearchOptions, {"beam": 0}, "beam=0: 1 to 1,000 is allowed"),
        (SearchOptions, {"alpha": math.nan}, "alpha=nan: -10 to 10 is allowed"),
        (SearchOptions, {"length_penalty": "wu"}, 'length_penalty=\'wu\': "gnmt", "power" or'),
        (SearchOptions, {"n_best": 9}, "n_best=9: 1 to 5 is allowed with beam=5"),
        (SearchOptions, {"top_k": 3}, "top_k=3 is for sampling; add sample=True"),
        (CommandLineSearch, {"n_best": 9}, "--n-best 9: 1 to 5 is allowed with --beam 5"),
        (CommandLineSearch, {"top_k": 3}, "--top-k 3 is for sampling; add --sample"),
        (
            TrainingConfig,
            {"max_updates": "x"},
            'training.max_updates = "x": a whole number is allowed',
        ),
    ],
    ids=str,
)
def test_a_value_that_is_not_allowed_is_refused_with_what_is(
    kind: Any, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as raised:
        kind(**values)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize("extra", [0, 1])
def test_the_least_length_is_never_above_the_greatest(ratio: float, extra: int) -> None:
    """Or no hypothesis could end."""
    options = SearchOptions(min_ratio=ratio, max_ratio=ratio, max_extra=extra)
    for length in range(1, 40):
        assert 1 <= options.min_length(length) <= options.max_length(length)


def test_numbers_of_numpy_and_whole_numbers_as_floats_are_allowed() -> None:
    SearchOptions(beam=np.int64(5), alpha=np.float32(0.5), min_ratio=1)
    TranslationSettings(weights=[2, np.float64(1)], batch_tokens=None)  # type: ignore[arg-type]
