"""Source ids to scored hypotheses, with any model. To read it, begin with `torch_beam`.

- `prefix`: what a translation begins with
- `request`: a batch with the limits of each sentence
- `hypothesis`: a finished translation
- `shortlist`: the likely target words of a source
- `predictor`: what finds and scores translations
- `draws`: the random numbers that translations are drawn by

The reference in PyTorch:

- `alignment`: attention to the source as an alignment
- `decoding`: the logits of the next token, step by step
- `candidates`: the best extensions of hypotheses
- `constraints`: control symbols, repetition, lengths, prefixes, coverage
- `torch_beam`: the steps of beam search
- `beam`: beam search
- `sampling`: random drawing
- `methods`: the one of both that the options ask for
- `torch_predictor`: one model or an ensemble in PyTorch

Kernels:

- `engine`: models in kernels, without torch
- `choice`: kernels or PyTorch for a model
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seq2seq_cli.config.search import SearchOptions
    from seq2seq_cli.search.beam import beam_search
    from seq2seq_cli.search.choice import predictor_for
    from seq2seq_cli.search.engine import EnginePredictor
    from seq2seq_cli.search.hypothesis import Hypothesis
    from seq2seq_cli.search.methods import search
    from seq2seq_cli.search.predictor import Predictor
    from seq2seq_cli.search.prefix import ForcedPrefix
    from seq2seq_cli.search.sampling import sample
    from seq2seq_cli.search.shortlist import Shortlist
    from seq2seq_cli.search.torch_predictor import TorchPredictor

__all__ = [
    "EnginePredictor",
    "ForcedPrefix",
    "Hypothesis",
    "Predictor",
    "SearchOptions",
    "Shortlist",
    "TorchPredictor",
    "beam_search",
    "predictor_for",
    "sample",
    "search",
]

_FILES = {
    "EnginePredictor": "search.engine",
    "ForcedPrefix": "search.prefix",
    "Hypothesis": "search.hypothesis",
    "Predictor": "search.predictor",
    "SearchOptions": "config.search",
    "Shortlist": "search.shortlist",
    "TorchPredictor": "search.torch_predictor",
    "beam_search": "search.beam",
    "predictor_for": "search.choice",
    "sample": "search.sampling",
    "search": "search.methods",
}


def __getattr__(name: str) -> object:
    """Import a name when it is first asked for: SearchOptions needs no PyTorch."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"seq2seq_cli.{_FILES[name]}"), name)
