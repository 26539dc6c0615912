"""Beam search on cached state. A finished hypothesis keeps its place in the beam.

So a beam of 1 is greedy search, and a beam as wide as the number of possible targets finds the
best of all. A sentence ends when its beam is full of finished hypotheses, or as soon as no open
one can still beat them under the same score: stopping never costs a better hypothesis.

Dimensions: B sentences in the batch, K beam, N = B x K rows, S source tokens, T target tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from seq2seq_cli.inference.candidates import best_extensions, log_sum_exp
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.inference.beams import Beams
from seq2seq_cli.padding import pad
from seq2seq_cli.search.constraints import Sentence, constrain
from seq2seq_cli.search.hypothesis import Hypothesis, NoNumbersError
from seq2seq_cli.search.options import SearchOptions
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.symbols import BOS, EOS, PAD

LEAST_COVERAGE = 1e-6  # a source token that nothing looked at would cost infinitely much
DROPPED_SHARE = 8  # sentences that are done leave the batch when they are one in so many


@dataclass
class _Searched(Sentence):
    """A sentence and the hypotheses of it that have ended."""

    finished: list[Hypothesis] = field(default_factory=list)
    done: bool = False

    def is_over(self, best_open: float, length: int, options: SearchOptions) -> bool:
        """Whether nothing better can come from open hypotheses of this length."""
        if best_open == -torch.inf or length >= self.longest:
            return True
        if len(self.finished) < options.n_best:
            return False
        worst = self.best(options.n_best)[-1].score
        return worst >= options.best_reachable_score(best_open, length, self.longest)

    def best(self, count: int) -> list[Hypothesis]:
        return sorted(self.finished, key=lambda h: h.score, reverse=True)[:count]


def beam_search(
    predictor: Predictor,
    source: Tensor,
    options: SearchOptions,
    prefixes: Sequence[Sequence[int]] = (),
) -> list[list[Hypothesis]]:
    """Translate (B, S) ids: for each row the `n_best` best hypotheses found, best first.

    `prefixes` are the tokens, one sequence for each row, that its hypotheses begin with. Raises
    NoNumbersError where the model gives none to rank by.
    """
    with torch.inference_mode():
        if _compiled_serves(source, options):
            found = _compiled_search(predictor, source, options, prefixes)
        else:
            found = _torch_search(predictor, source, options, prefixes)
    if not all(found):
        raise NoNumbersError
    return found


def _compiled_serves(source: Tensor, options: SearchOptions) -> bool:
    """Whether `kernels.inference.beams` does all that is asked."""
    return (
        kernels.can_compute()
        and source.device.type == "cpu"
        and source.size(0) > 0
        and options.coverage_penalty == 0.0
        and options.repetition_penalty == 1.0
        and options.no_repeat_ngram == 0
    )


def _compiled_search(
    predictor: Predictor,
    source: Tensor,
    options: SearchOptions,
    prefixes: Sequence[Sequence[int]],
) -> list[list[Hypothesis]]:
    """The same as `_BeamSearch`, its bookkeeping compiled."""
    lengths = (source != PAD).sum(dim=1).tolist()
    prefixes = prefixes or [()] * len(lengths)
    longest = [
        options.max_length(length, len(prefix))
        for length, prefix in zip(lengths, prefixes, strict=True)
    ]
    decoding = predictor.begin(source, 1, pad(prefixes) if any(prefixes) else None)
    compact = decoding.reads_rows_apart
    beams = Beams(
        options.beam,
        options.n_best,
        DROPPED_SHARE,
        compact,
        [options.min_length(length) for length in lengths],
        longest,
        [1.0, *(options.length_penalty_for(length) for length in range(1, max(longest) + 2))],
        [decoding.columns_of(prefix) for prefix in prefixes],
    )
    ended = decoding.took_all_steps(beams)
    tokens = source.new_full((len(lengths),), BOS)
    while not ended:
        tokens, origins, kept = beams.advance(decoding.step(tokens), decoding.columns)
        ended = not len(tokens)
        if compact and (kept is not None or options.beam > 1):
            decoding.keep(origins, origins)
        elif kept is not None:
            decoding.keep(kept, origins)
        elif options.beam > 1:
            decoding.reorder(origins)
    return [[Hypothesis(*each) for each in found] for found in beams.results()]


def _torch_search(
    predictor: Predictor,
    source: Tensor,
    options: SearchOptions,
    prefixes: Sequence[Sequence[int]],
) -> list[list[Hypothesis]]:
    search = _BeamSearch(predictor, source, options, prefixes)
    while not all(sentence.done for sentence in search.sentences):
        search.step()
    return search.results


class _BeamSearch:
    """The open hypotheses of a batch, and those that have ended."""

    def __init__(
        self,
        predictor: Predictor,
        source: Tensor,
        options: SearchOptions,
        prefixes: Sequence[Sequence[int]],
    ) -> None:
        self.options = options
        real = source != PAD
        lengths = real.sum(dim=1).tolist()
        self.results: list[list[Hypothesis]] = [[] for _ in lengths]
        self.sentences = [
            _Searched(
                index,
                options.min_length(length),
                options.max_length(length, len(prefixes[index]) if prefixes else 0),
                prefixes[index] if prefixes else (),
            )
            for index, length in enumerate(lengths)
        ]
        forced = pad(prefixes).to(source.device) if any(prefixes) else None
        # At first there is one hypothesis of each sentence, the empty one; then K.
        self.decoding = predictor.begin(source, 1, forced)
        self.tokens = source.new_full((len(lengths), 1), BOS)  # (N, T)
        self.token_scores = torch.empty(len(lengths), 0, device=source.device)  # (N, T - 1)
        # What hypotheses are ranked by; -inf: the place is taken by one that has ended, or empty.
        self.scores = torch.zeros(len(lengths), 1, device=source.device)  # (B, K)
        self._numbers()
        self.coverage: Tensor | None = None  # (N, S), the sum of the attention so far
        if options.coverage_penalty:
            self.coverage = torch.zeros(real.shape, device=source.device).masked_fill(~real, 1.0)

    def _numbers(self) -> None:
        """Note what stays the same for many steps."""
        device, beam = self.tokens.device, self.options.beam
        self.each = torch.arange(len(self.sentences), device=device)[:, None]  # (B, 1)
        free = torch.tensor([beam - len(s.finished) for s in self.sentences], device=device)
        # (B, K): places in the beam that hypotheses which have ended take
        self.taken = torch.arange(beam, device=device) >= free[:, None]

    def step(self) -> None:
        """Extend every open hypothesis by a token, and keep the best of each sentence."""
        origin, ended = self._extend()
        finished = ended.nonzero().tolist()
        if finished:
            for place, place_in_beam in finished:
                self._finish(place, place_in_beam)
            self.scores = self.scores.masked_fill(ended, -torch.inf)
            self._numbers()

        length = self.tokens.size(1) - 1
        for sentence, best_open in zip(
            self.sentences, self.scores.amax(dim=1).tolist(), strict=True
        ):
            if not sentence.done and sentence.is_over(best_open, length, self.options):
                sentence.done = True
                self.results[sentence.index] = sentence.best(self.options.n_best)
        done = sum(sentence.done for sentence in self.sentences)
        if done * DROPPED_SHARE >= len(self.sentences):
            self._drop_done(origin)
        elif self.options.beam > 1:
            self.decoding.reorder(origin)

    def _extend(self) -> tuple[Tensor, Tensor]:
        """The row (N,) each hypothesis came from, and whether it has ended (B, K)."""
        options = self.options
        logits = self.decoding.step(self.tokens[:, -1])
        normaliser = log_sum_exp(logits)
        plain = logits.clone() if options.repetition_penalty != 1.0 else logits
        constrain(logits, normaliser, self.tokens, self.sentences, self.decoding, options)
        offsets = self.scores - normaliser.view_as(self.scores)
        best, places, columns = best_extensions(logits, offsets, options.beam)

        origin = (self.each * self.scores.size(1) + places).view(-1)
        flat = columns.view(-1)
        token_scores = plain[origin, flat, None] - normaliser.index_select(0, origin)
        chosen = flat if self.decoding.columns is None else self.decoding.columns[flat]
        self.tokens = torch.cat((self.tokens.index_select(0, origin), chosen[:, None]), dim=1)
        self.token_scores = torch.cat(
            (self.token_scores.index_select(0, origin), token_scores), dim=1
        )
        if self.coverage is not None:
            self.coverage = (self.coverage + self.decoding.attended).index_select(0, origin)

        self.scores = best.masked_fill(self.taken, -torch.inf)
        return origin, (chosen.view_as(best) == EOS) & (self.scores > -torch.inf)

    def _finish(self, place: int, place_in_beam: int) -> None:
        """Move a hypothesis that has ended from its place in the beam to its sentence."""
        row = place * self.options.beam + place_in_beam
        ids = tuple(self.tokens[row, 1:-1].tolist())
        score = float(self.scores[place, place_in_beam]) / self.options.length_penalty_for(
            len(ids) + 1
        )
        if self.coverage is not None:
            covered = self.coverage[row].clamp(LEAST_COVERAGE, 1.0).log().sum()
            score += self.options.coverage_penalty * float(covered)
        found = Hypothesis(ids, score, tuple(self.token_scores[row].tolist()))
        self.sentences[place].finished.append(found)

    def _drop_done(self, origin: Tensor) -> None:
        """Leave out sentences that are done; row i of the rest goes on from the row origin[i]."""
        going = [i for i, sentence in enumerate(self.sentences) if not sentence.done]
        self.sentences = [self.sentences[i] for i in going]
        if not going:
            return
        beam = self.options.beam
        kept = torch.tensor(going, device=origin.device)
        rows = (kept[:, None] * beam + torch.arange(beam, device=origin.device)).view(-1)
        self.decoding.keep(kept, origin.index_select(0, rows))
        self.scores = self.scores.index_select(0, kept)
        self.tokens = self.tokens.index_select(0, rows)
        self.token_scores = self.token_scores.index_select(0, rows)
        if self.coverage is not None:
            self.coverage = self.coverage.index_select(0, rows)
        self._numbers()
