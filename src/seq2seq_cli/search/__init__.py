"""Source ids to scored hypotheses, with any model.

- `options`: what search is asked for
- `hypothesis`: what search returns
- `shortlist`: the likely target words of a source
- `alignment`: attention to the source as an alignment
- `predictor`: one model or several, as logits of the next token
- `constraints`: which tokens may come next
- `beam`: beam search
- `sampling`: random drawing
"""

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
