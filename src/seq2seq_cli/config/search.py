"""Options of search, and how much it does at a time."""

import math
from collections.abc import Collection, Mapping
from typing import Any, Literal

from seq2seq_cli.config.settings import Section, require, setting
from seq2seq_cli.deferred import dataclass

# Source tokens searched at a time. More is not faster on a CPU, where the cached states of decoders
# then no longer fit the processor's caches (recipes/bench/LOG.md).
SEARCH_BATCH_TOKENS = 1024
USUAL_BEAM = 5  # wider beams take smaller batches
MOST_BEAM = 1000  # a wider one is not better, and may not fit into memory
GREEDY_BATCH_TOKENS = 2048  # with one hypothesis a sentence
MOST_WORKERS = 4  # batches searched side by side by default: Python runs in one thread at a time

LengthPenalty = Literal["gnmt", "power", "none"]


@dataclass(frozen=True)
class SearchOptions(Section):
    """How to search. Lengths are in tokens, the final EOS counted.

    A hypothesis' score is its log-probability divided by the length penalty, less the coverage
    penalty. With `sample` there is no beam: each hypothesis is drawn token by token.
    """

    beam: int = setting(5, at_least=1, at_most=MOST_BEAM)
    """Hypotheses kept at each step; 1 is greedy search."""

    n_best: int = setting(1, at_least=1)
    """Hypotheses returned; with `sample`, the number drawn."""

    length_penalty: LengthPenalty = "gnmt"
    """Divisor of the log-probability of L tokens: ((5+L)/6)^alpha (Wu 2016), L^alpha or 1.

    Paper: Wu et al. 2016, Google's Neural Machine Translation System (gnmt).
    """

    alpha: float = setting(1.0, at_least=-10, at_most=10)
    """Exponent of the length penalty; higher values favour longer translations; -10 to 10."""

    coverage_penalty: float = setting(0.0, at_least=0, at_most=100)
    """Penalty for source tokens that get little attention: beta of Wu 2016, 0 to 100.

    Paper: Wu et al. 2016, Google's Neural Machine Translation System.
    """

    repetition_penalty: float = setting(1.0, at_least=1, at_most=100)
    """Factor on the log-probabilities of tokens that were written before (Keskar 2019); 1 to 100.

    Paper: Keskar et al. 2019, CTRL: A Conditional Transformer Language Model.
    """

    no_repeat_ngram: int = setting(0, at_least=0, at_most=1000)
    """No sequence of this many tokens occurs twice (Paulus 2018); 0: off.

    Paper: Paulus et al. 2018, A Deep Reinforced Model for Abstractive Summarization.
    """

    min_ratio: float = setting(0.0, at_least=0)
    """Shortest translation, in tokens per source token."""

    max_ratio: float = setting(2.0, at_least=0, at_most=1000)
    """Longest translation, in tokens per source token …"""

    max_extra: int = setting(20, at_least=0, at_most=1_000_000)
    """… plus this many tokens."""

    sample: bool = False
    """Draw each token at random instead of keeping a beam."""

    temperature: float = setting(1.0, above=0)
    """Divisor of the logits to draw by; lower values favour likely tokens; above 0."""

    top_k: int = setting(0, at_least=0, at_most=2**31)
    """Draw from this many most likely tokens (Fan 2018); 0: from all.

    Paper: Fan et al. 2018, Hierarchical Neural Story Generation.
    """

    top_p: float = setting(1.0, above=0, at_most=1)
    """Draw from the fewest tokens whose probabilities sum to this (Holtzman 2020); above 0 to 1.

    Paper: Holtzman et al. 2020, The Curious Case of Neural Text Degeneration.
    """

    seed: int = setting(1, at_least=0, at_most=2**63 - 1)
    """Seed of the random draws, which depend on it and on the number of the line alone."""

    @classmethod
    def assignment(cls, name: str, value: object) -> str:
        """How messages write an option with its value, as in `n_best=3`."""
        return f"{name}={value!r}"

    def __post_init__(self) -> None:
        super().__post_init__()
        written = {name: self.assignment(name, value) for name, value in vars(self).items()}
        require(
            self.sample or self.n_best <= self.beam,
            f"{written['n_best']}: 1 to {self.beam} is allowed with {written['beam']}; a wider "
            "beam finds more",
        )
        require(
            self.min_ratio <= self.max_ratio,
            f"{written['min_ratio']}: 0 to {self.max_ratio:,} is allowed, with "
            f"{written['max_ratio']}",
        )
        for name in ("temperature", "top_k", "top_p", "seed"):
            require(
                self.sample or getattr(self, name) == getattr(type(self), name),
                f"{written[name]} is for sampling; add {self.assignment('sample', True)}",
            )
        require(
            not (self.sample and self.coverage_penalty),
            f"{written['coverage_penalty']} ranks hypotheses of a beam, {written['sample']} draws "
            "them; leave one out",
        )
        require(
            self.length_penalty != "none" or self.alpha == 1.0,
            f"{written['alpha']} does nothing with {written['length_penalty']}; leave one out",
        )

    @staticmethod
    def author_choices(
        author: Mapping[str, Any], given: Collection[str], *, sample: bool
    ) -> dict[str, Any]:
        """The options of a run's author that still hold beside those that a user has given."""
        dropped = set(given)
        if "length_penalty" in given:
            dropped.add("alpha")  # it was chosen for another penalty
        if sample:
            dropped |= {"beam", "length_penalty", "alpha", "coverage_penalty"}
        return {name: value for name, value in author.items() if name not in dropped}

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
