"""Source ids to scored hypotheses, with any model. To read it, begin with `torch_beam`.

- `request`: a batch with the limits of each sentence
- `hypothesis`: a finished translation
- `shortlist`: the likely target words of a source
- `alignment`: attention to the source as an alignment
- `predictor`: one model or an ensemble
- `decoding`: the logits of the next token, step by step
- `constraints`: control symbols, repetition, lengths, prefixes, coverage
- `torch_beam`: beam search in PyTorch, the reference
- `kernel_beam`: the same in kernels
- `beam`: beam search by either of them
- `sampling`: random drawing
"""

from collections.abc import Sequence

from torch import Tensor

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.search.alignment import attention_to_source
from seq2seq_cli.search.beam import beam_search
from seq2seq_cli.search.hypothesis import Hypothesis
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
    """Translate (B, S) ids by `sample` if the options say so, else by `beam_search`."""
    if options.sample:
        return sample(predictor, source, options, prefixes, numbers)
    return beam_search(predictor, source, options, prefixes)
