"""Draws whole sentences: single clauses, dependent clauses and coordinated clauses."""

from collections.abc import Callable
from functools import cache

from .clauses import Request, about
from .complements import infinitive, judged, purposeful, reported
from .draw import Draw
from .entries import Noun, Verb
from .events import action, any_epoch, deed, event, is_action, it_again, weather
from .function_words import (
    AND,
    BUT,
    CITIES,
    SHARED_AND,
    SO,
)
from .phrases import person, person_again
from .predicates import existence
from .questions import open_question, order, yes_no
from .structure import (
    Clause,
    NounPhrase,
    Prepositional,
    Sentence,
)
from .subordination import opened, tailed, with_tail
from .tenses import Epoch, simple_tense, surround
from .verbs import CAN, COULD, HAD_TO, WANT_TO, WANTED_TO, of_kind


def sentence(draw: Draw) -> Sentence:
    """Draw any sentence of the grammar."""
    return draw.weighted(_KINDS)(draw)


def brief(draw: Draw) -> Sentence:
    """Draw a sentence of a kind that can be very short."""
    return draw.weighted(_BRIEF_KINDS)(draw)


def statement(draw: Draw) -> Sentence:
    """Draw a sentence that another main clause can be joined to."""
    return draw.weighted(_STATEMENTS)(draw)


def joined(draw: Draw, first: Sentence) -> Sentence:
    """Join one more main clause to a statement."""
    before = first.clauses[-1]
    epoch: Epoch = "past" if _is_past(first.clauses[0]) else "present"
    connector = draw.weighted(_CONNECTORS)
    if first.connectors and first.connectors[-1] is connector:
        connector = AND
    if connector is SO:
        further = _consequence(draw, before, epoch)
    else:
        further = _follow_up(draw, before, epoch)
        if draw.chance(0.4):
            further = with_tail(draw, further, epoch)
    return Sentence([*first.clauses, further], [*first.connectors, connector])


_CONNECTORS = ((5.0, AND), (3.0, BUT), (2.0, SO))


def _consequence(draw: Draw, before: Clause, epoch: Epoch) -> Clause:
    """Draw an action that follows from the clause before."""
    again = person_again(before.subject) if draw.chance(0.5) else None
    clause = deed(draw, again or person(draw))
    clause.tense = simple_tense(draw, clause.verb, epoch)
    if draw.chance(0.5):
        clause.tense = "past" if epoch == "past" else "present"
        clause.modal = draw.one((COULD, HAD_TO, WANTED_TO) if epoch == "past" else (CAN, WANT_TO))
    return clause


def _is_past(clause: Clause) -> bool:
    return clause.tense.startswith("past") or bool(clause.modal and clause.modal.past)


def _follow_up(draw: Draw, before: Clause, epoch: Epoch) -> Clause:
    """Draw another event, of the same person or another, without a second time adverbial."""
    again = person_again(before.subject) if draw.chance(0.4) else None
    clause = draw.until(lambda: event(draw, Request(epoch, subject=again)), is_action)
    if before.time and clause.time:
        clause.time = None
        clause.front = "cause" if clause.front == "cause" else None
    return clause


def _simple(draw: Draw) -> Sentence:
    return Sentence([event(draw, Request(any_epoch(draw)))])


def _there_is(draw: Draw) -> Sentence:
    clause = existence(draw)
    clause.front = "place" if draw.chance(0.3) else None
    return Sentence([clause])


def _weather_report(draw: Draw) -> Sentence:
    epoch = any_epoch(draw)
    clause = weather(draw, epoch)
    clause.tense = "past" if epoch == "past" else clause.tense
    if draw.chance(0.7):
        clause.place = Prepositional("in", "in", "dative", draw.one(CITIES))
    surround(draw, clause)
    return Sentence([clause])


# Coordinated clauses


def _two_events(draw: Draw) -> Sentence:
    return joined(draw, Sentence([action(draw, any_epoch(draw))]))


def _shared_subject(draw: Draw) -> Sentence:
    """Anna bought a book and read it: one subject, and a pronoun for the object."""
    subject = person(draw)
    first = about(draw, draw.balanced(_OPENERS), Request("past", subject, plain=True))
    second = _taking_up(draw, first) if isinstance(first.direct, NounPhrase) else None
    if second is None:
        second = deed(draw, subject)
    first.tense = second.tense = "past"
    if draw.extra(0.3):
        surround(draw, first)
    second.subject_shared = True
    return Sentence([first, second], [SHARED_AND])


_OPENERS = (
    tuple(
        verb
        for kind in ("transitive", "intransitive", "motion")
        for verb in of_kind(kind)
        if "person" in verb.subject and verb.traits & {"first", "quick", "fast", "early", "careful"}
    )
    + tuple(verb for verb in of_kind("transitive") if "first" in verb.traits) * 3
)


def _taking_up(draw: Draw, first: Clause) -> Clause | None:
    direct = first.direct
    if not isinstance(direct, NounPhrase) or "first" not in first.verb.traits:
        return None
    verbs = _sequels(direct.noun)
    if not verbs:
        return None
    verb = draw.balanced(verbs)
    draw.govern(verb, direct.noun)
    return Clause(verb, first.subject, direct=it_again(direct))


@cache
def _sequels(noun: Noun) -> tuple[Verb, ...]:
    return tuple(
        verb
        for verb in of_kind("transitive")
        if "then" in verb.traits and not noun.tags.isdisjoint(verb.objects)
    )


_STATEMENTS: tuple[tuple[float, Callable[[Draw], Sentence]], ...] = (
    (46, _simple),
    (11, tailed),
    (6, opened),
    (7, reported),
    (4, infinitive),
    (4, purposeful),
    (1.5, judged),
    (7, _two_events),
    (5, _shared_subject),
    (3, _there_is),
    (1, _weather_report),
)
_BRIEF_KINDS: tuple[tuple[float, Callable[[Draw], Sentence]], ...] = (
    (50, _simple),
    (8, infinitive),
    (1, _weather_report),
    (10, yes_no),
    (10, open_question),
    (8, order),
)
_KINDS = (
    *_STATEMENTS,
    (5.0, yes_no),
    (6.0, open_question),
    (2.5, order),
)
