"""A finished translation."""

from seq2seq_cli.deferred import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation."""

    tokens: tuple[int, ...]  # ids without BOS and EOS
    score: float  # ranks hypotheses, see `SearchOptions`
    # The model's natural log-probability of each token, then EOS; with a shortlist, of its words
    token_scores: tuple[float, ...]

    def without_first(self, count: int) -> "Hypothesis":
        """The hypothesis without its first tokens, with the score that it was ranked by."""
        if not count:
            return self
        return Hypothesis(self.tokens[count:], self.score, self.token_scores[count:])

    @property
    def log_probability(self) -> float:
        """The model's natural log-probability of all tokens, EOS included."""
        return sum(self.token_scores, 0.0)
