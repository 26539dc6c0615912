"""Beam search on cached state. A finished hypothesis keeps its place in the beam.

So a beam of 1 is greedy search, and a beam as wide as the number of possible targets finds the
best of all. A sentence ends when its beam is full of finished hypotheses, or as soon as no open
one can still beat them under the same score: stopping never costs a better hypothesis.

Dimensions: B sentences still searched, K beam, N = B x K rows, V vocabulary.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from seq2seq_cli.models import TranslationModel, select
from seq2seq_cli.search.hypothesis import Hypothesis, SearchOptions
from seq2seq_cli.symbols import BOS, EOS, PAD, UNK

NEVER = [PAD, UNK, BOS]  # no translation holds them


@dataclass
class _Sentence:
    """What is known of one sentence while it is searched."""

    index: int  # in the batch given
    limit: int  # the greatest length
    finished: list[Hypothesis] = field(default_factory=list)

    def done(self, best_open: float, length: int, options: SearchOptions) -> bool:
        """Whether nothing better can come from open hypotheses of this length."""
        if best_open == -torch.inf or length >= self.limit:
            return True
        if len(self.finished) < options.n_best:
            return False
        worst = sorted((h.score for h in self.finished), reverse=True)[options.n_best - 1]
        return worst >= options.bound(best_open, length, self.limit)


@torch.inference_mode()
def beam_search(
    model: TranslationModel, source: Tensor, options: SearchOptions
) -> list[list[Hypothesis]]:
    """Translate (B, S) ids: for each row the `n_best` best hypotheses found, best first."""
    beam = options.beam
    lengths = (source != PAD).sum(dim=1).tolist()
    results: list[list[Hypothesis]] = [[] for _ in lengths]
    sentences = [_Sentence(i, options.limit(length)) for i, length in enumerate(lengths)]

    memory, state = model.encode(source)
    rows = torch.arange(len(sentences), device=source.device).repeat_interleave(beam)
    state = select(state, rows)
    scores = source.new_full((len(sentences), beam), -torch.inf, dtype=torch.float32)
    scores[:, 0] = 0.0  # all rows of a sentence are the same at first
    tokens = source.new_full((len(rows), 1), BOS)

    length = 0
    while sentences:
        length += 1
        features, state = model.decode(tokens[:, -1:], state, memory)
        logits = model.output(features[:, 0]).float()
        scores, origin, chosen = _extend(scores, logits, sentences, length, beam)
        tokens = torch.cat((tokens.index_select(0, origin), chosen.view(-1, 1)), dim=1)
        _collect(sentences, scores, tokens, length, options)
        scores = scores.masked_fill(chosen == EOS, -torch.inf)

        best_open = scores.amax(dim=1).tolist()
        going = [i for i, s in enumerate(sentences) if not s.done(best_open[i], length, options)]
        if len(going) < len(sentences):
            for sentence in sentences:
                ranked = sorted(sentence.finished, key=lambda h: h.score, reverse=True)
                results[sentence.index] = ranked[: options.n_best]
            sentences = [sentences[i] for i in going]
            if not sentences:
                break
            kept = torch.tensor(going, device=source.device)
            memory = select(memory, kept)
            scores = scores.index_select(0, kept)
            kept_rows = (kept[:, None] * beam + torch.arange(beam, device=kept.device)).view(-1)
            origin = origin.index_select(0, kept_rows)
            tokens = tokens.index_select(0, kept_rows)
            state = select(state, origin)
        elif beam > 1:
            state = select(state, origin)
    return results


def _extend(
    scores: Tensor, logits: Tensor, sentences: list[_Sentence], length: int, beam: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Choose each sentence's next hypotheses among all one-token extensions of the open ones.

    Returns their log-probabilities (B, K), -inf where a place is taken by a finished one; the row
    (N,) each came from; and its new token (B, K).
    """
    normaliser = logits.logsumexp(dim=1, keepdim=True)
    logits[:, NEVER] = -torch.inf
    at_limit = [i for i, sentence in enumerate(sentences) if length == sentence.limit]
    if at_limit:
        end = logits.view(len(sentences), beam, -1)
        only_end = torch.full_like(end[at_limit], -torch.inf)
        only_end[..., EOS] = end[at_limit][..., EOS]
        end[at_limit] = only_end
    top, ids = logits.topk(min(beam, logits.size(1)), dim=1)  # (N, K): more of a row cannot win
    candidates = (top - normaliser + scores.view(-1, 1)).view(len(sentences), -1)
    best, places = candidates.topk(beam, dim=1)  # (B, K)
    chosen = ids.view(len(sentences), -1).gather(1, places)
    first = torch.arange(len(sentences), device=places.device)[:, None] * beam
    origin = (first + places // top.size(1)).view(-1)
    free = torch.tensor([beam - len(s.finished) for s in sentences], device=best.device)
    taken = torch.arange(beam, device=best.device) >= free[:, None]
    return best.masked_fill(taken, -torch.inf), origin, chosen


def _collect(
    sentences: list[_Sentence],
    scores: Tensor,
    tokens: Tensor,
    length: int,
    options: SearchOptions,
) -> None:
    """Move hypotheses that have just ended from the beam to their sentence."""
    beam = options.beam
    ended = (tokens[:, -1].view(-1, beam) == EOS) & (scores > -torch.inf)
    for place, place_in_beam in ended.nonzero().tolist():
        log_probability = float(scores[place, place_in_beam])
        ids = tokens[place * beam + place_in_beam, 1:-1].tolist()
        score = log_probability / options.normaliser(length)
        sentences[place].finished.append(Hypothesis(tuple(ids), score, log_probability))
