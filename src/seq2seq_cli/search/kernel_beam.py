"""Beam search whose bookkeeping, and with a decoder in kernels every step, runs in kernels.

`kernels/inference/beams.cpp` applies the constraints that say `in_kernels`; it takes them from the
limits of the sentences. It finds exactly what `torch_beam` finds.
"""

import torch

from seq2seq_cli.kernels.inference.beams import Beams, BeamSettings
from seq2seq_cli.search.decoding import Decoding
from seq2seq_cli.search.hypothesis import Hypothesis
from seq2seq_cli.search.request import Request
from seq2seq_cli.search.torch_beam import REMOVAL_SHARE
from seq2seq_cli.symbols import BOS


def search_in_kernels(decoding: Decoding, request: Request) -> list[list[Hypothesis]]:
    """Find the best hypotheses of each sentence, best first."""
    options, sentences = request.options, request.sentences
    longest = max(sentence.max_length for sentence in sentences)
    compact = decoding.rows_are_independent
    beams = Beams(
        BeamSettings(
            beam=options.beam,
            n_best=options.n_best,
            removal_share=REMOVAL_SHARE,
            compact=compact,
            min_lengths=[sentence.min_length for sentence in sentences],
            max_lengths=[sentence.max_length for sentence in sentences],
            length_penalties=[1.0, *map(options.length_penalty_for, range(1, longest + 2))],
            prefixes=[
                [
                    (decoding.columns_of(torch.tensor(tokens)).tolist(), states)
                    for tokens, states in sentence.prefix.moves
                ]
                for sentence in sentences
            ],
        )
    )
    ended = decoding.finish_in_kernels(beams)
    tokens = request.source.new_full((len(sentences),), BOS)
    while not ended:
        tokens, origins, remaining = beams.advance(decoding.step(tokens), decoding.column_tokens)
        ended = not len(tokens)
        if compact and (remaining is not None or options.beam > 1):
            decoding.keep(origins, origins)
        elif remaining is not None:
            decoding.keep(remaining, origins)
        elif options.beam > 1:
            decoding.reorder(origins)
    return [[Hypothesis(*found) for found in by_rank] for by_rank in beams.results()]
