"""Draws whole main clauses."""

from .clauses import Request, core, resists_negation
from .draw import Draw
from .relatives import with_relative
from .structure import Clause
from .tenses import set_tense, simple_tense, surround
from .verbs import BE


def _goes_on(clause: Clause) -> bool:
    """Whether English words follow the object, which a relative clause on it would claim."""
    ends = [clause.time, clause.cause, clause.place, clause.complement, clause.manner]
    fronted = bool(clause.front)
    recipient_last = clause.indirect is not None and "to" in clause.verb.traits
    return recipient_last or sum(end is not None for end in ends) > fronted


def _bears_never(clause: Clause) -> bool:
    return not clause.negation and not clause.passive and clause.verb is not BE


def event(draw: Draw, request: Request) -> Clause:
    """Any clause that says what somebody does or how something is."""
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
