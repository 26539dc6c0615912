"""The bookkeeping of beam search, or all of it if the decoder is in kernels (beams.cpp).

Dimensions: B sentences, K hypotheses of each, N rows of hypotheses (B x K, or fewer), V columns of
logits.
"""

import ctypes
import itertools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.kernels.arrays import Array, Tokens, address
from seq2seq_cli.kernels.inference.decoding import Decoder, KVCache
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.prototypes import INT, fields

STEPS = 32  # steps in one call at most: Python handles signals between calls
ROWS = 16384  # rows at most, of all steps of a call


class _BeamSettings(ctypes.Structure):
    _fields_ = fields("""
        int32_t sentences, beam, n_best, compact, removal_share;
        const int32_t *min_lengths, *max_lengths;
        const double *length_penalties;
        const int32_t *prefix_states, *move_counts, *move_columns, *move_states;
    """)


class _SearchInputs(ctypes.Structure):
    _fields_ = fields("""
        const void *decoder, *output;
        const float *embedding;
        const void *const *memory;
        const int32_t *starts, *lengths;
        const void *initial_cache;
        const int64_t *column_tokens;
        const bool *absent;
    """)


class _PositionTables(ctypes.Structure):
    _fields_ = fields("int32_t width, rotation_width; const float *positions, *rotations;")


_kernels = Functions("""
    void *beams_new(const BeamSettings *settings);
    void beams_free(void *beams);
    int64_t beams_result_sizes(const void *beams, int32_t *counts);
    void beams_results(const void *beams, double *scores, int32_t *lengths, int32_t *tokens,
                       float *token_scores);
    void *search_new(void *beams, const SearchInputs *inputs);
    void search_free(void *search);
    int32_t search_run(void *search, int32_t count, const PositionTables *tables);
""")


@dataclass(frozen=True)
class BeamSettings:
    """Settings of a search for a batch. Lengths are in tokens, EOS counted."""

    beam: int
    n_best: int
    removal_share: int  # sentences that are done leave when they are one in so many
    compact: bool  # whether a row is an open hypothesis; without it a sentence has `beam` rows
    min_lengths: Sequence[int]  # B
    max_lengths: Sequence[int]  # B
    # Of each length from 0 to beyond the greatest of `max_lengths`: the divisor of scores
    length_penalties: Sequence[float]
    # B; for each state of a prefix the columns that may come, ascending, and the states after them
    prefixes: Sequence[Sequence[tuple[Sequence[int], Sequence[int]]]]


class Beams:
    """The hypotheses of a batch: at first one of each sentence, the empty one, in a row each.

    Rows of a sentence stand together.
    """

    def __init__(self, settings: BeamSettings) -> None:
        count = len(settings.max_lengths)
        self.beam, self.sentences = settings.beam, count
        states = [state for prefix in settings.prefixes for state in prefix]
        moves = [move for state in states for move in zip(*state, strict=True)]
        integers = INT * count
        # These arrays are needed only here: C++ copies them.
        min_lengths = integers(*settings.min_lengths)
        max_lengths = integers(*settings.max_lengths)
        penalties = (ctypes.c_double * len(settings.length_penalties))(*settings.length_penalties)
        prefix_states = integers(*map(len, settings.prefixes))
        move_counts = (INT * len(states))(*(len(columns) for columns, _ in states))
        move_columns = (INT * len(moves))(*(column for column, _ in moves))
        move_states = (INT * len(moves))(*(state for _, state in moves))
        struct = _BeamSettings(
            sentences=count,
            beam=settings.beam,
            n_best=settings.n_best,
            compact=settings.compact,
            removal_share=settings.removal_share,
            min_lengths=ctypes.addressof(min_lengths),
            max_lengths=ctypes.addressof(max_lengths),
            length_penalties=ctypes.addressof(penalties),
            prefix_states=ctypes.addressof(prefix_states),
            move_counts=ctypes.addressof(move_counts),
            move_columns=ctypes.addressof(move_columns),
            move_states=ctypes.addressof(move_states),
        )
        self.handle = _kernels().beams_new(ctypes.byref(struct))
        weakref.finalize(self, _kernels().beams_free, self.handle)

    def results(self) -> list[list[tuple[tuple[int, ...], float, tuple[float, ...]]]]:
        """For each sentence its hypotheses, best first: tokens, score, scores of tokens and EOS."""
        counts = np.empty(self.sentences, dtype=np.int32)
        size = _kernels().beams_result_sizes(self.handle, address(counts))
        found = int(counts.sum())
        scores = np.empty(found, dtype=np.float64)
        lengths = np.empty(found, dtype=np.int32)
        tokens = np.empty(size, dtype=np.int32)
        token_scores = np.empty(size, dtype=np.float32)
        _kernels().beams_results(
            self.handle,
            address(scores),
            address(lengths),
            address(tokens),
            address(token_scores),
        )
        all_tokens, all_scores, start = tokens.tolist(), token_scores.tolist(), 0
        hypotheses = []
        for score, length in zip(scores.tolist(), lengths.tolist(), strict=True):
            end = start + length
            hypotheses.append(
                (tuple(all_tokens[start : end - 1]), score, tuple(all_scores[start:end]))
            )
            start = end
        rest = iter(hypotheses)
        return [list(itertools.islice(rest, count)) for count in counts.tolist()]


@dataclass(frozen=True)
class SearchInputs:
    """What a search in kernels runs with, before the first token."""

    decoder: Decoder
    output: Linear
    cache: KVCache
    memory: EncoderMemory
    column_tokens: Tokens | None  # (V,), the tokens of the columns; None where they are the same
    absent: Array | None  # (B, V), columns that a sentence leaves out, if any


class Search:
    """All steps of compact beams with one decoder."""

    def __init__(self, beams: Beams, inputs: SearchInputs) -> None:
        self.beams, self.inputs = beams, inputs  # C++ points into both
        self.count = 0  # steps that were asked for
        cache, memory = inputs.cache, inputs.memory
        struct = _SearchInputs(
            decoder=inputs.decoder.handle,
            output=inputs.output.handle,
            embedding=address(inputs.decoder.embedding.weight),
            memory=ctypes.addressof(memory.addresses),
            starts=address(memory.starts),
            lengths=address(memory.lengths),
            initial_cache=cache.addresses[0] if cache.addresses else None,
            column_tokens=address(inputs.column_tokens),
            absent=address(inputs.absent),
        )
        self.handle = _kernels().search_new(beams.handle, ctypes.byref(struct))
        weakref.finalize(self, _kernels().search_free, self.handle)

    def run(self) -> bool:
        """Run more steps, fewer if there are many rows; return whether hypotheses are open."""
        steps = max(1, min(STEPS, ROWS // max(1, self.beams.sentences * self.beams.beam)))
        self.count += steps
        positions, rotations = self.inputs.decoder.embedding.tables(self.count)
        tables = _PositionTables(
            width=0 if positions is None else positions.shape[1],
            rotation_width=0 if rotations is None else rotations[0].size,
            positions=address(positions),
            rotations=address(rotations),
        )
        return bool(_kernels().search_run(self.handle, steps, ctypes.byref(tables)))
