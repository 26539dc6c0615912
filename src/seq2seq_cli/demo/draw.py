"""Random choice, balanced over the words, and a record of the combinations drawn."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from . import holdout
from .entries import Adjective, Noun, Verb
from .holdout import Construction

Option = TypeVar("Option")
Word = TypeVar("Word", Noun, Adjective, Verb)


class Draw:
    """Draws from one seed; only `Random.random` is used, which no Python version changes.

    `ornament` scales the probability of everything optional in a sentence. `held_out` says whether
    the sentence drawn since `start` has a combination that the training split must not have.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random
        self._uses: dict[Noun | Adjective | Verb, int] = {}
        self._drawn: list[Noun | Adjective | Verb] = []
        self.ornament = 1.0
        self.held_out = False

    def start(self, ornament: float) -> None:
        """Begin a new sentence."""
        self.ornament = ornament
        self.held_out = False
        self._drawn.clear()

    def accept(self) -> None:
        """Count the words of the sentence, which was added to the corpus."""
        for word in self._drawn:
            self._uses[word] = self._uses.get(word, 0) + 1

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._random() < probability

    def extra(self, probability: float) -> bool:
        """Return True with this probability times `ornament`."""
        return self._random() < probability * self.ornament

    def number(self, low: int, high: int) -> int:
        """Draw an integer from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def one(self, options: Sequence[Option]) -> Option:
        """Draw one of the options, all with the same probability."""
        return options[int(self._random() * len(options))]

    def weighted(self, options: Sequence[tuple[float, Option]]) -> Option:
        """Draw one of the options, with probabilities proportional to their weights."""
        total = 0.0
        for weight, _ in options:
            total += weight
        rest = self._random() * total
        for weight, option in options:
            rest -= weight
            if rest < 0:
                return option
        return options[-1][1]

    def until(
        self, make: Callable[[], Option], accept: Callable[[Option], bool], tries: int = 0
    ) -> Option:
        """Draw until the result is accepted; rejected results are not recorded.

        With `tries`, the last of this many draws is accepted whatever it is.
        """
        while True:
            held_out, used = self.held_out, len(self._drawn)
            drawn = make()
            tries -= 1
            if tries == 0 or accept(drawn):
                return drawn
            self.held_out = held_out
            del self._drawn[used:]

    def balanced(self, words: Sequence[Word]) -> Word:
        """Take the rarest so far of three words, so that all become about equally frequent."""
        random, uses, size = self._random, self._uses, len(words)
        word = words[int(random() * size)]
        fewest = uses.get(word, 0)
        for _ in range(2):
            other = words[int(random() * size)]
            if uses.get(other, 0) < fewest:
                word, fewest = other, uses.get(other, 0)
        self._drawn.append(word)
        return word

    def describe(self, adjective: Adjective, noun: Noun) -> None:
        """Record an adjective before its noun."""
        self.held_out |= holdout.adjective_with_noun(adjective, noun)

    def govern(self, verb: Verb, noun: Noun) -> None:
        """Record a verb with its object."""
        self.held_out |= holdout.verb_with_object(verb, noun)

    def construct(self, verb: Verb, construction: Construction) -> None:
        """Record a verb in a construction."""
        self.held_out |= holdout.verb_in_construction(verb, construction)
