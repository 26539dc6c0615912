"""Draws noun phrases: who, what and where."""

from dataclasses import replace
from functools import cache
from typing import Literal

from .adjectives import fitting
from .draw import Draw
from .entries import Determiner, Noun, Number, Verb
from .function_words import (
    ALL,
    BARE,
    CITIES,
    EVERY,
    HE,
    HER,
    HIS,
    IT,
    MANY,
    MY,
    NAMES,
    NO,
    OUR,
    PERSONAL,
    POSSESSIVE_OF,
    POSSESSIVES,
    SHE,
    SOME,
    THE,
    THEIR,
    THESE_THINGS,
    THEY,
    THIS,
    WE,
    YOU,
    YOUR,
    A,
    I,
)
from .nouns import NOUNS, tagged
from .structure import Name, NounPhrase, Pair, Phrase, Prepositional, Pronoun, agreement

_PEOPLE = tagged("person")
_KIN = tagged("kin")
_WHO = tagged("who")
_SUBJECTS = (I, *PERSONAL)  # "ich" comes twice as often, since its verb forms are its own
_OF = {
    tag: tagged(tag.removeprefix("of-"))
    for noun in tagged("relation")
    for tag in sorted(noun.tags)
    if tag.startswith("of-")
}
_FIRST_PERSON = (I, WE)


# Whether a phrase stands in a negated clause, and may carry the negation itself (kein).
Scope = Literal["free", "definite", "none"]


# People


def person(draw: Draw, *, definite: bool = False) -> Phrase:
    """Draw a person as a subject."""
    kind = draw.number(1, 100)
    if kind <= 22:
        return draw.one(NAMES)
    if kind <= 46:
        return draw.one(_SUBJECTS)
    if kind <= 50:
        return pair(draw)
    if kind <= 53:
        return noun_phrase(draw, draw.balanced(_WHO), None, subject=True)
    if kind <= 67:
        return noun_phrase(draw, draw.balanced(_KIN), None, subject=True)
    return noun_phrase(draw, draw.balanced(_PEOPLE), None, subject=True, definite=definite)


def pair(draw: Draw) -> Pair:
    """Two people: Anna and Tom, my brother and I."""
    first = draw.one(NAMES)
    if draw.chance(0.5):
        second = draw.one([name for name in NAMES if name is not first])
        return Pair(first, second)
    relative = NounPhrase(draw.balanced(_KIN), "singular", MY)
    return Pair(relative, I) if draw.chance(0.4) else Pair(first, relative)


def other_person(
    draw: Draw, binder: Phrase, nouns: tuple[Noun, ...], *, definite: bool = False
) -> Phrase:
    """Draw a person, as a noun, name or pronoun, other than the subject."""
    kind = draw.number(1, 100)
    if kind <= 18:
        return draw.one([name for name in NAMES if name is not binder])
    if kind <= 38:
        return draw.one([pronoun for pronoun in PERSONAL if _distinct(pronoun, binder)])
    return noun_phrase(draw, _different_noun(draw, nouns, binder), binder, definite=definite)


def _distinct(pronoun: Pronoun, binder: Phrase) -> bool:
    """Whether both are different people: not "I see me" or "we see me"; but "he sees him" is."""
    if isinstance(binder, Pair):
        return pronoun in (YOU, THEY)
    if binder in _FIRST_PERSON or binder is YOU:
        return pronoun is not binder and not (pronoun in _FIRST_PERSON and binder in _FIRST_PERSON)
    return True


def _different_noun(draw: Draw, nouns: tuple[Noun, ...], binder: Phrase) -> Noun:
    noun = draw.balanced(nouns)
    while isinstance(binder, NounPhrase) and noun is binder.noun:
        noun = draw.one(nouns)
    return noun


# Things


def object_phrase(
    draw: Draw, verb: Verb, tags: tuple[str, ...], binder: Phrase, *, negation: Scope = "free"
) -> Phrase:
    """Draw an object: a noun with one of the tags, or a person if the tags allow people."""
    nouns = tagged(*tags)
    if "kin" in tags and draw.chance(0.75):
        phrase = other_person(draw, binder, _people_among(nouns), definite=negation != "free")
    else:
        noun = _different_noun(draw, nouns, binder)
        if negation == "none" and draw.chance(0.5) and not noun.tags & {"kin", "relation"}:
            phrase = _negated(draw, noun)
        else:
            single = "one" in verb.traits
            definite = negation != "free"
            phrase = noun_phrase(draw, noun, binder, definite=definite, single=single)
    if isinstance(phrase, NounPhrase):
        draw.govern(verb, phrase.noun)
    return phrase


