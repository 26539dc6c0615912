"""Draws sentences of a main clause and a dependent clause: because, if, when, before."""

from .adjectives import fitting
from .clauses import Request
from .draw import Draw
from .events import action, any_epoch, deed, event, is_action, it_again, weather
from .function_words import AFTER, ALTHOUGH, AS_SOON_AS, BECAUSE, BEFORE, IF, SO_THAT, WHEN, WHILE
from .phrases import person, person_again
from .predicates import person_quality, quality_of
from .structure import Clause, Conjunction, NounPhrase, Phrase, Sentence, Subordinate
from .tenses import Epoch
from .verbs import CAN, COULD, of_kind


def tailed(draw: Draw) -> Sentence:
    """Draw a sentence with the main clause first."""
    epoch = any_epoch(draw)
    main = action(draw, epoch, plain=draw.chance(0.6))
    return Sentence([with_tail(draw, main, epoch)])


def with_tail(draw: Draw, main: Clause, epoch: Epoch) -> Clause:
    """Add a dependent clause after the main clause, and remove what it makes redundant."""
    conjunctions = _PAST_CONJUNCTIONS if epoch == "past" else _PRESENT_CONJUNCTIONS
    if "stative" in main.verb.traits or main.negation or main.tense == "perfect":
        conjunctions = ((2, BECAUSE), (1, ALTHOUGH))
    conjunction = draw.weighted(conjunctions)
    if conjunction in _TEMPORAL:
        main.time, main.frequency = None, None
        main.front = "cause" if main.front == "cause" else None
    if conjunction is BECAUSE:
        drop_cause(main)
    if conjunction in (IF, AS_SOON_AS) and main.modal is None:
        postpone(draw, main)
    main.tail = Subordinate(conjunction, _dependent(draw, main, conjunction, epoch))
    return main


def drop_cause(main: Clause) -> None:
    """Remove the cause, since the sentence has another."""
    main.cause = None
    main.front = "time" if main.front == "time" else None


def opened(draw: Draw) -> Sentence:
    """Draw a sentence with the dependent clause first; the main clause may share its subject."""
    epoch = any_epoch(draw)
    conjunctions = _PAST_CONJUNCTIONS if epoch == "past" else _PRESENT_CONJUNCTIONS
    conjunction = draw.weighted([entry for entry in conjunctions if entry[1] is not SO_THAT])
    first = _bare_event(draw, conjunction, None, epoch)
    if conjunction is BECAUSE and draw.chance(0.3):
        first = weather(draw, epoch)
    again = person_again(first.subject) if draw.chance(0.5) else None

    def fits(clause: Clause) -> bool:
        return conjunction is not WHILE or clause.tense != "perfect"

    main = draw.until(
        lambda: event(draw, Request(epoch, subject=again, plain=conjunction in _TEMPORAL)),
        lambda clause: is_action(clause) and not _is_state(clause) and fits(clause),
    )
    if conjunction in (IF, AS_SOON_AS) and main.modal is None:
        postpone(draw, main)
    drop_cause(main)
    main.front = None
    main.opening = Subordinate(conjunction, first)
    return Sentence([main])


def postpone(draw: Draw, main: Clause) -> None:
    """Put the main clause in the future, as after a condition."""
    if "stative" in main.verb.traits:
        main.tense = "present"
    else:
        main.tense = "future"
        draw.construct(main.verb, "future")
    main.time = main.frequency = None
    main.front = "cause" if main.cause else None
    main.negation = "not" if main.negation else ""


_PAST_CONJUNCTIONS: tuple[tuple[float, Conjunction], ...] = (
    (30, BECAUSE),
    (14, ALTHOUGH),
    (16, WHEN),
    (12, BEFORE),
    (12, AFTER),
    (10, WHILE),
    (6, SO_THAT),
)
_PRESENT_CONJUNCTIONS: tuple[tuple[float, Conjunction], ...] = (
    (34, BECAUSE),
    (16, ALTHOUGH),
    (24, IF),
    (8, AS_SOON_AS),
    (8, WHILE),
    (10, SO_THAT),
)
_TEMPORAL = (WHEN, BEFORE, AFTER, WHILE, AS_SOON_AS)


def _dependent(draw: Draw, main: Clause, conjunction: Conjunction, epoch: Epoch) -> Clause:
    if conjunction is BECAUSE and draw.chance(0.6):
        return _reason(draw, main, epoch)
    again = person_again(main.subject) if draw.chance(0.5) else None
    return _bare_event(draw, conjunction, again, epoch)


def _bare_event(
    draw: Draw, conjunction: Conjunction, subject: Phrase | None, epoch: Epoch
) -> Clause:
    """Draw the clause after a conjunction, in the tense that the conjunction requires."""
    if conjunction is SO_THAT:
        clause = deed(draw, person(draw))
        clause.modal = COULD if epoch == "past" else CAN
        return clause
    if conjunction in (WHILE, AFTER, AS_SOON_AS):
        doer = subject or person(draw)
        clause = draw.until(
            lambda: deed(draw, doer),
            lambda clause: conjunction is WHILE or clause.verb not in of_kind("position"),
        )
        if conjunction is WHILE:
            clause.tense = "past progressive" if epoch == "past" else "progressive"
        else:
            clause.tense = "pluperfect" if epoch == "past" else "perfect"
        return clause
    clause = draw.until(
        lambda: event(draw, Request(epoch, subject, plain=True)),
        lambda clause: _is_likely(clause) and not (conjunction is BEFORE and _is_state(clause)),
    )
    if conjunction is IF:
        clause.tense = "present"
    if conjunction in (BECAUSE, ALTHOUGH) and epoch == "past" and draw.chance(0.3):
        clause.tense = "past" if "stative" in clause.verb.traits else "pluperfect"
    return clause


def _is_state(clause: Clause) -> bool:
    return "stative" in clause.verb.traits


def _is_likely(clause: Clause) -> bool:
    """Whether the clause can be a reason: a permanent fact about things explains nothing."""
    return is_action(clause) or person_again(clause.subject) is not None


def _reason(draw: Draw, main: Clause, epoch: Epoch) -> Clause:
    if draw.chance(0.2):
        return weather(draw, epoch)
    clause = _reason_in_object(draw, main) if draw.chance(0.6) else None
    if clause is None:
        clause = person_quality(draw, person_again(main.subject) or person(draw))
    clause.tense = "past" if epoch == "past" else "present"
    return clause


def _reason_in_object(draw: Draw, main: Clause) -> Clause | None:
    """Anna bought the coat because it was cheap."""
    direct = main.direct
    if not isinstance(direct, NounPhrase) or not fitting(direct.noun) or direct.content:
        return None
    if direct.noun.tags & {"person", "kin", "animal"} or main.negation:
        return None
    return quality_of(draw, it_again(direct), direct.noun)
