"""How likely models find given translations."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.devices import autocast
from seq2seq_cli.errors import InputError
from seq2seq_cli.padding import pad, split_by_tokens
from seq2seq_cli.symbols import BOS, EOS, PIECES
from seq2seq_cli.text import Warn
from seq2seq_cli.translation.translator import Translator

WINDOW_PAIRS = 1024  # sorted by length among each other
MOST_TOKENS = 8192  # of a line, of which attention compares each with each


@dataclass(frozen=True)
class Likelihood:
    """Of one pair; logarithms are natural."""

    pieces: tuple[str, ...]  # of the target, EOS the last
    token_scores: tuple[float, ...]  # the log-probability of each

    @property
    def log_probability(self) -> float:
        return sum(self.token_scores, 0.0)


def likelihoods(
    translator: Translator,
    sources: Sequence[str],
    targets: Sequence[str],
    warn: Warn,
    *,
    in_pieces: bool = False,
) -> Iterator[Likelihood]:
    """The likelihood of each target given the source beside it, in their order.

    Targets are text, or pieces with spaces between: search may spell a word in other pieces than
    the tokenizer cuts it into. Two blank lines have no tokens: `translate` does not ask the model
    about them either. A source that is longer than the model has learned to read is read as a
    whole, with a warning. Raises InputError for lines of more than MOST_TOKENS, and for pieces
    that are none of the vocabulary.
    """
    tokens = _ids_of_pieces(translator) if in_pieces else translator.tokenizers.target.encode
    for start in range(0, len(sources), WINDOW_PAIRS):
        part = slice(start, start + WINDOW_PAIRS)
        yield from _window(translator, sources[part], tokens(targets[part]), start + 1, warn)


def _ids_of_pieces(translator: Translator) -> Callable[[Sequence[str]], list[list[int]]]:
    """What makes ids of lines of pieces; EOS at their end, as `translate` has it, is left out."""
    target = translator.tokenizers.target

    def ids(lines: Sequence[str]) -> list[list[int]]:
        return [target.pieces_to_ids(line.removesuffix(PIECES[EOS]).split()) for line in lines]

    return ids


def _window(
    translator: Translator,
    sources: Sequence[str],
    targets: Sequence[list[int]],
    first_number: int,
    warn: Warn,
) -> list[Likelihood]:
    predictor, tokenizers = translator.predictor, translator.tokenizers
    tagged = [translator.tagged(line) for line in sources]
    source = [[*ids, EOS] for ids in tokenizers.source.encode(tagged)]
    target = [[*ids, EOS] for ids in targets]
    pairs = zip(tagged, source, target, strict=True)
    for number, (line, ids, other) in enumerate(pairs, start=first_number):
        if (most := max(len(ids), len(other))) > MOST_TOKENS:
            raise InputError(
                f"line {number} has {most:,} tokens; up to {MOST_TOKENS:,} are allowed, since "
                "it is read as a whole; split it, or leave the pair out"
            )
        if message := translator.missing_language(line, ids[:-1], number):
            warn(message)
        if len(ids) - 1 > translator.max_length:
            warn(
                f"line {number} has {len(ids) - 1:,} tokens, the model reads "
                f"{translator.max_length:,}: its likelihood is of the whole, which the model has "
                "not learned to read"
            )
    lengths = np.array([max(len(s), len(t)) for s, t in zip(source, target, strict=True)])
    blank = np.flatnonzero(lengths == 1)
    order = np.argsort(-lengths, kind="stable")
    order = order[: len(order) - len(blank)]
    found = {row: Likelihood((), ()) for row in blank.tolist()}
    for part in split_by_tokens(lengths[order], translator.batch_budget()) if len(order) else ():
        rows = order[part].tolist()
        given = pad([source[row] for row in rows]).to(predictor.device)
        wanted = pad([[BOS, *target[row]] for row in rows]).to(predictor.device)
        with autocast(predictor.device, translator.precision):
            scores = predictor.token_scores(given, wanted).tolist()
        for row, each in zip(rows, scores, strict=True):
            pieces = tuple(tokenizers.target.ids_to_pieces(target[row]))
            found[row] = Likelihood(pieces, tuple(each[: len(pieces)]))
    return [found[row] for row in range(len(sources))]


def perplexity(log_probability: float, tokens: int) -> float:
    """e to the mean negative log-probability, 1 of nothing; infinite where it is too great."""
    try:
        return math.exp(-log_probability / max(tokens, 1))
    except OverflowError:
        return math.inf
