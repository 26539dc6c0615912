"""What search is asked for and what it returns."""

from dataclasses import dataclass

from seq2seq_cli.config import require


@dataclass(frozen=True)
class SearchOptions:
    """How to search. Lengths are in tokens, the final EOS counted."""

    beam: int = 5  # hypotheses kept; 1 is greedy search
    length_penalty: float = 1.0  # alpha; 0 prefers short hypotheses, more prefers longer ones
    max_ratio: float = 2.0  # a hypothesis is at most max_ratio x source length + max_extra long
    max_extra: int = 20
    n_best: int = 1

    def __post_init__(self) -> None:
        require(self.beam >= 1, f"a beam of {self.beam}: 1 or more is allowed")
        require(
            1 <= self.n_best <= self.beam,
            f"{self.n_best} best of a beam of {self.beam}: 1 to {self.beam} is allowed",
        )

    def normaliser(self, length: int) -> float:
        """The divisor of a hypothesis' log-probability, ((5 + L) / 6)^alpha (Wu et al. 2016)."""
        return float(((5 + length) / 6) ** self.length_penalty)

    def limit(self, source_length: int) -> int:
        """The greatest length of a hypothesis for a source of this length."""
        return max(1, int(self.max_ratio * source_length) + self.max_extra)

    def bound(self, log_probability: float, length: int, limit: int) -> float:
        """The best score that a hypothesis of this length can still reach by growing.

        Its log-probability can only fall; the divisor is monotonic, so greatest at an end.
        """
        return log_probability / max(self.normaliser(length + 1), self.normaliser(limit))


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation: ids without BOS and EOS."""

    tokens: tuple[int, ...]
    score: float  # the log-probability over the normaliser of its length
    log_probability: float  # natural logarithm, EOS included
