"""Draws whole main clauses."""

from .clauses import Request, core, resists_negation
from .draw import Draw
from .function_words import IT, THESE_THINGS, WEATHER_IT
from .phrases import person_again
from .relatives import with_relative
from .structure import Clause, NounPhrase, Phrase, Pronoun
from .tenses import Epoch, is_deliberate, set_tense, simple_tense, surround
from .verbs import BE, of_kind


def _goes_on(clause: Clause) -> bool:
    """Whether words follow the object in English; they would seem part of its relative clause."""
    ends = [clause.time, clause.cause, clause.place, clause.complement, clause.manner]
    fronted = bool(clause.front)
    recipient_last = clause.indirect is not None and "to" in clause.verb.traits
    return recipient_last or sum(end is not None for end in ends) > fronted


def _bears_never(clause: Clause) -> bool:
    return not clause.negation and not clause.passive and clause.verb is not BE


def event(draw: Draw, request: Request) -> Clause:
    """Draw a main clause about an action or a state."""
    clause = core(draw, request)
    if request.plain:
        clause.tense = simple_tense(draw, clause.verb, request.epoch)
        return clause
    if clause.verb is BE and not resists_negation(clause.subject) and draw.chance(0.15):
        clause.negation = "not"
    elif _bears_never(clause) and not resists_negation(clause.subject) and draw.chance(0.04):
        clause.negation = "never"
    set_tense(draw, clause, request.epoch)
    surround(draw, clause)
    if not clause.negation:
        if clause.direct and not _goes_on(clause):
            clause.direct = with_relative(draw, clause.direct, clause.verb, request.epoch)
        if request.subject is None:
            clause.subject = with_relative(draw, clause.subject, clause.verb, request.epoch)
    return clause


def any_epoch(draw: Draw) -> Epoch:
    return "past" if draw.chance(0.5) else "present"


def is_action(clause: Clause) -> bool:
    """Whether it is something that people do or suffer, or that starts or ends: it has reasons."""
    if clause.verb is BE:
        return False
    human = person_again(clause.subject) is not None or clause.verb.subject == ("person",)
    return human or clause.passive or clause.verb in of_kind("intransitive")


def action(draw: Draw, epoch: Epoch, *, plain: bool = False) -> Clause:
    """Draw an event that has reasons and results."""
    return draw.until(lambda: event(draw, Request(epoch, plain=plain)), is_action)


def deed(draw: Draw, subject: Phrase) -> Clause:
    """Draw something that the subject does on purpose."""
    return draw.until(
        lambda: core(draw, Request("present", subject, plain=True)),
        is_deliberate,
    )


def weather(draw: Draw, epoch: Epoch) -> Clause:
    clause = Clause(draw.one(of_kind("impersonal")), WEATHER_IT)
    clause.tense = "past progressive" if epoch == "past" else "progressive"
    return clause


def it_again(phrase: NounPhrase) -> Pronoun:
    return THESE_THINGS if phrase.number == "plural" else IT[phrase.noun.gender]
