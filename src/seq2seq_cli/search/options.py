"""Options of search: beam, scores, limits, drawing."""

import math
from dataclasses import dataclass
from typing import Literal

from seq2seq_cli.config.search import MOST_BEAM
from seq2seq_cli.config.settings import require

LengthPenalty = Literal["gnmt", "power", "none"]


@dataclass(frozen=True)
class SearchOptions:
    """How to search. Lengths are in tokens, the final EOS counted.

    A hypothesis' score is its log-probability divided by the length penalty, less the coverage
    penalty. With `sample` there is no beam: each hypothesis is drawn token by token.
    """

    beam: int = 5  # hypotheses kept; 1 is greedy search
    n_best: int = 1  # hypotheses returned; with `sample`, drawn

    # gnmt: ((5 + L) / 6)^alpha (Wu 2016); power: L^alpha (as in OpenNMT and Marian); none: 1
    length_penalty: LengthPenalty = "gnmt"
    alpha: float = 1.0  # 0 prefers short hypotheses, more prefers longer ones
    coverage_penalty: float = 0.0  # beta of Wu 2016: dislikes source tokens hardly looked at
    repetition_penalty: float = 1.0  # a repeated token's log-probability times this (Keskar 2019)
    no_repeat_ngram: int = 0  # no n-gram of this many tokens comes twice (Paulus 2018); 0: any may

    min_ratio: float = 0.0  # a hypothesis is at least min_ratio x source length long
    max_ratio: float = 2.0  # and at most max_ratio x source length + max_extra
    max_extra: int = 20

    sample: bool = False
    temperature: float = 1.0  # below 1 makes likely words likelier; with `sample`, as the next two
    top_k: int = 0  # drawn among this many likeliest words (Fan 2018); 0: all
    top_p: float = 1.0  # drawn among the fewest words of this probability (Holtzman 2020)
    seed: int = 1  # of drawing

    def __post_init__(self) -> None:
        self._check_beam()
        self._check_ranges()
        self._check_sampling()
        require(
            not (self.sample and self.coverage_penalty),
            "--coverage-penalty ranks hypotheses of a beam; --sample draws them, leave one out",
        )
        require(
            self.length_penalty != "none" or self.alpha == 1.0,
            f"--alpha {self.alpha} does nothing with --length-penalty none; leave one out",
        )

    def _check_beam(self) -> None:
        require(1 <= self.beam <= MOST_BEAM, f"--beam {self.beam}: 1 to {MOST_BEAM:,} is allowed")
        require(
            self.n_best >= 1 and (self.sample or self.n_best <= self.beam),
            f"--n-best {self.n_best}: "
            + (
                "at least 1 is allowed"
                if self.sample
                else f"1 to {self.beam} is allowed with --beam {self.beam}; a wider beam finds more"
            ),
        )

    def _check_ranges(self) -> None:
        for name, low, high in (
            ("alpha", -10, 10),
            ("coverage_penalty", 0, 100),
            ("repetition_penalty", 1, 100),
            ("no_repeat_ngram", 0, 1000),
            ("max_ratio", 0, 1000),
            ("min_ratio", 0, self.max_ratio),
            ("max_extra", 0, 1_000_000),
            ("top_k", 0, 2**31),
            ("seed", 0, 2**63 - 1),
        ):
            value = getattr(self, name)
            require(
                low <= value <= high,
                f"--{name.replace('_', '-')} {value}: {low} to {high:,} is allowed"
                + (", which is --max-ratio" if name == "min_ratio" else ""),
            )

    def _check_sampling(self) -> None:
        require(
            0 < self.temperature < math.inf,
            f"--temperature {self.temperature}: a number above 0 is allowed",
        )
        require(0 < self.top_p <= 1, f"--top-p {self.top_p}: above 0 to 1 is allowed")
        for name, value, off in (
            ("temperature", self.temperature, 1.0),
            ("top-k", self.top_k, 0),
            ("top-p", self.top_p, 1.0),
            ("seed", self.seed, 1),
        ):
            require(self.sample or value == off, f"--{name} {value} is for drawing; add --sample")

    def length_penalty_for(self, length: int) -> float:
        """Compute what the log-probability of a hypothesis with this length is divided by."""
        if self.length_penalty == "gnmt":
            return float(((5 + length) / 6) ** self.alpha)
        if self.length_penalty == "power":
            return float(length**self.alpha)
        return 1.0

    def min_length(self, source_length: int) -> int:
        """Compute the least length of a hypothesis for a source of this length."""
        return max(
            1, min(math.ceil(self.min_ratio * source_length), self.max_length(source_length))
        )

    def max_length(self, source_length: int, prefix_length: int = 0) -> int:
        """Compute the greatest length of a hypothesis for a source of this length.

        A prefix always fits.
        """
        most = int(self.max_ratio * source_length) + self.max_extra
        return max(1, most, prefix_length + 1)

    def best_reachable_score(self, log_probability: float, length: int, longest: int) -> float:
        """Compute the best score that a hypothesis of this length can still reach by growing.

        Its log-probability can only fall, and constraints only take from its score. The length
        penalty is monotonic, so it is greatest at an end.
        """
        return log_probability / max(
            self.length_penalty_for(length + 1), self.length_penalty_for(longest)
        )
