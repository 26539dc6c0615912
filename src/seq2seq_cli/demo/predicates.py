"""Draws clauses with "be" and similar verbs: how, what, where and how much something is."""

from functools import cache

from .adjectives import ADJECTIVES, fitting
from .draw import Draw
from .english_forms import cardinal as english_cardinal
from .entries import Adjective, Noun, Number
from .function_words import BARE, HE, MANY, SHE, SOME, THERE, A
from .german_forms import cardinal as german_cardinal
from .nouns import NOUNS, tagged
from .phrases import describe, noun_phrase, other_person, person, place, place_of
from .structure import (
    Adverbial,
    Clause,
    Degree,
    Name,
    NounPhrase,
    Phrase,
    Profession,
    Pronoun,
    Quality,
)
from .verbs import BE, EXIST, of_kind

_PEOPLE = tagged("person", "kin")
_HUMAN = tuple(adjective for adjective in ADJECTIVES if "kin" in adjective.tags)
_COMPARABLE = tuple(adjective for adjective in _HUMAN if adjective.german_comparative)
_THINGS = tuple(
    noun for noun in NOUNS if not noun.tags & {"person", "kin", "weather", "who"} and fitting(noun)
)
_RELATIONS = tuple(noun for noun in _THINGS if "relation" in noun.tags)
_CONTAINED = tagged("device", "furniture", "instrument", "thing")
AT_HOME = Adverbial("at home", "zu Hause")


def copula(draw: Draw, subject: Phrase | None) -> Clause:
    """Draw a clause with "be"."""
    if subject is None and draw.chance(0.6):
        return thing_quality(draw) if draw.chance(0.8) else price(draw)
    subject = subject or person(draw)
    kind = draw.number(1, 100)
    if kind <= 18:
        return Clause(BE, subject, complement=_comparison(draw, subject))
    if kind <= 30 and not (isinstance(subject, NounPhrase) and "minor" in subject.noun.tags):
        return Clause(BE, subject, complement=_age(draw))
    if kind <= 50:
        where = AT_HOME if draw.chance(0.25) else place(draw, subject)
        return Clause(BE, subject, complement=where)
    profession = _profession(draw, subject) if kind <= 65 else None
    if profession:
        return Clause(BE, subject, complement=profession)
    return person_quality(draw, subject)


def person_quality(draw: Draw, subject: Phrase) -> Clause:
    """Somebody is tired, very brave, too shy."""
    adjective = draw.balanced(_HUMAN)
    return Clause(BE, subject, complement=Quality(adjective, _degree(draw, adjective)))


def thing_quality(draw: Draw) -> Clause:
    """The book is interesting; the car is more expensive than the bicycle."""
    noun = draw.balanced(_RELATIONS if draw.chance(0.16) else _THINGS)
    subject = noun_phrase(draw, noun, None, subject=True, plain="relation" not in noun.tags)
    adjective = draw.balanced(fitting(noun))
    if adjective.german_comparative and draw.chance(0.3):
        rivals = _rivals(noun, adjective)
        rival = draw.one(rivals)
        than = noun_phrase(draw, rival, None, definite=True, plain="relation" not in rival.tags)
        return Clause(BE, subject, complement=Quality(adjective, "comparative", than))
    return Clause(BE, subject, complement=Quality(adjective, _degree(draw, adjective)))


def quality_of(draw: Draw, subject: Phrase, noun: Noun) -> Clause:
    """Draw a quality of a subject that was mentioned before or is a relative pronoun."""
    adjective = draw.balanced(fitting(noun))
    return Clause(BE, subject, complement=Quality(adjective, _degree(draw, adjective)))


def price(draw: Draw) -> Clause:
    """The coat costs fifty euros."""
    (cost,) = of_kind("price")
    noun = draw.balanced(tagged(*cost.subject))
    subject = noun_phrase(draw, noun, None, definite=True, single=True)
    amount = draw.number(20, 99)
    euros = Adverbial(f"{english_cardinal(amount)} euros", f"{german_cardinal(amount)} Euro")
    return Clause(cost, subject, complement=euros)


def existence(draw: Draw) -> Clause:
    """There are three chairs in the kitchen: where something is, and what."""
    areas = tagged("area")
    if draw.chance(0.4):
        site = draw.balanced(areas)
        noun = draw.balanced(tagged("building"))
    else:
        site = draw.balanced(tagged("room", "garden", "office", "house", "hotel"))
        noun = draw.balanced(_CONTAINED)
    number: Number = "plural" if draw.chance(0.4) else "singular"
    determiner = draw.one((BARE, MANY, SOME)) if number == "plural" else A
    count = draw.number(2, 12) if determiner is BARE else 0
    phrase = NounPhrase(noun, number, determiner, count=count)
    if draw.extra(0.3):
        phrase = describe(draw, phrase)
    clause = Clause(EXIST, THERE, direct=phrase, place=place_of(draw, site, THERE))
    clause.tense = "past" if draw.chance(0.3) else "present"
    return clause


def _degree(draw: Draw, adjective: Adjective) -> Degree:
    if "absolute" in adjective.tags:
        return ""
    return draw.weighted(((60, ""), (28, "very"), (12, "too")))


@cache
def _rivals(noun: Noun, adjective: Adjective) -> tuple[Noun, ...]:
    """Things of the same kind, which a thing can be compared with."""
    rivals = tuple(
        other
        for other in _THINGS
        if other is not noun and other.tags & noun.tags and adjective in fitting(other)
    )
    return rivals or (noun,)


def _comparison(draw: Draw, subject: Phrase) -> Quality:
    other = other_person(draw, subject, _PEOPLE, definite=True)
    return Quality(draw.balanced(_COMPARABLE), "comparative", other)


def _age(draw: Draw) -> Adverbial:
    years = draw.number(20, 99)
    return Adverbial(f"{english_cardinal(years)} years old", f"{german_cardinal(years)} Jahre alt")


def _profession(draw: Draw, subject: Phrase) -> Profession | None:
    """Draw a profession if the subject's gender is known to be that of the German noun."""
    gender = None
    if isinstance(subject, Name) or (isinstance(subject, Pronoun) and subject in (HE, SHE)):
        gender = subject.gender
    elif isinstance(subject, NounPhrase) and subject.number == "singular":
        gender = subject.noun.gender if "kin" in subject.noun.tags else None
    trades = [noun for noun in tagged("trade") if noun.gender == gender]
    return Profession(draw.balanced(trades)) if trades else None
