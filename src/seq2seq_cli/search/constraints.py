"""Constraints on translations: control symbols, repetition, lengths, prefixes, coverage.

Each is a class here and a line in CONSTRAINTS, in the order in which they are applied. This is the
reference in PyTorch.

Dimensions: B sentences, K hypotheses of each, N = B x K rows of hypotheses, S source tokens,
T target tokens, V columns of logits.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.search.candidates import log_sum_exp
from seq2seq_cli.search.decoding import Decoding
from seq2seq_cli.search.prefix import ForcedPrefix
from seq2seq_cli.search.request import Request, Sentence
from seq2seq_cli.symbols import BOS, EOS, PAD


@dataclass(frozen=True)
class Step:
    """The next token of every hypothesis, before it is chosen."""

    logits: Tensor  # (N, V); constraints change it in place
    unconstrained: Tensor  # (N, V), of the model; see `Constraint.needs_unconstrained`
    normaliser: Tensor  # (N, 1), log-sum-exp of `unconstrained`
    tokens: Tensor  # (N, T) read so far, BOS first
    sentences: Sequence[Sentence]  # B
    decoding: Decoding

    @property
    def length(self) -> int:
        """The length of hypotheses with the next token; one that ends now has it, EOS counted."""
        return self.tokens.size(1)

    def by_sentence(self, logits: Tensor) -> Tensor:
        """View (N, V) as (B, K, V)."""
        return logits.view(len(self.sentences), -1, logits.size(1))

    def indices(self, condition: Callable[[Sentence], bool]) -> list[int]:
        """The indices of the sentences that meet a condition."""
        return [i for i, sentence in enumerate(self.sentences) if condition(sentence)]

    def allow_only(self, sentences: Sequence[int], column: int, logits: Tensor) -> None:
        """Forbid all but one column in these sentences; it has its value in `logits` (N, V)."""
        if not sentences:
            return
        chosen = list(sentences)
        only = torch.full_like(self.by_sentence(self.logits)[chosen], -torch.inf)
        only[..., column] = self.by_sentence(logits)[chosen][..., column]
        self.by_sentence(self.logits)[chosen] = only


class Constraint:
    """A rule for one search, made from a request. A subclass defines `of` and what it needs.

    A rule about tokens changes logits in `apply`. A rule about whole hypotheses lowers their scores
    in `final_score`; it may have a state for each row, which `extend` and `keep` update.
    """

    @classmethod
    def of(cls, request: Request) -> "Constraint | None":
        """Make the constraint, or return None if the request does not ask for it."""
        raise NotImplementedError

    def needs_unconstrained(self, length: int) -> bool:
        """Whether a step of this length needs a copy of the logits before constraints change them.

        Return True to read the copy, or to give tokens that stay allowed other logits: their scores
        are taken from the copy.
        """
        return False

    def apply(self, step: Step) -> None:
        """Change the logits of a step in place; -inf forbids a token."""

    def extend(self, origins: Tensor, tokens: Tensor, attention: Tensor) -> None:
        """Go on in row i with the row origins[i] of the step before and tokens[i]; (N,) both.

        `attention` (N before, S) is where the model looked in this step, if that is captured.
        """

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows only."""

    def final_score(self, row: int) -> float:
        """The number added to the score of a hypothesis that ends in a row: 0 or less."""
        return 0.0


class ControlSymbols(Constraint):
    """A translation holds no PAD, UNK or BOS."""

    @classmethod
    def of(cls, request: Request) -> "ControlSymbols":
        return cls()

    def apply(self, step: Step) -> None:
        step.logits[:, PAD : BOS + 1] = -torch.inf


@dataclass
class RepetitionPenalty(Constraint):
    """The log-probability of a token that was said before is multiplied (Keskar 2019)."""

    penalty: float

    @classmethod
    def of(cls, request: Request) -> "RepetitionPenalty | None":
        penalty = request.options.repetition_penalty
        return cls(penalty) if penalty != 1.0 else None

    def needs_unconstrained(self, length: int) -> bool:
        return length > 1

    def apply(self, step: Step) -> None:
        if step.length == 1:
            return
        said = step.decoding.columns_of(step.tokens[:, 1:])
        log_probabilities = step.logits.gather(1, said) - step.normaliser
        step.logits.scatter_(1, said, step.normaliser + log_probabilities * self.penalty)


@dataclass
class NoRepeatNgram(Constraint):
    """An n-gram of so many tokens comes once at most (Paulus 2018)."""

    size: int

    @classmethod
    def of(cls, request: Request) -> "NoRepeatNgram | None":
        size = request.options.no_repeat_ngram
        return cls(size) if size else None

    def apply(self, step: Step) -> None:
        if step.length <= self.size:
            return
        said = step.decoding.columns_of(step.tokens)  # (N, T)
        # BOS, at index 0, is in no n-gram.
        ngrams = said[:, 1:].unfold(1, self.size, 1)  # (N, T - n, n)
        last = said[:, step.length - self.size + 1 :]  # the n - 1 that the next token follows
        same = (ngrams[..., :-1] == last[:, None]).all(dim=2)
        rows, positions = same.nonzero(as_tuple=True)
        step.logits[rows, ngrams[rows, positions, -1]] = -torch.inf


