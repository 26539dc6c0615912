"""Sampling: translations drawn token by token from the model's probabilities."""

import sys
from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.devices import float64_device
from seq2seq_cli.errors import NoNumbersError
from seq2seq_cli.search.constraints import Constraint, constraints_for, next_step
from seq2seq_cli.search.decoding import Decoding, Ensemble, begin, request_for
from seq2seq_cli.search.draws import random_for
from seq2seq_cli.search.hypothesis import Hypothesis
from seq2seq_cli.search.request import ForcedPrefixes, Request, Sentence
from seq2seq_cli.symbols import BOS, EOS

# Smaller numbers are 0 to processors that flush subnormal ones.
SMALLEST_DIVISOR = sys.float_info.min


@dataclass
class Draw:
    """One hypothesis to draw."""

    limits: Sentence
    random: Random
    result: Hypothesis | None = None


@torch.inference_mode()
def sample(
    predictor: Ensemble,
    source: Tensor,
    options: SearchOptions,
    prefixes: ForcedPrefixes = (),
    numbers: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """Draw `n_best` translations of each row of (B, S) ids, in the order in which they are drawn.

    `numbers` identify the rows in whatever batch they are; without them a row's index does.
    Temperature comes before top-p (Holtzman 2020), and does not change what top-k takes.
    Raises NoNumbersError if the model's scores are not finite.
    """
    decoding, request = begin(predictor, source, request_for(source, options, prefixes))
    draws = [
        [
            Draw(sentence, random_for(options, numbers[i] if numbers else i, draw))
            for draw in range(options.n_best)
        ]
        for i, sentence in enumerate(request.sentences)
    ]
    _draw_all(decoding, request, [draw for row in draws for draw in row])
    return [[draw.result for draw in row if draw.result] for row in draws]


def _draw_all(decoding: Decoding, request: Request, draws: list[Draw]) -> None:
    """Draw token by token until every hypothesis, of which a row has `n_best`, has its result.

    Dimensions: N hypotheses still drawn, each a sentence of its own, so that it can leave alone.
    """
    options, device = request.options, decoding.device
    constraints = constraints_for(request)
    if options.n_best > 1:  # the source is read once for all draws of a row
        rows = torch.arange(len(request.sentences), device=device)
        rows = rows.repeat_interleave(options.n_best)
        _keep(decoding, constraints, rows)
    tokens = torch.full((len(draws), 1), BOS, device=device)  # (N, T)
    token_scores = torch.empty(len(draws), 0, device=device)  # (N, T - 1)
    while draws:
        step = next_step(decoding, tokens, [draw.limits for draw in draws], constraints)
        if not (step.normaliser.isfinite().all() and step.logits.amax(dim=1).isfinite().all()):
            raise NoNumbersError  # or every token is forbidden, as in kernels
        random = [draw.random.random() for draw in draws]
        columns = draw_columns(step.logits, random, options)[:, None]
        chosen = decoding.tokens_of(columns)
        tokens = torch.cat((tokens, chosen), dim=1)
        scores = step.unconstrained.gather(1, columns) - step.normaliser
        token_scores = torch.cat((token_scores, scores), dim=1)
        every_row = torch.arange(len(draws), device=device)
        for constraint in constraints:
            constraint.extend(every_row, chosen[:, 0], decoding.attention)

        ended = (chosen[:, 0] == EOS).tolist()
        for row, draw in enumerate(draws):
            if ended[row]:
                extra = sum(constraint.final_score(row) for constraint in constraints)
                is_free = draw.limits.prefix.first_is_free
                draw.result = _hypothesis(tokens[row], token_scores[row], options, extra, is_free)
        open_rows = [row for row, over in enumerate(ended) if not over]
        draws = [draws[row] for row in open_rows]
        if draws and len(open_rows) < len(ended):
            rows = torch.tensor(open_rows, device=device)
            _keep(decoding, constraints, rows)
            tokens = tokens.index_select(0, rows)
            token_scores = token_scores.index_select(0, rows)


def _keep(decoding: Decoding, constraints: Sequence[Constraint], rows: Tensor) -> None:
    """Go on with these rows only, each a sentence of its own."""
    decoding.keep(rows, rows)
    for constraint in constraints:
        constraint.keep(rows)


def draw_columns(logits: Tensor, random: Sequence[float], options: SearchOptions) -> Tensor:
    """For each row of logits (N, V) find the column where its random number in [0, 1) falls.

    Computes in float64. Only a column with a probability is drawn, and the likeliest one if the
    temperature is near 0. Returns columns (N,) on the device of the logits. Raises ValueError for a
    number outside [0, 1).
    """
    if not all(0 <= number < 1 for number in random):
        raise ValueError(f"random numbers of 0 or more and below 1 are allowed, not {random}")
    device = float64_device(logits.device)
    probabilities = _probabilities(logits.to(device), options)
    sums = probabilities.cumsum(dim=1)
    # A parallel sum may grow, or even shrink, where nothing is added: it rises only at columns
    # that have a probability.
    sums = sums.masked_fill(probabilities == 0, 0.0).cummax(dim=1).values
    # In float64 a number below 1 times the sum of all is below that sum.
    target = torch.tensor(random, dtype=torch.float64, device=device)[:, None] * sums[:, -1:]
    return torch.searchsorted(sums, target, right=True)[:, 0].to(logits.device)


def _probabilities(logits: Tensor, options: SearchOptions) -> Tensor:
    """The probabilities (N, V) to draw by, in float64, of sum 1 before top-p leaves columns out."""
    if 0 < options.top_k < logits.size(1):
        least = logits.topk(options.top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    # The likeliest column has 0 here, so that no temperature makes it infinite.
    relative = logits.double() - logits.double().amax(dim=1, keepdim=True)
    probabilities = (relative / max(options.temperature, SMALLEST_DIVISOR)).softmax(dim=1)
    if options.top_p < 1:
        ordered, columns = probabilities.sort(dim=1, descending=True, stable=True)
        before = ordered.cumsum(dim=1) - ordered
        left_out = torch.zeros_like(ordered, dtype=torch.bool)
        left_out.scatter_(1, columns, before >= options.top_p)
        left_out.scatter_(1, columns[:, :1], False)
        probabilities = probabilities.masked_fill(left_out, 0.0)
    return probabilities


def _hypothesis(
    tokens: Tensor,
    token_scores: Tensor,
    options: SearchOptions,
    extra_score: float,
    first_is_free: bool,
) -> Hypothesis:
    """Make a hypothesis of tokens (T,), BOS first and EOS last, and their scores (T - 1,)."""
    scores = tuple(token_scores.tolist())
    score = sum(scores[first_is_free:]) / options.length_penalty_for(len(scores)) + extra_score
    return Hypothesis(tuple(tokens[1:-1].tolist()), score, scores)
