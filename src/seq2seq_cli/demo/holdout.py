"""The combinations of words that are held out: not in the training split, only in test.

Every word has a number, its index in the tables. A combination of two words is held out if their
numbers add up to a multiple of thirteen. The rule is easy to recompute, it is spread evenly over
the words, and it leaves each word in many other combinations.
"""

from typing import Literal

from .entries import Adjective, Noun, Verb

SPACING = 13
Construction = Literal["future", "question", "relative"]
_CONSTRUCTION_NUMBERS: dict[Construction, int] = {"future": 0, "question": 4, "relative": 8}


def adjective_with_noun(adjective: Adjective, noun: Noun) -> bool:
    """Whether this adjective before this noun is held out for the test split."""
    return (adjective.index + noun.index) % SPACING == 0


def verb_with_object(verb: Verb, noun: Noun) -> bool:
    """Whether this verb with this noun as its object, in any case, is held out for test."""
    return (verb.index + noun.index) % SPACING == 0


def verb_in_construction(verb: Verb, construction: Construction) -> bool:
    """Whether this verb in this construction is held out for the test split."""
    return (verb.index + _CONSTRUCTION_NUMBERS[construction]) % SPACING == 0
