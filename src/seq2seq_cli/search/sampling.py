"""Drawing translations word by word from what the model predicts.

A line's draws depend on the seed and its number alone: each hypothesis has random numbers of its
own, so that neither the batch nor its order changes them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor

from seq2seq_cli.inference.candidates import log_sum_exp
from seq2seq_cli.padding import pad
from seq2seq_cli.search.constraints import Sentence, constrain
from seq2seq_cli.search.hypothesis import Hypothesis, NoNumbersError
from seq2seq_cli.search.options import SearchOptions
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.symbols import BOS, EOS, PAD


@dataclass
class _Drawn(Sentence):
    """One hypothesis to draw."""

    random: Random = field(default_factory=Random)
    result: Hypothesis | None = None


@torch.inference_mode()
def sample(
    predictor: Predictor,
    source: Tensor,
    options: SearchOptions,
    prefixes: Sequence[Sequence[int]] = (),
    numbers: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """Draw `n_best` translations of each row of (B, S) ids, in the order drawn.

    `numbers` tell the rows apart, whatever batch they are in; the row's own place without them.
    Temperature first, then top-k, then top-p, as Holtzman 2020 does. Raises NoNumbersError where
    the model gives no probabilities.
    """
    lengths = (source != PAD).sum(dim=1).tolist()
    draws = options.n_best
    drawn = [
        _Drawn(
            index,
            options.min_length(length),
            options.max_length(length, len(prefixes[index]) if prefixes else 0),
            prefixes[index] if prefixes else (),
            _random(options, numbers[index] if numbers else index, draw),
        )
        for index, length in enumerate(lengths)
        for draw in range(draws)
    ]
    results: list[list[_Drawn]] = [drawn[i * draws : (i + 1) * draws] for i in range(len(lengths))]
    # Each hypothesis is a sentence of its own here, so that those that have ended can leave.
    rows = torch.arange(len(lengths), device=source.device).repeat_interleave(draws)
    forced = pad(prefixes).to(source.device) if any(prefixes) else None
    decoding = predictor.begin(source, 1, forced)
    if draws > 1:
        decoding.keep(rows, rows)  # read once, for all of its draws
    tokens = source.new_full((len(drawn), 1), BOS)
    scores = torch.empty(len(drawn), 0, device=source.device)
    while drawn:
        logits = decoding.step(tokens[:, -1])
        normaliser = log_sum_exp(logits)
        if normaliser.isnan().any():
            raise NoNumbersError
        plain = logits.clone()
        constrain(logits, normaliser, tokens, drawn, decoding, options)
        random = torch.tensor([each.random.random() for each in drawn], device=source.device)
        columns = draw_columns(logits, random, options)[:, None]
        chosen = columns if decoding.columns is None else decoding.columns[columns]
        tokens = torch.cat((tokens, chosen), dim=1)
        scores = torch.cat((scores, plain.gather(1, columns) - normaliser), dim=1)
        ended = (chosen[:, 0] == EOS).tolist()
        for row, each in enumerate(drawn):
            if ended[row]:
                each.result = _hypothesis(tokens[row], scores[row], options)
        going = [row for row, over in enumerate(ended) if not over]
        drawn = [drawn[row] for row in going]
        if drawn and len(going) < len(ended):
            kept = torch.tensor(going, device=source.device)
            decoding.keep(kept, kept)
            tokens, scores = tokens.index_select(0, kept), scores.index_select(0, kept)
    return [[each.result for each in row if each.result] for row in results]


def _random(options: SearchOptions, number: int, draw: int) -> Random:
    """The random numbers of a hypothesis, other ones for each: seeded by all bits of a hash."""
    digest = hashlib.sha256(f"{options.seed} {number} {draw}".encode()).digest()
    return Random(int.from_bytes(digest, "big"))


def draw_columns(logits: Tensor, random: Tensor, options: SearchOptions) -> Tensor:
    """For each row of logits (N, V) the column that its random number (N,) in [0, 1) falls on."""
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
    # A number below the sum of all, and so on a column that has a probability.
    wanted = random.double()[:, None] * sums[:, -1:]
    return torch.searchsorted(sums, wanted, right=True).clamp(max=logits.size(1) - 1)[:, 0]


def _hypothesis(tokens: Tensor, scores: Tensor, options: SearchOptions) -> Hypothesis:
    ids = tuple(tokens[1:-1].tolist())
    token_scores = tuple(scores.tolist())
    return Hypothesis(
        ids, sum(token_scores) / options.length_penalty_for(len(token_scores)), token_scores
    )
