"""What may not be said next: control symbols, lengths, prefixes, repetitions.

Dimensions: B sentences, N = B x K rows of hypotheses, V columns of logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq_cli.search.options import SearchOptions
from seq2seq_cli.search.predictor import Decoding
from seq2seq_cli.symbols import BOS, EOS, PAD

NEVER = slice(PAD, BOS + 1)  # PAD, UNK, BOS: no translation holds them


@dataclass
class Sentence:
    """What is asked of one sentence's target."""

    index: int  # in the batch given
    shortest: int  # lengths in tokens, EOS counted
    longest: int
    prefix: Sequence[int] = ()  # tokens it begins with


def constrain(
    logits: Tensor,
    normaliser: Tensor,
    tokens: Tensor,
    sentences: Sequence[Sentence],
    decoding: Decoding,
    options: SearchOptions,
) -> None:
    """Change logits (N, V) in place: what may not follow tokens (N, T), BOS first, becomes -inf.

    `normaliser` (N, 1) is the log-sum-exp of the logits before. A repeated token's log-probability
    is multiplied with the repetition penalty.
    """
    length = tokens.size(1)  # of the hypotheses once they are extended
    each = logits.view(len(sentences), -1, logits.size(1))
    forced = [i for i, sentence in enumerate(sentences) if length <= len(sentence.prefix)]
    forced_logits = []
    for i in forced:
        column = _column(sentences[i].prefix[length - 1], decoding, logits)
        forced_logits.append((column, each[i, :, column].clone()))
    logits[:, NEVER] = -torch.inf
    if length > 1:
        if options.repetition_penalty != 1.0:
            said = decoding.column_of(tokens[:, 1:])
            repeated = (
                normaliser + (logits.gather(1, said) - normaliser) * options.repetition_penalty
            )
            logits.scatter_(1, said, repeated)
        if options.no_repeat_ngram:
            _forbid_repetition(logits, decoding.column_of(tokens), options.no_repeat_ngram)
    too_short = [i for i, sentence in enumerate(sentences) if length < sentence.shortest]
    if too_short:
        part = each[too_short]
        end = part[..., EOS].clone()
        part[..., EOS] = -torch.inf
        nothing_else = part.amax(dim=2) == -torch.inf
        part[..., EOS] = torch.where(nothing_else, end, -torch.inf)
        each[too_short] = part
    at_limit = [i for i, sentence in enumerate(sentences) if length == sentence.longest]
    if at_limit:
        _only(each, at_limit, EOS, each[at_limit][..., EOS])
    for i, (column, value) in zip(forced, forced_logits, strict=True):
        if length < sentences[i].longest:
            _only(each, [i], column, value)


def _column(token: int, decoding: Decoding, logits: Tensor) -> int:
    return int(decoding.column_of(torch.tensor(token, device=logits.device)))


def _only(each: Tensor, places: list[int], column: int, value: Tensor) -> None:
    """Let one column alone be possible in these sentences."""
    only = torch.full_like(each[places], -torch.inf)
    only[..., column] = value
    each[places] = only


def _forbid_repetition(logits: Tensor, said: Tensor, size: int) -> None:
    """Forbid what would complete an n-gram that the columns (N, T) already hold."""
    if said.size(1) <= size:
        return
    # BOS, in the first place, is part of no n-gram.
    windows = said[:, 1:].unfold(1, size, 1)  # (N, places, n)
    last = said[:, said.size(1) - size + 1 :]  # the n - 1 that the next token would follow
    same = (windows[..., :-1] == last[:, None]).all(dim=2)
    rows, places = same.nonzero(as_tuple=True)
    logits[rows, windows[rows, places, -1]] = -torch.inf
