"""Draws whole main clauses."""

from .clauses import Request, core, resists_negation
from .draw import Draw
from .relatives import with_relative
from .structure import Clause
from .tenses import set_tense, simple_tense, surround
from .verbs import BE


def event(draw: Draw, request: Request) -> Clause:
    """Any clause that says what somebody does or how something is."""
    clause = core(draw, request)
    if request.plain:
        clause.tense = simple_tense(draw, clause.verb, request.epoch)
        return clause
    if clause.verb is BE and not resists_negation(clause.subject) and draw.chance(0.15):
        clause.negation = "not"
    elif not clause.negation and not resists_negation(clause.subject) and draw.chance(0.04):
        clause.negation = "never"
    set_tense(draw, clause, request.epoch)
    surround(draw, clause)
    if not clause.negation:
        if clause.direct:
            clause.direct = with_relative(draw, clause.direct, request.epoch)
        if request.subject is None:
            clause.subject = with_relative(draw, clause.subject, request.epoch)
    return clause
