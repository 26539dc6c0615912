"""Beam search in PyTorch, on any device and with every constraint: the reference.

Dimensions: B sentences still searched, K beam, N rows of hypotheses (one of each sentence at first,
then B x K), T target tokens, V columns of logits.
"""

from collections.abc import Sequence
from dataclasses import field

import torch
from torch import Tensor

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.search.candidates import best_extensions
from seq2seq_cli.search.constraints import Constraint, next_step
from seq2seq_cli.search.decoding import Decoding
from seq2seq_cli.search.hypothesis import Hypothesis
from seq2seq_cli.search.request import Request, Sentence
from seq2seq_cli.symbols import BOS, EOS

REMOVAL_SHARE = 8  # sentences that are done leave the batch when they are one in so many


def search_in_torch(
    decoding: Decoding, request: Request, constraints: Sequence[Constraint]
) -> list[list[Hypothesis]]:
    """Find the best hypotheses of each sentence, best first."""
    search = TorchBeamSearch(decoding, request, constraints)
    while not all(sentence.done for sentence in search.sentences):
        search.step()
    return search.results


@dataclass
class SearchedSentence:
    """A sentence and its hypotheses that have ended."""

    limits: Sentence
    finished: list[Hypothesis] = field(default_factory=list)
    done: bool = False

    def is_over(self, best_open: float, length: int, options: SearchOptions) -> bool:
        """Whether open hypotheses of this length can lead to nothing better."""
        if best_open == -torch.inf or length >= self.limits.max_length:
            return True
        if len(self.finished) < options.n_best:
            return False
        worst = self.best(options.n_best)[-1].score
        return worst >= options.best_reachable_score(best_open, length, self.limits.max_length)

    def best(self, count: int) -> list[Hypothesis]:
        """The hypotheses with the best scores, best first."""
        return sorted(self.finished, key=lambda h: h.score, reverse=True)[:count]


class TorchBeamSearch:
    """The open hypotheses of a batch, and those that have ended."""

    def __init__(
        self, decoding: Decoding, request: Request, constraints: Sequence[Constraint]
    ) -> None:
        self.decoding, self.options, self.constraints = decoding, request.options, constraints
        batch, device = len(request.sentences), decoding.device
        self.results: list[list[Hypothesis]] = [[] for _ in request.sentences]
        self.sentences = [SearchedSentence(sentence) for sentence in request.sentences]
        self.tokens = torch.full((batch, 1), BOS, device=device)  # (N, T)
        self.token_scores = torch.empty(batch, 0, device=device)  # (N, T - 1)
        # (B, K), log-probabilities; -inf where a hypothesis has ended, or there is none
        self.scores = torch.zeros(batch, 1, device=device)
        self._update_beam()

    def step(self) -> None:
        """Extend every open hypothesis by a token, and keep the best of each sentence."""
        origins, ended = self._extend()
        finished = ended.nonzero().tolist()
        if finished:
            for index, rank in finished:
                self._finish(index, rank)
            self.scores = self.scores.masked_fill(ended, -torch.inf)
            self._update_beam()

        length = self.tokens.size(1) - 1
        for sentence, best_open in zip(
            self.sentences, self.scores.amax(dim=1).tolist(), strict=True
        ):
            if not sentence.done and sentence.is_over(best_open, length, self.options):
                sentence.done = True
                self.results[sentence.limits.index] = sentence.best(self.options.n_best)
        done = sum(sentence.done for sentence in self.sentences)
        if done * REMOVAL_SHARE >= len(self.sentences):
            self._remove_done(origins)
        elif self.options.beam > 1:
            self.decoding.reorder(origins)

    def _update_beam(self) -> None:
        """Compute what changes only when hypotheses end or sentences leave."""
        device, beam = self.tokens.device, self.options.beam
        self.limits = [sentence.limits for sentence in self.sentences]
        self.sentence_numbers = torch.arange(len(self.sentences), device=device)[:, None]  # (B, 1)
        free = torch.tensor([beam - len(s.finished) for s in self.sentences], device=device)
        # (B, 1), whether the probability of the first token does not count
        self.first_is_free = torch.tensor(
            [[s.limits.prefix.first_is_free] for s in self.sentences], device=device
        )
        # (B, K), the part of the beam that belongs to hypotheses which have ended
        self.taken = torch.arange(beam, device=device) >= free[:, None]

    def _extend(self) -> tuple[Tensor, Tensor]:
        """Choose the best extensions; return the row (N,) each is from, and which end (B, K)."""
        step = next_step(self.decoding, self.tokens, self.limits, self.constraints)
        normaliser = step.normaliser.view_as(self.scores)
        if not (normaliser.isfinite() | (self.scores == -torch.inf)).all():
            raise NoNumbersError
        offsets = self.scores - normaliser
        best, ranks, columns = best_extensions(step.logits, offsets, self.options.beam)

        origins = (self.sentence_numbers * self.scores.size(1) + ranks).view(-1)
        flat = columns.view(-1)
        chosen = self.decoding.tokens_of(flat)
        token_scores = step.unconstrained[origins, flat, None] - step.normaliser.index_select(
            0, origins
        )
        self.tokens = torch.cat((self.tokens.index_select(0, origins), chosen[:, None]), dim=1)
        self.token_scores = torch.cat(
            (self.token_scores.index_select(0, origins), token_scores), dim=1
        )
        for constraint in self.constraints:
            constraint.extend(origins, chosen, self.decoding.attention)
        if self.tokens.size(1) == 2:
            best = best.masked_fill(self.first_is_free & (best > -torch.inf), 0.0)
        self.scores = best.masked_fill(self.taken, -torch.inf)
        return origins, (chosen.view_as(best) == EOS) & (self.scores > -torch.inf)

    def _finish(self, index: int, rank: int) -> None:
        """Add the hypothesis of this rank in the beam, which has ended, to its sentence."""
        row = index * self.options.beam + rank
        ids = tuple(self.tokens[row, 1:-1].tolist())
        score = float(self.scores[index, rank]) / self.options.length_penalty_for(len(ids) + 1)
        for constraint in self.constraints:
            score += constraint.final_score(row)
        hypothesis = Hypothesis(ids, score, tuple(self.token_scores[row].tolist()))
        self.sentences[index].finished.append(hypothesis)

    def _remove_done(self, origins: Tensor) -> None:
        """Remove sentences that are done; row i of the others goes on from the row origins[i]."""
        open_numbers = [i for i, sentence in enumerate(self.sentences) if not sentence.done]
        self.sentences = [self.sentences[i] for i in open_numbers]
        if not open_numbers:
            return
        beam, device = self.options.beam, origins.device
        remaining = torch.tensor(open_numbers, device=device)
        rows = (remaining[:, None] * beam + torch.arange(beam, device=device)).view(-1)
        self.decoding.keep(remaining, origins.index_select(0, rows))
        self.scores = self.scores.index_select(0, remaining)
        self.tokens = self.tokens.index_select(0, rows)
        self.token_scores = self.token_scores.index_select(0, rows)
        for constraint in self.constraints:
            constraint.keep(rows)
        self._update_beam()
