"""Which combinations of words training never sees.

Every word is numbered by its place in the tables. Two words are held out together where their
numbers add up to a multiple of thirteen: a rule that anyone can recompute, that spreads evenly
over the words, and that leaves each word in many other combinations.
"""

from typing import Literal

from .entries import Adjective, Noun, Verb

SPACING = 13
Construction = Literal["future", "question", "relative"]
_CONSTRUCTION_NUMBERS: dict[Construction, int] = {"future": 0, "question": 4, "relative": 8}


def adjective_with_noun(adjective: Adjective, noun: Noun) -> bool:
    """Whether this adjective before this noun is kept for the test set."""
    return (adjective.index + noun.index) % SPACING == 0


def verb_with_object(verb: Verb, noun: Noun) -> bool:
    """Whether this verb with this noun as its object, of any case, is kept for the test set."""
    return (verb.index + noun.index) % SPACING == 0


def verb_in_construction(verb: Verb, construction: Construction) -> bool:
    """Whether this verb in this construction is kept for the test set."""
    return (verb.index + _CONSTRUCTION_NUMBERS[construction]) % SPACING == 0
