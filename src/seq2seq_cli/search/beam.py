"""Beam search, in kernels or in PyTorch. A finished hypothesis keeps its place in the beam.

So a beam of 1 is greedy search, and a beam as wide as the number of possible targets finds the
best of all. A sentence ends when its beam is full of finished hypotheses, or as soon as no open
one can still beat them under the same score: stopping never costs a better hypothesis.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.inference import has_kernels
from seq2seq_cli.search.constraints import Constraint, constraints_for
from seq2seq_cli.search.decoding import begin
from seq2seq_cli.search.hypothesis import Hypothesis
from seq2seq_cli.search.kernel_beam import search_in_kernels
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.search.request import ForcedPrefixes, Request
from seq2seq_cli.search.torch_beam import search_in_torch


def beam_search(
    predictor: Predictor,
    source: Tensor,
    options: SearchOptions,
    prefixes: ForcedPrefixes = (),
) -> list[list[Hypothesis]]:
    """Translate (B, S) ids: for each row the `n_best` best hypotheses found, best first.

    `prefixes` are what translations begin with, one for each row. Raises NoNumbersError if the
    model's scores are not finite.
    """
    with torch.inference_mode():
        decoding, request = begin(predictor, Request.of(source, options, prefixes))
        constraints = constraints_for(request)
        if kernels_serve(request, constraints):
            found = search_in_kernels(decoding, request)
        else:
            found = search_in_torch(decoding, request, constraints)
    if not all(found):
        raise NoNumbersError
    return found


def kernels_serve(request: Request, constraints: Sequence[Constraint]) -> bool:
    """Whether search in kernels does everything that a request asks for."""
    return (
        has_kernels(request.source.device)
        and len(request.sentences) > 0
        and all(constraint.in_kernels for constraint in constraints)
    )
