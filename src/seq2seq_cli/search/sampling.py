"""Sampling: translations drawn token by token from the model's probabilities.

The draws for a line depend only on the seed and the line's number: each hypothesis has a random
generator of its own, so that neither the batch nor its order changes them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.search.constraints import Constraint, constraints_for, next_step
from seq2seq_cli.search.decoding import Decoding
from seq2seq_cli.search.hypothesis import Hypothesis, NoNumbersError
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.search.request import Request, Sentence
from seq2seq_cli.symbols import BOS, EOS


@dataclass
class Draw:
    """One hypothesis to draw."""

    limits: Sentence
    random: Random
    result: Hypothesis | None = None


@torch.inference_mode()
def sample(
    predictor: Predictor,
    source: Tensor,
    options: SearchOptions,
    prefixes: Sequence[Sequence[int]] = (),
    numbers: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """Draw `n_best` translations of each row of (B, S) ids, in the order in which they are drawn.

    `numbers` identify the rows in whatever batch they are; without them a row's index does.
    Temperature comes first, then top-k, then top-p (Holtzman 2020). Raises NoNumbersError if the
    model's scores are NaN.
    """
    request = Request.of(source, options, prefixes)
    draws = [
        [
            Draw(sentence, _random(options, numbers[i] if numbers else i, draw))
            for draw in range(options.n_best)
        ]
        for i, sentence in enumerate(request.sentences)
    ]
    decoding = Decoding(predictor, source, request.prefix_tokens)
    _draw_all(decoding, request, [draw for row in draws for draw in row])
    return [[draw.result for draw in row if draw.result] for row in draws]


def _draw_all(decoding: Decoding, request: Request, draws: list[Draw]) -> None:
    """Draw token by token until every hypothesis, of which a row has `n_best`, has its result.

    Dimensions: N hypotheses still drawn, each a sentence of its own, so that it can leave alone.
    """
    options, device = request.options, request.source.device
    constraints = constraints_for(request)
    if options.n_best > 1:  # the source is read once for all draws of a row
        rows = torch.arange(len(request.sentences), device=device)
        rows = rows.repeat_interleave(options.n_best)
        _keep(decoding, constraints, rows)
    tokens = request.source.new_full((len(draws), 1), BOS)  # (N, T)
    token_scores = torch.empty(len(draws), 0, device=device)  # (N, T - 1)
    while draws:
        step = next_step(decoding, tokens, [draw.limits for draw in draws], constraints)
        if step.normaliser.isnan().any():
            raise NoNumbersError
        random = torch.tensor([draw.random.random() for draw in draws], device=device)
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
                draw.result = _hypothesis(tokens[row], token_scores[row], options, extra)
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


def _random(options: SearchOptions, number: int, draw: int) -> Random:
    """Make the random generator of one hypothesis, seeded by all bits of a hash."""
    digest = hashlib.sha256(f"{options.seed} {number} {draw}".encode()).digest()
    return Random(int.from_bytes(digest, "big"))


def draw_columns(logits: Tensor, random: Tensor, options: SearchOptions) -> Tensor:
    """For each row of logits (N, V) find the column where its random number (N,) in [0, 1) falls.

    Returns columns (N,).
    """
    logits = logits.double() / options.temperature
    if 0 < options.top_k < logits.size(1):
        least = logits.topk(options.top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities = logits.softmax(dim=1)
    if options.top_p < 1:
        ordered, columns = probabilities.sort(dim=1, descending=True, stable=True)
        before = ordered.cumsum(dim=1) - ordered
        left_out = torch.zeros_like(ordered, dtype=torch.bool)
        left_out.scatter_(1, columns, before >= options.top_p)
        probabilities = probabilities.masked_fill(left_out, 0.0)
    sums = probabilities.cumsum(dim=1)
    # A number below the sum of all, and so a column that has a probability
    target = random.double()[:, None] * sums[:, -1:]
    return torch.searchsorted(sums, target, right=True).clamp(max=logits.size(1) - 1)[:, 0]


def _hypothesis(
    tokens: Tensor, token_scores: Tensor, options: SearchOptions, extra_score: float
) -> Hypothesis:
    """Make a hypothesis of tokens (T,), BOS first and EOS last, and their scores (T - 1,)."""
    scores = tuple(token_scores.tolist())
    score = sum(scores) / options.length_penalty_for(len(scores)) + extra_score
    return Hypothesis(tuple(tokens[1:-1].tolist()), score, scores)
