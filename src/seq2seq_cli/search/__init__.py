"""From models and source ids to scored hypotheses. It knows `models.base` and no architecture."""

from collections.abc import Sequence

from torch import Tensor

from seq2seq_cli.search.alignment import attention_to_source
from seq2seq_cli.search.beam import beam_search
from seq2seq_cli.search.hypothesis import Hypothesis
from seq2seq_cli.search.options import SearchOptions
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.search.sampling import sample
from seq2seq_cli.search.shortlist import Shortlist

__all__ = [
    "Hypothesis",
    "Predictor",
    "SearchOptions",
    "Shortlist",
    "attention_to_source",
    "beam_search",
    "sample",
    "search",
]


def search(
    predictor: Predictor,
    source: Tensor,
    options: SearchOptions,
    prefixes: Sequence[Sequence[int]] = (),
    numbers: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """Translate (B, S) ids as the options say; see `beam_search` and `sample`."""
    if options.sample:
        return sample(predictor, source, options, prefixes, numbers)
    return beam_search(predictor, source, options, prefixes)
