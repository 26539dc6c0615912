"""Whole searches by models whose decoders are in kernels: beam search and sampling (search.cpp).

Dimensions: B sentences, V columns of logits.
"""

import ctypes
import itertools
import math
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.arrays import Floats, Tokens, address
from seq2seq_cli.kernels.inference.decoding import Decoder, KVCache
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory, embedding_type
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.prototypes import fields

STEPS = 32  # steps in one call at most: Python handles signals between calls
ROWS = 16384  # rows at most, of all steps of a call


class _SearchSettings(ctypes.Structure):
    _fields_ = fields("""
        int32_t sentences, beam, n_best;
        const int32_t *min_lengths, *max_lengths;
        const double *length_penalties;
        const int32_t *prefix_states, *prefix_complete;
        const bool *first_is_free;
        const int32_t *move_counts, *move_columns, *move_states;
        double coverage_penalty;
        float repetition_penalty;
        int32_t no_repeat_ngram;
        double temperature, top_p;
        int32_t top_k;
        const int64_t *column_tokens;
        const bool *absent;
    """)


class _SearchModel(ctypes.Structure):
    _fields_ = fields("""
        const void *decoder, *output;
        const void *embedding;
        const void *const *memory;
        const int32_t *starts, *lengths;
        const void *initial_cache;
        float log_weight;
        int32_t alignment_layer, alignment_head, embedding_type;
        const float *copy_gate;
        const int64_t *source_tokens;
    """)


class _PositionTables(ctypes.Structure):
    _fields_ = fields("""
        int32_t width, rotation_width;
        const float *positions, *rotations, *biases;
        int64_t reach;
    """)


_kernels = Functions("""
    void *search_new(const SearchSettings *settings, const SearchModel *models, int32_t count);
    void search_free(void *search);
    int32_t search_run(void *search, int32_t count, const PositionTables *tables,
                       const double *numbers);
    int64_t search_result_sizes(const void *search, int32_t *counts);
    void search_results(const void *search, double *scores, int32_t *lengths, int32_t *tokens,
                        float *token_scores);
""")


