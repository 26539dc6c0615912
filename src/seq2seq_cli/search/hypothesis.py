"""What search returns."""

from dataclasses import dataclass

from seq2seq_cli.errors import Seq2seqError


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation."""

    tokens: tuple[int, ...]  # ids without BOS and EOS
    score: float  # what hypotheses are ranked by, see `SearchOptions`
    # The model's natural log-probability of each token, then EOS; with a shortlist, among its words
    token_scores: tuple[float, ...]

    @property
    def log_probability(self) -> float:
        """The model's natural log-probability of the whole, EOS included."""
        return sum(self.token_scores, 0.0)


class NoNumbersError(Seq2seqError):
    """What a model predicts cannot be ranked."""

    def __init__(self) -> None:
        super().__init__(
            "the model's scores are no numbers (NaN): its weights are damaged, or its training "
            "diverged; train again with a smaller training.learning_rate"
        )
