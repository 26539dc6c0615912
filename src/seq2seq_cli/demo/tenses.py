"""Draws the tense of a clause, its modal, and the adverbials that agree with them."""

from typing import Literal

from . import times
from .draw import Draw
from .entries import Modal, Verb
from .function_words import BARE, PLAYED
from .phrases import place
from .structure import Clause, NounPhrase, Quality, Tense, agreement
from .verbs import (
    BE,
    CAN,
    COULD,
    HAD_TO,
    HAVE_TO,
    LIKE_TO,
    MAY,
    MUST,
    SHOULD,
    WANT_TO,
    WANTED_TO,
    WOULD_LIKE_TO,
    of_kind,
)

Epoch = Literal["past", "present"]
Plan = Literal["simple", "perfect", "future", "modal", "habit", "liking"]

_PRESENT_MODALS: tuple[tuple[float, Modal], ...] = (
    (4, CAN),
    (3, MUST),
    (3, SHOULD),
    (3, WANT_TO),
    (2, HAVE_TO),
    (1, MAY),
    (2, WOULD_LIKE_TO),
)
_PAST_MODALS: tuple[tuple[float, Modal], ...] = ((2, COULD), (2, HAD_TO), (2, WANTED_TO))
_UNWILLED = frozenset({"stative", "punctual", "involuntary"})
_POSITIONS = frozenset(of_kind("position"))
# States that last for a while; only these go with "today" or "last week".
_PASSING = frozenset({"tired", "hungry", "happy", "sad", "sick", "angry"})
# Objects of actions that do not take place "in the garden".
_IMMOVABLE = frozenset({"building", "vehicle", "outdoor", "room", "event", "furniture"})


def simple_tense(draw: Draw, verb: Verb, epoch: Epoch) -> Tense:
    """The simplest tense of an epoch that the verb can have."""
    if epoch == "past":
        return "past"
    if "punctual" in verb.traits:
        return "perfect"
    if "stative" in verb.traits:
        return "present"
    return "perfect" if draw.chance(0.25) and verb not in _POSITIONS else "progressive"


def is_deliberate(clause: Clause) -> bool:
    """Whether it is done on purpose, so that people can want to do it or be told to."""
    verb = clause.verb
    personal = "person" in verb.subject or clause.passive
    return personal and not verb.traits & _UNWILLED and _is_personal(clause)


def _is_personal(clause: Clause) -> bool:
    subject = clause.subject
    if clause.passive:
        return False
    return not isinstance(subject, NounPhrase) or bool(subject.noun.tags & {"person", "kin", "who"})


def set_tense(draw: Draw, clause: Clause, epoch: Epoch) -> None:
    """Draw tense and modal of a main clause."""
    if epoch == "past":
        clause.tense = "past"
        if is_deliberate(clause) and clause.negation != "never" and draw.chance(0.16):
            clause.modal = draw.weighted(_PAST_MODALS)
        return
    plan = draw.weighted(_plans(clause))
    if plan == "modal":
        clause.modal = draw.weighted(_PRESENT_MODALS)
        if clause.negation == "not" and clause.modal is MAY:
            clause.modal = CAN
    elif plan == "liking":
        clause.modal = LIKE_TO
    elif plan == "future":
        clause.tense = "future"
        draw.construct(clause.verb, "future")
    elif plan == "perfect":
        clause.tense = "perfect"
    elif plan == "simple":
        if clause.negation == "never" and _hides_past(clause):
            clause.tense = "perfect"
            return
        lasting = "stative" in clause.verb.traits or clause.negation == "never"
        clause.tense = "present" if lasting and not clause.passive else "progressive"


