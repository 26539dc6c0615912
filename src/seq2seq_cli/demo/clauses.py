"""Draws the core of a clause: a verb with its subject and its complements."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from .draw import Draw
from .entries import Verb
from .function_words import ALL, CITIES, EVERY, PLAYED
from .nouns import tagged
from .phrases import (
    Scope,
    noun_phrase,
    object_phrase,
    other_person,
    person,
    place_of,
)
from .predicates import copula
from .structure import Clause, NounPhrase, Phrase, Prepositional
from .tenses import Epoch
from .verbs import of_kind

Kind = Literal[
    "transitive",
    "ditransitive",
    "dative",
    "prepositional",
    "motion",
    "intransitive",
    "position",
    "placement",
    "copula",
    "passive",
]
PEOPLE = tagged("person", "kin")
_PERSONAL_KINDS: tuple[tuple[float, Kind], ...] = (
    (38, "transitive"),
    (9, "ditransitive"),
    (6, "dative"),
    (13, "prepositional"),
    (11, "motion"),
    (9, "intransitive"),
    (3, "position"),
    (5, "placement"),
    (6, "copula"),
)
_KINDS: tuple[tuple[float, Kind], ...] = (
    *_PERSONAL_KINDS,
    (4, "position"),
    (7, "copula"),
    (6, "passive"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """Requirements for a clause: its time, its subject, and whether it is plain.

    `plain` clauses have no adverbials, no negation, no modal and no relative clauses; they are used
    inside other clauses.
    """

    epoch: Epoch
    subject: Phrase | None = None
    plain: bool = False


def core(draw: Draw, request: Request) -> Clause:
    """Draw a verb with its subject and objects; the tense is set later."""
    kind = draw.weighted(_PERSONAL_KINDS if request.subject else _KINDS)
    if kind == "copula":
        return copula(draw, request.subject)
    if kind == "passive":
        return _passive(draw, plain=request.plain)
    verb = draw.balanced(verbs(kind, personal=request.subject is not None))
    return about(draw, verb, request)


def about(draw: Draw, verb: Verb, request: Request) -> Clause:
    """Draw a subject and objects for this verb; the tense is set later."""
    subject = request.subject or _subject(draw, verb)
    clause = Clause(verb, subject)
    if not request.plain and not resists_negation(subject) and draw.chance(0.14):
        clause.negation = "not"
    _fill(draw, clause)
    return clause


@cache
def verbs(kind: Kind, *, personal: bool) -> tuple[Verb, ...]:
    """The verbs of a kind, or only those with a person as subject."""
    found = of_kind(kind)
    return tuple(verb for verb in found if "person" in verb.subject) if personal else found


def resists_negation(subject: Phrase) -> bool:
    """Whether a clause with this subject should not be negated.

    Negation is ambiguous with "every" and "all", and odd with "a" and "many".
    """
    if not isinstance(subject, NounPhrase) or subject.owner:
        return False
    return subject.determiner in (EVERY, ALL) or not subject.determiner.definite


def _subject(draw: Draw, verb: Verb) -> Phrase:
    others = tuple(tag for tag in verb.subject if tag not in ("person", "kin"))
    if "person" in verb.subject and not (others and draw.chance(0.35)):
        return person(draw)
    return noun_phrase(draw, draw.balanced(tagged(*others)), None, subject=True)


# Complements of the verb


def _fill(draw: Draw, clause: Clause) -> None:
    verb, subject = clause.verb, clause.subject
    ditransitive = verb in of_kind("ditransitive")
    if verb in of_kind("dative"):
        scope: Scope = "definite" if clause.negation else "free"
        clause.indirect = object_phrase(draw, verb, verb.objects, subject, negation=scope)
    elif "played" in verb.traits:
        clause.direct = played(draw, verb)
    elif verb.objects:
        scope = "none" if clause.negation else "free"
        clause.direct = object_phrase(draw, verb, verb.objects, subject, negation=scope)
    if ditransitive:
        clause.indirect = other_person(draw, subject, PEOPLE, definite=True)
    if verb.targets or "where" in verb.traits:
        clause.complement = target(draw, verb, subject, negated=bool(clause.negation))


def played(draw: Draw, verb: Verb) -> NounPhrase:
    """The instrument that somebody plays, which has no article in German."""
    instrument = draw.balanced(tagged("instrument"))
    draw.govern(verb, instrument)
    return NounPhrase(instrument, "singular", PLAYED)


def target(draw: Draw, verb: Verb, binder: Phrase, *, negated: bool) -> Prepositional:
    """The phrase after the verb's preposition, or the place of the event."""
    government = verb.government
    if government is None:
        noun = draw.balanced(tagged(*verb.targets))
        draw.govern(verb, noun)
        return place_of(draw, noun, binder)
    phrase: Phrase
    if verb.targets == ("CITY",):
        phrase = draw.one(CITIES)
    elif verb in of_kind("prepositional"):
        scope: Scope = "definite" if negated else "free"
        phrase = object_phrase(draw, verb, verb.targets, binder, negation=scope)
    else:
        noun = draw.balanced(tagged(*verb.targets))
        draw.govern(verb, noun)
        phrase = noun_phrase(draw, noun, binder, definite=draw.chance(0.8), single=True)
    return Prepositional(government.english, government.german, government.case, phrase)


# The passive


_PASSIVE_VERBS = tuple(verb for verb in of_kind("transitive") if "passive" in verb.traits)


def _passive(draw: Draw, *, plain: bool) -> Clause:
    verb = draw.balanced(_PASSIVE_VERBS)
    if "kin" in verb.objects and draw.chance(0.7):
        subject = person(draw)
    else:
        subject = noun_phrase(draw, draw.balanced(tagged(*verb.objects)), None, subject=True)
    if isinstance(subject, NounPhrase):
        draw.govern(verb, subject.noun)
    clause = Clause(verb, subject, passive=True)
    if draw.extra(0.4):
        clause.complement = Prepositional("by", "von", "dative", _agent(draw, verb, subject))
    elif not plain and not resists_negation(subject) and draw.chance(0.15):
        clause.negation = "not"
    return clause


def _agent(draw: Draw, verb: Verb, patient: Phrase) -> Phrase:
    if "person" in verb.subject:
        return other_person(draw, patient, PEOPLE)
    return noun_phrase(draw, draw.balanced(tagged(*verb.subject)), None)