@cache
def _people_among(nouns: tuple[Noun, ...]) -> tuple[Noun, ...]:
    return tuple(noun for noun in nouns if noun.tags & {"person", "kin", "who"})


def _negated(draw: Draw, noun: Noun) -> NounPhrase:
    several = noun.countable and "single" not in noun.tags and draw.chance(0.4)
    return NounPhrase(noun, "plural" if several else "singular", NO)


def noun_phrase(
    draw: Draw,
    noun: Noun,
    binder: Phrase | None,
    *,
    subject: bool = False,
    definite: bool = False,
    plain: bool = False,
    single: bool = False,
) -> NounPhrase:
    """Draw a noun with a determiner that suits it, and sometimes adjectives or an owner.

    `binder` is the subject, whose possessive is the likeliest; `definite` excludes "a" and similar
    determiners; `plain` excludes everything that makes the phrase long, `single` the plural.
    """
    if "kin" in noun.tags and not plain and draw.extra(0.12):
        return NounPhrase(noun, "singular", THE, owner=draw.one(NAMES))
    number: Number = "singular" if single else _number(draw, noun)
    determiner = _determiner(draw, noun, number, binder, subject=subject, definite=definite)
    count = 0
    if number == "plural" and determiner in (BARE, THE) and not definite and draw.chance(0.35):
        count = draw.number(2, 12) if draw.chance(0.8) else 10 * draw.number(2, 9)
        count = 0 if determiner is THE and count > 12 else count
    phrase = NounPhrase(noun, number, determiner, count=count)
    if plain:
        return phrase
    return _adorned(draw, phrase)


def _number(draw: Draw, noun: Noun) -> Number:
    if not noun.countable or noun.tags & {"single", "weather", "relation"}:
        return "singular"
    rare = noun.tags & {"event", "kin", "matter", "room", "part", "king", "queen"}
    return "plural" if draw.chance(0.1 if rare else 0.25) else "singular"


def _determiner(
    draw: Draw,
    noun: Noun,
    number: Number,
    binder: Phrase | None,
    *,
    subject: bool,
    definite: bool,
) -> Determiner:
    if "kin" in noun.tags:
        return _possessive(draw, binder)
    if noun.tags & {"owned", "related"} and draw.chance(0.25):
        return _possessive(draw, binder)
    if noun.tags & {"relation", "weather"}:
        return THE
    if not noun.countable:
        return THE if subject or definite or draw.chance(0.5) else BARE
    if definite:
        return THE if draw.chance(0.8) else THIS
    if number == "plural":
        if subject:
            return draw.weighted(((45, THE), (20, MANY), (15, SOME), (12, ALL), (8, THIS)))
        return draw.weighted(((35, THE), (40, BARE), (10, MANY), (10, SOME), (5, THIS)))
    if subject:
        return draw.weighted(((76, THE), (10, A), (8, THIS), (6, EVERY)))
    return draw.weighted(((52, THE), (40, A), (8, THIS)))


def _possessive(draw: Draw, binder: Phrase | None) -> Determiner:
    own = possessive_of(binder) if binder else None
    if own and draw.chance(0.75):
        return own
    if binder is None:
        return draw.weighted(((34, MY), (16, YOUR), (16, HIS), (16, HER), (10, OUR), (8, THEIR)))
    return draw.one(POSSESSIVES)


def possessive_of(phrase: Phrase) -> Determiner | None:
    """The possessive that refers to a phrase; None for things and for neuter people."""
    pronoun = echo(phrase)
    return POSSESSIVE_OF.get(pronoun) if pronoun else None


def echo(phrase: Phrase) -> Pronoun | None:
    """The pronoun that refers to a phrase mentioned before.

    None if the languages would differ: "the girl ... she" is "das Mädchen ... es".
    """
    if isinstance(phrase, Pronoun):
        return _echo_pronoun(phrase)
    if isinstance(phrase, Pair):
        return WE if phrase.second is I else THEY
    if agreement(phrase) == "plural":
        return THEY if _is_human(phrase) else THESE_THINGS
    gender = phrase.gender if isinstance(phrase, Name) else phrase.noun.gender
    if isinstance(phrase, NounPhrase) and not _is_human(phrase):
        return None if "animal" in phrase.noun.tags else IT[phrase.noun.gender]
    if isinstance(phrase, NounPhrase) and phrase.determiner is EVERY:
        return None
    return {"masculine": HE, "feminine": SHE}.get(gender or "neuter")


