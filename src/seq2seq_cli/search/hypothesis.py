"""A finished translation, and the error if there is none."""

from dataclasses import dataclass

from seq2seq_cli.errors import Seq2seqError


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation."""

    tokens: tuple[int, ...]  # ids without BOS and EOS
    score: float  # ranks hypotheses, see `SearchOptions`
    # The model's natural log-probability of each token, then EOS; with a shortlist, of its words
    token_scores: tuple[float, ...]

    @property
    def log_probability(self) -> float:
        """The model's natural log-probability of all tokens, EOS included."""
        return sum(self.token_scores, 0.0)


class NoNumbersError(Seq2seqError):
    """The model predicts NaN, by which hypotheses cannot be ranked."""

    def __init__(self) -> None:
        super().__init__(
            "the model's scores are not numbers (NaN): its weights are damaged, or its training "
            "diverged; train again with a smaller training.learning_rate"
        )
