"""Beam search's bookkeeping, and with a compiled decoder the whole of it (beams.cpp).

Dimensions: B sentences, K hypotheses of each, N rows of hypotheses (B x K, or fewer), V columns of
logits.
"""

import ctypes
import itertools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq_cli.kernels.inference.decoding import Decoder, KVCache
from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory
from seq2seq_cli.kernels.inference.linear import Linear
from seq2seq_cli.kernels.library import INT, POINTER, address, declaring

STEPS = 32  # of a search in one call at most: signals are heeded between calls
ROWS = 16384  # of all steps of a call


class _Settings(ctypes.Structure):
    _fields_ = (
        ("sentences", INT),
        ("beam", INT),
        ("n_best", INT),
        ("compact", INT),
        ("dropped_share", INT),
        ("shortest", POINTER),
        ("longest", POINTER),
        ("divisors", POINTER),
        ("prefixes", POINTER),
        ("prefix_lengths", POINTER),
    )


class _SearchParts(ctypes.Structure):
    _fields_ = (
        ("decoder", POINTER),
        ("output", POINTER),
        ("embedding", POINTER),
        ("sources", ctypes.POINTER(POINTER)),
        ("starts", POINTER),
        ("lengths", POINTER),
        ("kept", POINTER),
        ("columns", POINTER),
        ("absent", POINTER),
    )


class _Places(ctypes.Structure):
    _fields_ = (("width", INT), ("angles", INT), ("positions", POINTER), ("rotations", POINTER))


_compiled = declaring(
    {
        "log_sum_exp": (None, POINTER, INT, INT, POINTER),
        "best_extensions": (
            *(None, POINTER, POINTER, INT, INT, INT, INT, POINTER, POINTER, POINTER),
        ),
        "beams_new": (POINTER, POINTER),
        "beams_free": (None, POINTER),
        "beams_advance": (
            *(INT, POINTER, POINTER, INT, POINTER, POINTER, POINTER, POINTER, POINTER),
        ),
        "beams_found": (ctypes.c_int64, POINTER, POINTER),
        "beams_results": (None, POINTER, POINTER, POINTER, POINTER, POINTER),
        "search_new": (POINTER, POINTER, POINTER),
        "search_free": (None, POINTER),
        "search_run": (INT, POINTER, INT, POINTER),
    }
)


def log_sum_exp(logits: Tensor) -> Tensor:
    """(N, V) -> (N, 1), of which some may be -inf."""
    logits = logits.contiguous()
    result = logits.new_empty(logits.size(0), 1)
    _compiled().log_sum_exp(address(logits), *logits.shape, address(result))
    return result


