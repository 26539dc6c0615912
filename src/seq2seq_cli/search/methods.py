"""Search by the method that the options ask for: beam search, or random drawing."""

from collections.abc import Sequence

from torch import Tensor

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.search.beam import beam_search
from seq2seq_cli.search.decoding import Ensemble
from seq2seq_cli.search.hypothesis import Hypothesis
from seq2seq_cli.search.request import ForcedPrefixes
from seq2seq_cli.search.sampling import sample


def search(
    predictor: Ensemble,
    source: Tensor,
    options: SearchOptions,
    prefixes: ForcedPrefixes = (),
    numbers: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """Translate (B, S) ids by `sample` if the options say so, else by `beam_search`."""
    if options.sample:
        return sample(predictor, source, options, prefixes, numbers)
    return beam_search(predictor, source, options, prefixes)