def _plans(clause: Clause) -> list[tuple[float, Plan]]:
    traits = clause.verb.traits
    stative = "stative" in traits and not clause.passive
    plans: list[tuple[float, Plan]] = []
    if "punctual" not in traits:
        plans.append((36, "simple"))
    if clause.verb not in _POSITIONS and (not stative or "perfect" in traits):
        plans.append((24, "perfect"))
    if not stative and (clause.verb not in _POSITIONS or is_deliberate(clause)):
        plans.append((18, "future"))
    if is_deliberate(clause) and clause.negation != "never":
        plans.append((20, "modal"))
    if "habit" in traits and not (clause.negation or clause.passive or _hides_past(clause)):
        plans.append((20, "habit"))
    if _is_pastime(clause):
        plans.append((14, "liking"))
    return plans


def _hides_past(clause: Clause) -> bool:
    """Whether the English present looks like the past ("they read"), unlike the German."""
    verb = clause.verb.english
    return verb.base == verb.past and agreement(clause.subject) != "third"


def _is_pastime(clause: Clause) -> bool:
    """Whether one may "like to" do it: not if it is about a particular thing."""
    if "habit" not in clause.verb.traits or clause.negation or not is_deliberate(clause):
        return False
    direct = clause.direct
    general = direct is None or (
        isinstance(direct, NounPhrase) and direct.determiner in (BARE, PLAYED) and not direct.count
    )
    return general and clause.indirect is None and clause.complement is None


# Adverbials


def surround(draw: Draw, clause: Clause) -> None:
    """Add frequency, time, cause, manner and place if they make sense."""
    _add_frequency(draw, clause)
    _add_manner(draw, clause)
    if _bears_place(clause) and draw.extra(0.35):
        clause.place = place(draw, clause.subject)
    idle_habit = _is_habit(clause) and not clause.frequency
    if _bears_time(clause) and not clause.frequency and (idle_habit or draw.extra(0.45)):
        _add_time(draw, clause)
    eventful = not clause.modal and "stative" not in clause.verb.traits
    if clause.tense == "past" and eventful and draw.extra(0.08):
        clause.cause = times.cause(draw)
    if draw.chance(0.25):
        front_adverbial(clause)


def front_adverbial(clause: Clause) -> None:
    """Put the cause or the time first."""
    if clause.cause:
        clause.front = "cause"
    elif clause.time:
        clause.front = "time"


def _is_habit(clause: Clause) -> bool:
    habitual = "habit" in clause.verb.traits and not clause.modal and not clause.passive
    return habitual and clause.tense == "present"


def _add_frequency(draw: Draw, clause: Clause) -> None:
    if clause.negation or clause.modal:
        return
    if _is_habit(clause) and draw.chance(0.6):
        clause.frequency = draw.one(times.OFTEN)
    elif clause.tense == "perfect" and draw.extra(0.3) and not clause.passive:
        clause.frequency = draw.one(times.PERFECT_FREQUENCY[:2])


def _add_manner(draw: Draw, clause: Clause) -> None:
    manners = [table for trait, table in times.MANNERS.items() if trait in clause.verb.traits]
    blocked = clause.negation or clause.frequency or clause.modal is LIKE_TO or clause.passive
    if manners and not blocked and draw.extra(0.3):
        clause.manner = draw.one(manners[0])


def _bears_place(clause: Clause) -> bool:
    if "place" not in clause.verb.traits or clause.passive:
        return False
    direct = clause.direct
    return not (isinstance(direct, NounPhrase) and direct.noun.tags & _IMMOVABLE)


def _bears_time(clause: Clause) -> bool:
    if clause.negation == "never":
        return False
    if clause.verb is BE:
        quality = clause.complement
        if not isinstance(quality, Quality) or quality.than:
            return False
        return quality.adjective.english in _PASSING
    return "stative" not in clause.verb.traits


def _add_time(draw: Draw, clause: Clause) -> None:
    if clause.modal is LIKE_TO or _is_habit(clause):
        clause.time = times.habitual_time(draw)
    elif clause.tense == "past" or (clause.modal and clause.modal.past):
        clause.time = times.past_time(draw)
    elif clause.modal or clause.tense == "future":
        clause.time = times.future_time(draw)
    elif clause.tense == "perfect":
        clause.time = times.perfect_time(draw)
    else:
        clause.time = times.present_time(draw)