def best_extensions(logits: Tensor, offsets: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` greatest sums of a logit (B x K, V) and its row's offset (B, K), best first.

    Returns (B, count) each: the sums, their rows 0 to K - 1, and their columns. Where there are
    fewer candidates, sums are -inf.
    """
    logits, offsets = logits.contiguous(), offsets.contiguous()
    batch, beam = offsets.shape
    best = logits.new_empty(batch, count)
    rows = torch.empty(batch, count, dtype=torch.int64)
    columns = torch.empty_like(rows)
    _compiled().best_extensions(
        *(address(logits), address(offsets), batch, beam, logits.size(1), count),
        *(address(best), address(rows), address(columns)),
    )
    return best, rows, columns


class Extension(NamedTuple):
    """The rows of hypotheses after a step."""

    tokens: Tensor  # (N,), to be read next; empty once every sentence is done
    origins: Tensor  # (N,), the rows before that these go on from
    remaining: Tensor | None  # indices of the sentences that stay, if others were removed


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
    prefixes: Sequence[Sequence[int]]  # B, columns


class Beams:
    """The hypotheses of a batch: at first one of each sentence, the empty one, in a row each.

    Rows of a sentence stand together.
    """

    def __init__(self, settings: BeamSettings) -> None:
        count = len(settings.max_lengths)
        self.beam, self.sentences = settings.beam, count
        flat = [column for prefix in settings.prefixes for column in prefix]
        integers = INT * count
        struct = _Settings(
            count,
            settings.beam,
            settings.n_best,
            settings.compact,
            settings.removal_share,
            ctypes.addressof(least := integers(*settings.min_lengths)),
            ctypes.addressof(most := integers(*settings.max_lengths)),
            ctypes.addressof(
                penalties := (ctypes.c_double * len(settings.length_penalties))(
                    *settings.length_penalties
                )
            ),
            ctypes.addressof(columns := (ctypes.c_int64 * len(flat))(*flat)),
            ctypes.addressof(lengths := integers(*map(len, settings.prefixes))),
        )
        self.handle = _compiled().beams_new(ctypes.byref(struct))
        del least, most, penalties, columns, lengths  # they were copied
        weakref.finalize(self, _compiled().beams_free, self.handle)

    def advance(self, logits: Tensor, column_tokens: Tensor | None) -> Extension:
        """Extend the hypotheses by a token, by its logits (N, V), which are changed.

        `column_tokens` (V,) are the tokens of the columns, None where they are their numbers.
        """
        most = self.sentences * self.beam
        numbers = torch.empty(2 * most + self.sentences, dtype=torch.int64)
        start = numbers.data_ptr()  # of tokens, then origins, then remaining, of 8 bytes each
        left = INT()
        rows = _compiled().beams_advance(
            self.handle,
            logits.data_ptr(),
            logits.size(1),
            address(column_tokens),
            start,
            start + 8 * most,
            start + 16 * most,
            ctypes.byref(left),
        )
        remaining = numbers[2 * most : 2 * most + left.value] if left else None
        return Extension(numbers[:rows], numbers[most : most + rows], remaining)

    def results(self) -> list[list[tuple[tuple[int, ...], float, tuple[float, ...]]]]:
        """For each sentence its hypotheses, best first: tokens, score, scores of tokens and EOS."""
        counts = torch.empty(self.sentences, dtype=torch.int32)
        size = _compiled().beams_found(self.handle, counts.data_ptr())
        found = int(counts.sum())
        scores = torch.empty(found, dtype=torch.float64)
        lengths = torch.empty(found, dtype=torch.int32)
        tokens = torch.empty(size, dtype=torch.int32)
        token_scores = torch.empty(size)
        _compiled().beams_results(
            self.handle,
            scores.data_ptr(),
            lengths.data_ptr(),
            tokens.data_ptr(),
            token_scores.data_ptr(),
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


class Search:
    """All steps of compact beams with one decoder, from what it keeps before the first token.

    `columns` (V,) are the tokens of the output's columns, None where they are their numbers;
    `absent` (B, V) those that a sentence leaves out, if any.
    """

    def __init__(
        self,
        beams: Beams,
        decoder: Decoder,
        output: Linear,
        past: KVCache,
        sources: EncoderMemory,
        columns: Tensor | None,
        absent: Tensor | None,
    ) -> None:
        # Kept: the compiled side points into them.
        self.parts = beams, decoder, output, past, sources, columns, absent
        self.beams, self.embedding = beams, decoder.embedding
        self.count = 0  # steps that were asked for
        parts = _SearchParts(
            decoder.handle,
            output.handle,
            self.embedding.weight.data_ptr(),
            sources.addresses,
            sources.starts.data_ptr(),
            sources.lengths.data_ptr(),
            past.addresses[0] if past.addresses else None,
            address(columns),
            address(absent),
        )
        self.handle = _compiled().search_new(beams.handle, ctypes.byref(parts))
        weakref.finalize(self, _compiled().search_free, self.handle)

    def run(self) -> bool:
        """Some more steps, few with many rows; whether hypotheses are still open then."""
        steps = max(1, min(STEPS, ROWS // max(1, self.beams.sentences * self.beams.beam)))
        self.count += steps
        positions, rotations = self.embedding.places(self.count)
        places = _Places(
            0 if positions is None else positions.size(1),
            0 if rotations is None else rotations[0].numel(),
            address(positions),
            address(rotations),
        )
        return bool(_compiled().search_run(self.handle, steps, ctypes.byref(places)))