class MinLength(Constraint):
    """A hypothesis is as long as `min_ratio` says, unless nothing but EOS could follow."""

    @classmethod
    def of(cls, request: Request) -> "MinLength | None":
        return cls() if request.options.min_ratio else None

    def apply(self, step: Step) -> None:
        too_short = step.indices(lambda sentence: step.length < sentence.min_length)
        if not too_short:
            return
        logits = step.by_sentence(step.logits)[too_short]
        end = logits[..., EOS].clone()
        logits[..., EOS] = -torch.inf
        nothing_else = logits.amax(dim=2) == -torch.inf
        logits[..., EOS] = torch.where(nothing_else, end, -torch.inf)
        step.by_sentence(step.logits)[too_short] = logits


class MaxLength(Constraint):
    """A hypothesis that reaches the greatest length ends."""

    @classmethod
    def of(cls, request: Request) -> "MaxLength":
        return cls()

    def apply(self, step: Step) -> None:
        at_limit = step.indices(lambda sentence: step.length == sentence.max_length)
        step.allow_only(at_limit, EOS, step.logits)


class Prefix(Constraint):
    """A hypothesis begins with the prefix of its sentence, whatever else is forbidden.

    What follows a last word that is whole is free otherwise.
    """

    def __init__(self, prefixes: Sequence[ForcedPrefix]) -> None:
        self.rows = [(prefix, 0) for prefix in prefixes]  # N, the prefix of each and its state
        self.open: list[int] = []  # rows whose prefix is not complete
        self._find_open()

    @classmethod
    def of(cls, request: Request) -> "Prefix | None":
        prefixes = [sentence.prefix for sentence in request.sentences]
        return cls(prefixes) if any(prefixes) else None

    def _find_open(self) -> None:
        self.open = [row for row, (prefix, state) in enumerate(self.rows) if state < prefix.end]

    def needs_unconstrained(self, length: int) -> bool:
        return bool(self.open)

    def apply(self, step: Step) -> None:
        for row in self.open:
            prefix, state = self.rows[row]
            tokens = torch.tensor(prefix.moves[state].tokens, device=step.logits.device)
            columns = step.decoding.columns_of(tokens)
            only = torch.full_like(step.logits[row], -torch.inf)
            logits = step.logits if state == prefix.complete else step.unconstrained
            only[columns] = logits[row, columns]
            step.logits[row] = only

    def extend(self, origins: Tensor, tokens: Tensor, attention: Tensor) -> None:
        if not self.open:
            return
        before = [self.rows[row] for row in origins.tolist()]
        self.rows = [
            (prefix, prefix.after(state, token))
            for (prefix, state), token in zip(before, tokens.tolist(), strict=True)
        ]
        self._find_open()

    def keep(self, rows: Tensor) -> None:
        if not self.open:
            return
        self.rows = [self.rows[row] for row in rows.tolist()]
        self._find_open()


class CoveragePenalty(Constraint):
    """A hypothesis that hardly looked at some source tokens is ranked lower (Wu 2016).

    The penalty is beta times the sum, over source tokens, of the logarithm of all the attention to
    the token, which counts as 1 at most.
    """

    LEAST = 1e-6  # a source token that nothing looked at would cost infinitely much

    def __init__(self, beta: float, lengths: Sequence[int]) -> None:
        self.beta = beta
        padding = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
        self.coverage = padding.float()  # (N, S), the sum of attention; padding is covered

    @classmethod
    def of(cls, request: Request) -> "CoveragePenalty | None":
        beta = request.options.coverage_penalty
        return cls(beta, request.lengths) if beta else None

    def extend(self, origins: Tensor, tokens: Tensor, attention: Tensor) -> None:
        self.coverage = (self.coverage.to(attention) + attention).index_select(0, origins)

    def keep(self, rows: Tensor) -> None:
        self.coverage = self.coverage.to(rows.device).index_select(0, rows)

    def final_score(self, row: int) -> float:
        covered = self.coverage[row].clamp(self.LEAST, 1.0).log().sum()
        return self.beta * float(covered)


CONSTRAINTS: tuple[type[Constraint], ...] = (
    ControlSymbols,
    RepetitionPenalty,
    NoRepeatNgram,
    MinLength,
    MaxLength,
    Prefix,
    CoveragePenalty,
)


def constraints_for(request: Request) -> list[Constraint]:
    """The constraints that a request asks for, in the order in which they are applied."""
    made = (kind.of(request) for kind in CONSTRAINTS)
    return [constraint for constraint in made if constraint is not None]


def next_step(
    decoding: Decoding,
    tokens: Tensor,
    sentences: Sequence[Sentence],
    constraints: Sequence[Constraint],
) -> Step:
    """Read the last of tokens (N, T), BOS first, and constrain the logits of what follows."""
    logits = decoding.step(tokens[:, -1])
    length = tokens.size(1)
    copied = any(constraint.needs_unconstrained(length) for constraint in constraints)
    step = Step(
        logits=logits,
        unconstrained=logits.clone() if copied else logits,
        normaliser=log_sum_exp(logits),
        tokens=tokens,
        sentences=sentences,
        decoding=decoding,
    )
    for constraint in constraints:
        constraint.apply(step)
    return step