class PrefixMoves(NamedTuple):
    """What a hypothesis begins with, as columns: see `search.prefix.ForcedPrefix`."""

    states: Sequence[tuple[Sequence[int], Sequence[int]]]  # columns, ascending, and states after
    complete: int  # the first state in which it is complete
    first_is_free: bool = False  # the score of the first token does not count


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search for a batch. Lengths are in tokens, EOS counted."""

    beam: int  # 0: `n_best` hypotheses of each sentence are drawn
    n_best: int
    min_lengths: Sequence[int]  # B
    max_lengths: Sequence[int]  # B
    # Of each length from 0 to beyond the greatest of `max_lengths`: the divisor of scores
    length_penalties: NDArray[np.float64]
    prefixes: Sequence[PrefixMoves]  # B
    coverage_penalty: float = 0.0  # 0: none
    repetition_penalty: float = 1.0  # 1: none
    no_repeat_ngram: int = 0  # 0: none
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    column_tokens: NDArray[np.int64] | None = None  # (V,); None: columns are tokens
    absent: NDArray[np.bool_] | None = None  # (B, V), columns that a sentence leaves out, if any


@dataclass(frozen=True)
class SearchModel:
    """A model that has read the sources of a batch."""

    decoder: Decoder
    output: Linear
    cache: KVCache
    memory: EncoderMemory
    log_weight: float = 0.0  # of its probabilities, in an ensemble
    # The layer and the head whose attention is averaged, each None for all
    alignment: tuple[int | None, int | None] = None, None
    copy_gate: Floats | None = None  # (D + 1,), weights and bias, of a model that copies
    source_tokens: Tokens | None = None  # (any,), of one sentence after the other; what it copies


class ModelArray:
    """Models as C++ reads them, and tables of the positions that they have read so far."""

    def __init__(self, models: Sequence[SearchModel]) -> None:
        self.models = tuple(models)  # C++ points into them
        self.count = 0  # steps that were asked for
        self.array = (_SearchModel * len(models))(
            *(
                _SearchModel(
                    decoder=model.decoder.handle,
                    output=model.output.handle,
                    embedding=address(model.decoder.embedding.weight),
                    memory=address(model.memory.addresses),
                    starts=address(model.memory.starts),
                    lengths=address(model.memory.lengths),
                    initial_cache=model.cache.addresses[0] if model.cache.addresses else None,
                    log_weight=model.log_weight,
                    alignment_layer=_number(model.alignment[0]),
                    alignment_head=_number(model.alignment[1]),
                    embedding_type=embedding_type(model.decoder.embedding.weight),
                    copy_gate=address(model.copy_gate),
                    source_tokens=address(model.source_tokens),
                )
                for model in models
            )
        )

    def more_tables(self, steps: int) -> tuple[Any, Any]:
        """Tables for so many more steps, as C++ reads them, and what they point into."""
        self.count += steps
        owners = [model.decoder.embedding.tables(self.count) for model in self.models]
        array = (_PositionTables * len(owners))()
        for struct, (positions, rotations, biases) in zip(array, owners, strict=True):
            struct.positions, struct.rotations = address(positions), address(rotations)
            struct.biases, struct.reach = address(biases), 0 if biases is None else biases.shape[1]
            struct.width = 0 if positions is None else positions.shape[1]
            struct.rotation_width = 0 if rotations is None else math.prod(rotations.shape[1:])
        return array, owners


def _number(chosen: int | None) -> int:
    """What C++ reads for a layer or a head, or for all."""
    return -1 if chosen is None else chosen


class Found(NamedTuple):
    """A hypothesis."""

    tokens: tuple[int, ...]  # without BOS and EOS
    score: float
    token_scores: tuple[float, ...]  # EOS counted


class Search:
    """All steps of a search for a batch, some at a time."""

    def __init__(self, settings: SearchSettings, models: Sequence[SearchModel]) -> None:
        self.settings, self.models = settings, ModelArray(models)
        self.sentences = len(settings.max_lengths)
        rows = self.sentences * (settings.beam or settings.n_best)
        self.steps = max(1, min(STEPS, ROWS // max(1, rows)))  # of a call
        struct, self._owners = _struct(settings)  # C++ points into them, and into the models
        self.handle = _kernels().search_new(ctypes.byref(struct), self.models.array, len(models))
        weakref.finalize(self, _kernels().search_free, self.handle)

    def run(self, numbers: NDArray[np.float64] | None = None) -> bool:
        """Run `steps` more steps; return whether hypotheses are open.

        A search that draws takes `numbers` in [0, 1), (B x n_best, steps).
        """
        if not self.settings.beam:
            numbers = np.ascontiguousarray(numbers, dtype=np.float64)
            assert numbers.shape == (self.sentences * self.settings.n_best, self.steps)
        tables, _owners = self.models.more_tables(self.steps)
        return bool(_kernels().search_run(self.handle, self.steps, tables, address(numbers)))

    def results(self) -> list[list[Found]]:
        """For each sentence its hypotheses, the best one or the first that was drawn first.

        A sentence has too few if a model's scores were not finite.
        """
        counts = np.empty(self.sentences, dtype=np.int32)
        size = _kernels().search_result_sizes(self.handle, address(counts))
        found = int(counts.sum())
        scores, lengths = np.empty(found), np.empty(found, dtype=np.int32)
        tokens, token_scores = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.float32)
        _kernels().search_results(
            self.handle,
            *(address(each) for each in (scores, lengths, tokens, token_scores)),
        )
        all_tokens, all_scores, start = tokens.tolist(), token_scores.tolist(), 0
        hypotheses = []
        for score, length in zip(scores.tolist(), lengths.tolist(), strict=True):
            end = start + length
            hypotheses.append(
                Found(tuple(all_tokens[start : end - 1]), score, tuple(all_scores[start:end]))
            )
            start = end
        rest = iter(hypotheses)
        return [list(itertools.islice(rest, count)) for count in counts.tolist()]


def _struct(settings: SearchSettings) -> tuple[_SearchSettings, list[NDArray[Any]]]:
    """Make the struct that C++ reads, and what it points into."""
    states = [state for prefix in settings.prefixes for state in prefix.states]
    moves = [move for state in states for move in zip(*state, strict=True)]
    owners: list[NDArray[Any]] = []

    def numbers(given: Any, kind: type) -> int | None:
        if given is None:
            return None
        owners.append(np.ascontiguousarray(given, dtype=kind))
        return address(owners[-1])

    def integers(given: Sequence[int]) -> int | None:
        return numbers(given, np.int32)

    struct = _SearchSettings(
        sentences=len(settings.max_lengths),
        beam=settings.beam,
        n_best=settings.n_best,
        min_lengths=integers(settings.min_lengths),
        max_lengths=integers(settings.max_lengths),
        length_penalties=numbers(settings.length_penalties, np.float64),
        prefix_states=integers([len(prefix.states) for prefix in settings.prefixes]),
        prefix_complete=integers([prefix.complete for prefix in settings.prefixes]),
        first_is_free=numbers([prefix.first_is_free for prefix in settings.prefixes], np.bool_),
        move_counts=integers([len(columns) for columns, _ in states]),
        move_columns=integers([column for column, _ in moves]),
        move_states=integers([state for _, state in moves]),
        coverage_penalty=settings.coverage_penalty,
        repetition_penalty=settings.repetition_penalty,
        no_repeat_ngram=settings.no_repeat_ngram,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=min(settings.top_k, np.iinfo(np.int32).max),
        column_tokens=numbers(settings.column_tokens, np.int64),
        absent=numbers(settings.absent, np.bool_),
    )
    return struct, owners
