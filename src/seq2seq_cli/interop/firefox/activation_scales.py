"""Scales of 8-bit activations, measured on sentences: what "alphas" are in Firefox's models.

Formats with 8-bit products store by how much the input of every product is multiplied before it is
rounded to whole numbers from -127 to 127.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.data.sources import parse_source
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.interop.firefox.numpy_transformer import InputMagnitudes
from seq2seq_cli.messages import ignore_warning
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import EOS, PIECES
from seq2seq_cli.tokenization.tokenizer import Tokenizer

PAIRS = 200  # sentence pairs to measure on
LONGEST = 100  # tokens of a side that are read
# How many standard deviations the greatest magnitude of a sentence may be above the mean.
DEVIATIONS = 1.1
MOST = 127


def activation_scales(
    model: PlainModel, config: TransformerConfig, tokenizers: Tokenizers, data: DataConfig
) -> tuple[dict[str, float], bool]:
    """The factor of the input of each linear layer by its name, "target_embedding" for logits.

    Also returns whether it was measured on the validation text of the run. Without that text, it
    is measured on pieces drawn at random.
    """
    pairs = _validation_pairs(data, tokenizers)
    is_real = bool(pairs)
    arrays = {name: np.asarray(array, np.float32) for name, array in model.arrays.items()}
    reader = InputMagnitudes(config, arrays)
    for source, target in pairs or list(_random_pairs(tokenizers)):
        reader.read(source, target)
    scales = {}
    for name, found in reader.greatest.items():
        greatest = float(np.mean(found) + DEVIATIONS * np.std(found))
        scales[name] = MOST / greatest if greatest > 0 else float(MOST)
    return scales, is_real


def _validation_pairs(
    data: DataConfig, tokenizers: Tokenizers
) -> list[tuple[list[int], list[int]]]:
    """Sentence pairs in ids from the validation text, none if it cannot be read any more."""
    try:
        sides = []
        for names, tokenizer in (
            (data.valid_source, tokenizers.source),
            (data.valid_target, tokenizers.target),
        ):
            lines = parse_source(names[0], data.reading).lines(ignore_warning)
            sides.append(tokenizer.encode(list(islice(lines, PAIRS))))
    except (InputError, OSError, IndexError):
        return []
    return [
        ([*source[:LONGEST], EOS], [*target[:LONGEST], EOS])
        for source, target in zip(*sides, strict=False)
        if source and target
    ]


def _random_pairs(tokenizers: Tokenizers) -> Iterator[tuple[list[int], list[int]]]:
    draw = np.random.default_rng(1)
    for length in draw.integers(3, 30, PAIRS):
        yield (
            _random_ids(tokenizers.source, draw, int(length)),
            _random_ids(tokenizers.target, draw, int(length)),
        )


def _random_ids(tokenizer: Tokenizer, draw: np.random.Generator, length: int) -> list[int]:
    ids: Sequence[int] = draw.integers(len(PIECES), len(tokenizer), length).tolist()
    return [*ids, EOS]