def person_again(phrase: Phrase) -> Pronoun | None:
    """Like `echo`, but only for people, since they can act."""
    pronoun = echo(phrase)
    return pronoun if pronoun in PERSONAL else None


def _is_human(phrase: Phrase) -> bool:
    return not isinstance(phrase, NounPhrase) or bool(phrase.noun.tags & {"person", "kin", "who"})


def _echo_pronoun(pronoun: Pronoun) -> Pronoun | None:
    if pronoun in PERSONAL:
        return pronoun
    if pronoun.gender is None:
        return None
    if pronoun.agreement == "plural":
        return THEY
    return {"masculine": HE, "feminine": SHE}.get(pronoun.gender)


def _adorned(draw: Draw, phrase: NounPhrase) -> NounPhrase:
    noun = phrase.noun
    if "relation" in noun.tags and phrase.determiner is THE:
        return replace(phrase, of=_of(draw, noun))
    if "drink" in noun.tags and phrase.determiner is BARE and draw.chance(0.4):
        return _measure(draw, phrase)
    possessable = noun.tags & {"owned", "related", "kin"}
    if possessable and phrase.determiner is THE and not phrase.count and draw.extra(0.22):
        phrase = replace(phrase, owner=_owner(draw, noun))
    if draw.extra(0.12 if "kin" in noun.tags else 0.36):
        phrase = describe(draw, phrase)
    return phrase


def describe(draw: Draw, phrase: NounPhrase) -> NounPhrase:
    """Add an adjective if one fits."""
    fits = fitting(phrase.noun)
    if not fits:
        return phrase
    adjective = draw.balanced(fits)
    draw.describe(adjective, phrase.noun)
    return replace(phrase, adjectives=(adjective,))


def _of(draw: Draw, noun: Noun) -> NounPhrase:
    tag = draw.one([tag for tag in _OF if tag in noun.tags])
    possessor = draw.balanced(_OF[tag])
    owned = "owned" in possessor.tags and draw.chance(0.3)
    determiner = draw.one(POSSESSIVES) if owned else draw.weighted(((8, THE), (2, THIS)))
    phrase = NounPhrase(possessor, "singular", determiner)
    return describe(draw, phrase) if draw.extra(0.2) else phrase


def _owner(draw: Draw, noun: Noun) -> Name | NounPhrase:
    if draw.chance(0.6):
        return draw.one(NAMES)
    if draw.chance(0.5):
        kin = draw.balanced(_KIN)
        return NounPhrase(kin, "singular", draw.one((MY, YOUR, HIS, HER, OUR)))
    owner = draw.balanced(_PEOPLE)
    while owner is noun:
        owner = draw.one(_PEOPLE)
    return NounPhrase(owner, "singular", THE)


def _measure(draw: Draw, phrase: NounPhrase) -> NounPhrase:
    """A cup of coffee, two glasses of milk."""
    vessel = "cup" if "by-cup" in phrase.noun.tags else "glass"
    noun = draw.one(tagged("cup" if vessel == "cup" else "glass"))
    number: Number = "plural" if draw.chance(0.2) else "singular"
    count = draw.number(2, 5) if number == "plural" else 0
    determiner = BARE if count else A
    return NounPhrase(noun, number, determiner, count=count, content=phrase.noun)


# Places


@cache
def _where(noun: Noun) -> tuple[str, str]:
    """The prepositions for being at a place, from a tag such as "at:an"."""
    tag = next(tag for tag in sorted(noun.tags) if ":" in tag)
    english, _, german = tag.partition(":")
    return english, german


_PLACES = tuple(noun for noun in NOUNS if any(":" in tag for tag in noun.tags))


def place(draw: Draw, binder: Phrase) -> Prepositional:
    """Draw a place where something happens: in the garden, at the station, in Berlin."""
    if draw.chance(0.15):
        return Prepositional("in", "in", "dative", draw.one(CITIES))
    return place_of(draw, draw.balanced(_PLACES), binder)


def place_of(draw: Draw, noun: Noun, binder: Phrase) -> Prepositional:
    """The phrase for being at this noun."""
    phrase = noun_phrase(draw, noun, binder, definite=True, single=True)
    english, german = _where(noun)
    return Prepositional(english, german, "dative", phrase)
