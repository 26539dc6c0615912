"""Draws relative clauses: the man who sleeps, the book that Anna read, the dog I am afraid of."""

from dataclasses import replace
from functools import cache

from .adjectives import fitting
from .clauses import Request, core
from .draw import Draw
from .entries import Noun, Verb
from .function_words import RELATIVES, THE, WHOSE, A
from .nouns import tagged
from .phrases import person
from .predicates import quality_of
from .structure import Clause, NounPhrase, Phrase, Prepositional, Pronoun, Tense
from .tenses import Epoch, simple_tense
from .verbs import of_kind

_BELONGINGS = tagged("pet", "private", "kin")


def with_relative(draw: Draw, phrase: Phrase, verb: Verb, epoch: Epoch) -> Phrase:
    """Add a relative clause to the phrase sometimes, with another verb than `verb`."""
    if not isinstance(phrase, NounPhrase) or not draw.extra(0.16):
        return phrase
    bare = not (phrase.owner or phrase.of or phrase.content or phrase.count)
    if not bare or phrase.determiner not in (THE, A):
        return phrase
    relative = draw.until(
        lambda: _relative_clause(draw, phrase, epoch),
        lambda clause: clause is None or clause.verb.english.base != verb.english.base,
    )
    return replace(phrase, relative=relative) if relative else phrase


def _relative_clause(draw: Draw, phrase: NounPhrase, epoch: Epoch) -> Clause | None:
    noun = phrase.noun
    is_person = "person" in noun.tags
    pronoun = RELATIVES["plural" if phrase.number == "plural" else noun.gender, is_person]
    kind = draw.number(1, 100)
    if is_person and kind <= 45:
        clause = core(draw, Request(epoch, subject=pronoun, plain=True))
    elif is_person and kind <= 55:
        clause = _whose(draw, phrase)
    elif is_person and kind <= 67:
        clause = _dative(draw, pronoun, noun)
    elif not is_person and kind <= 25 and fitting(noun):
        clause = quality_of(draw, pronoun, noun)
    else:
        found = (
            _object(draw, pronoun, noun) if kind <= 88 else _after_preposition(draw, pronoun, noun)
        )
        if found is None:
            return None
        clause = found
    clause.front = clause.front or "subject"
    clause.tense = _tense(draw, clause.verb, epoch)
    draw.construct(clause.verb, "relative")
    return clause


def _tense(draw: Draw, verb: Verb, epoch: Epoch) -> Tense:
    if epoch == "past":
        return "pluperfect" if draw.chance(0.25) and "stative" not in verb.traits else "past"
    if draw.chance(0.25):
        return "past"
    return simple_tense(draw, verb, epoch)


def _whose(draw: Draw, phrase: NounPhrase) -> Clause:
    """The man whose dog is sleeping: the possessive is in the subject."""
    column = "plural" if phrase.number == "plural" else phrase.noun.gender
    belonging = draw.balanced(_BELONGINGS)
    subject = NounPhrase(belonging, "singular", WHOSE[column])
    if "kin" in belonging.tags:
        return core(draw, Request("past", subject=subject, plain=True))
    return quality_of(draw, subject, belonging)


def _dative(draw: Draw, pronoun: Pronoun, noun: Noun) -> Clause:
    """The man whom Anna helps: German has the dative."""
    verbs = tuple(verb for verb in of_kind("dative") if "person" in verb.subject)
    verb = draw.balanced(verbs)
    draw.govern(verb, noun)
    return Clause(verb, person(draw), indirect=pronoun, front="indirect")


def _object(draw: Draw, pronoun: Pronoun, noun: Noun) -> Clause | None:
    verbs = _verbs_on(noun)
    if not verbs:
        return None
    verb = draw.balanced(verbs)
    draw.govern(verb, noun)
    return Clause(verb, person(draw), direct=pronoun, front="direct")


def _after_preposition(draw: Draw, pronoun: Pronoun, noun: Noun) -> Clause | None:
    verbs = _prepositional_verbs_on(noun)
    if not verbs:
        return None
    verb = draw.balanced(verbs)
    government = verb.government
    if government is None:
        return None
    draw.govern(verb, noun)
    complement = Prepositional(government.english, government.german, government.case, pronoun)
    return Clause(verb, person(draw), complement=complement, front="complement")


@cache
def _verbs_on(noun: Noun) -> tuple[Verb, ...]:
    """The verbs with a person as subject and this noun as object."""
    return tuple(
        verb
        for verb in of_kind("transitive")
        if "person" in verb.subject and not noun.tags.isdisjoint(verb.objects)
    )


@cache
def _prepositional_verbs_on(noun: Noun) -> tuple[Verb, ...]:
    return tuple(
        verb
        for verb in of_kind("prepositional")
        if verb.government
        and verb.government.english.isalpha()
        and not noun.tags.isdisjoint(verb.targets)
    )
