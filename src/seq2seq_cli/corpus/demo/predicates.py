"""Draws clauses with "be" and their like: how, what, where and how much something is."""

from functools import cache

from .adjectives import ADJECTIVES, fitting
from .draw import Draw
from .english_forms import cardinal as english_cardinal
from .entries import Adjective, Noun
from .function_words import A, BARE, HE, MANY, NAMES, SHE, SOME
from .german_forms import cardinal as german_cardinal
from .nouns import NOUNS, tagged
from .phrases import noun_phrase, other_person, person, place, place_of
from .structure import Adverbial, Clause, Name, NounPhrase, Phrase, Profession, Pronoun, Quality
from .verbs import BE, EXIST, of_kind
from .function_words import THERE

_PEOPLE = tagged("person", "kin")
_HUMAN = tuple(adjective for adjective in ADJECTIVES if "kin" in adjective.tags)
_COMPARABLE = tuple(adjective for adjective in _HUMAN if adjective.german_comparative)
_THINGS = tuple(
    noun
    for noun in NOUNS
    if not noun.tags & {"person", "kin", "weather", "relation"} and fitting(noun)
)
_CONTAINED = tagged("device", "furniture", "instrument", "plant", "thing", "animal")
_SITES = tagged("building", "room", "outdoor")
AT_HOME = Adverbial("at home", "zu Hause")


def copula(draw: Draw, subject: Phrase | None) -> Clause:
    """Something that is so."""
    if subject is None and draw.chance(0.6):
        return thing_quality(draw) if draw.chance(0.85) else price(draw)
    subject = subject or person(draw)
    kind = draw.number(1, 100)
    if kind <= 18:
        return Clause(BE, subject, complement=_comparison(draw, subject))
    if kind <= 30:
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
    quality = Quality(draw.balanced(_HUMAN), _degree(draw))
    return Clause(BE, subject, complement=quality)
