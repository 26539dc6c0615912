"""Source ids to scored hypotheses, with any model. To read it, begin with `torch_beam`.

- `prefix`: what a translation begins with
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
- `methods`: the one of both that the options ask for
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seq2seq_cli.config.search import SearchOptions
    from seq2seq_cli.search.alignment import attention_to_source
    from seq2seq_cli.search.beam import beam_search
    from seq2seq_cli.search.hypothesis import Hypothesis
    from seq2seq_cli.search.methods import search
    from seq2seq_cli.search.predictor import Predictor
    from seq2seq_cli.search.prefix import ForcedPrefix
    from seq2seq_cli.search.sampling import sample
    from seq2seq_cli.search.shortlist import Shortlist

__all__ = [
    "ForcedPrefix",
    "Hypothesis",
    "Predictor",
    "SearchOptions",
    "Shortlist",
    "attention_to_source",
    "beam_search",
    "sample",
    "search",
]

_FILES = {
    "ForcedPrefix": "search.prefix",
    "Hypothesis": "search.hypothesis",
    "Predictor": "search.predictor",
    "SearchOptions": "config.search",
    "Shortlist": "search.shortlist",
    "attention_to_source": "search.alignment",
    "beam_search": "search.beam",
    "sample": "search.sampling",
    "search": "search.methods",
}


def __getattr__(name: str) -> object:
    """Import a name when it is first asked for: SearchOptions needs no PyTorch."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"seq2seq_cli.{_FILES[name]}"), name)
