"""Draws questions and orders."""

from collections.abc import Callable
from functools import cache

from . import times
from .clauses import Request, about, core, resists_negation
from .draw import Draw
from .entries import Modal, Noun, Verb
from .function_words import HOW_MANY, WE, WHAT, WHICH, WHO, YOU, I
from .nouns import tagged
from .phrases import person
from .predicates import price
from .structure import Adverbial, Clause, Mood, NounPhrase, Phrase, Sentence
from .tenses import Epoch, is_deliberate, simple_tense, surround
from .verbs import BE, CAN, MAY, MUST, SHOULD, WANT_TO, WOULD_LIKE_TO, of_kind

_MODALS: tuple[tuple[float, Modal], ...] = (
    (4, CAN),
    (2, MUST),
    (2, SHOULD),
    (3, WANT_TO),
    (2, WOULD_LIKE_TO),
)
_REQUESTS: tuple[tuple[float, Modal], ...] = ((3, MAY), (3, CAN), (2, MUST), (2, SHOULD))
_WHERE = Adverbial("where", "wo")
_WHERE_TO = Adverbial("where", "wohin")
_WHEN = Adverbial("when", "wann")
_WHY = Adverbial("why", "warum")
_HOW_OLD = Adverbial("how old", "wie alt")
_HOW_MUCH = Adverbial("how much", "wie viel")


def _somebody(draw: Draw) -> Phrase:
    """Draw the person that a question is about, who is known: not "a man"."""
    return person(draw, definite=True)


def yes_no(draw: Draw) -> Sentence:
    """Have you read the book? May I open the window?"""
    subject = YOU if draw.chance(0.35) else _somebody(draw)
    clause = draw.until(
        lambda: core(draw, Request("present", subject=subject, plain=True)),
        lambda drawn: subject not in (I, WE) or is_deliberate(drawn),
    )
    if subject in (I, WE):
        clause.modal = draw.weighted(_REQUESTS)
    elif is_deliberate(clause) and draw.chance(0.35):
        clause.modal = draw.weighted(_MODALS)
    elif "stative" not in clause.verb.traits and draw.chance(0.25):
        clause.tense = "future"
        draw.construct(clause.verb, "future")
    else:
        clause.tense = simple_tense(draw, clause.verb, "present")
    surround(draw, clause)
    clause.front = None
    draw.construct(clause.verb, "question")
    return Sentence([clause], mood=Mood.QUESTION)


def open_question(draw: Draw) -> Sentence:
    """A question with an interrogative."""
    clause = interrogative(draw, "past" if draw.chance(0.4) else "present")
    draw.construct(clause.verb, "question")
    return Sentence([clause], mood=Mood.QUESTION)


def interrogative(draw: Draw, epoch: Epoch) -> Clause:
    """A clause with an interrogative in front, for a question or inside another clause."""
    clause = draw.weighted(_INTERROGATIVES)(draw, epoch)
    if clause.front == "time":
        clause.tense = "past" if epoch == "past" else "future"
        if clause.tense == "future":
            draw.construct(clause.verb, "future")
    else:
        clause.tense = simple_tense(draw, clause.verb, epoch)
    if clause.front in ("direct", "indirect", "subject") and clause.verb is not BE:
        _ask_further(draw, clause)
    return clause


def _ask_further(draw: Draw, clause: Clause) -> None:
    front = clause.front
    surround(draw, clause)
    clause.front = front


def _who(draw: Draw, epoch: Epoch) -> Clause:
    clause = core(draw, Request(epoch, subject=WHO, plain=True))
    clause.front = "subject"
    return clause


def _whom(draw: Draw, epoch: Epoch) -> Clause:
    if draw.chance(0.3):
        verbs = tuple(verb for verb in of_kind("dative") if "person" in verb.subject)
        return Clause(draw.balanced(verbs), _somebody(draw), indirect=WHO, front="indirect")
    return Clause(
        draw.balanced(_verbs_on(people=True)),
        _somebody(draw),
        direct=WHO,
        front="direct",
    )


def _what(draw: Draw, epoch: Epoch) -> Clause:
    return Clause(
        draw.balanced(_verbs_on(people=False)),
        _somebody(draw),
        direct=WHAT,
        front="direct",
    )


@cache
def _verbs_on(*, people: bool) -> tuple[Verb, ...]:
    """The verbs with a person as subject and people as objects, or only things."""
    return tuple(
        verb
        for verb in of_kind("transitive")
        if "person" in verb.subject
        and "played" not in verb.traits
        and ("kin" in verb.objects) == people
    )


def _which(draw: Draw, epoch: Epoch) -> Clause:
    """Which book, how many apples."""
    verb = draw.balanced(_verbs_on(people=False))
    noun: Noun = draw.balanced(tagged(*verb.objects))
    draw.govern(verb, noun)
    if noun.countable and draw.chance(0.35):
        phrase = NounPhrase(noun, "plural", HOW_MANY)
    else:
        phrase = NounPhrase(noun, "singular", WHICH)
    return Clause(verb, _somebody(draw), direct=phrase, front="direct")


def _where(draw: Draw, epoch: Epoch) -> Clause:
    if draw.chance(0.3):
        verb = draw.one([verb for verb in of_kind("motion") if verb.english.base in _JOURNEYS])
        return Clause(verb, _somebody(draw), complement=_WHERE_TO, front="complement")
    if draw.chance(0.3):
        verb = draw.one([verb for verb in of_kind("position") if verb.english.base == "live"])
        return Clause(verb, _somebody(draw), complement=_WHERE, front="complement")
    clause = about(draw, draw.balanced(_LOCATED), Request(epoch, _somebody(draw), plain=True))
    clause.place, clause.front = _WHERE, "place"
    return clause


_JOURNEYS = ("go", "travel", "fly")
_LOCATED: tuple[Verb, ...] = tuple(
    verb
    for kind in ("intransitive", "transitive", "prepositional")
    for verb in of_kind(kind)
    if "place" in verb.traits and "stative" not in verb.traits
)


def _when(draw: Draw, epoch: Epoch) -> Clause:
    clause = _deed(draw, epoch)
    clause.time, clause.front = _WHEN, "time"
    return clause


def _why(draw: Draw, epoch: Epoch) -> Clause:
    clause = _deed(draw, epoch)
    clause.cause, clause.front = _WHY, "cause"
    return clause


def _deed(draw: Draw, epoch: Epoch) -> Clause:
    """Draw an event, not a lasting state."""
    return draw.until(
        lambda: core(draw, Request(epoch, plain=True)),
        lambda clause: "stative" not in clause.verb.traits and not resists_negation(clause.subject),
    )


def _how_old(draw: Draw, epoch: Epoch) -> Clause:
    return Clause(BE, _somebody(draw), complement=_HOW_OLD, front="complement")


def _how_much(draw: Draw, epoch: Epoch) -> Clause:
    clause = price(draw)
    clause.complement, clause.front = _HOW_MUCH, "complement"
    return clause


_INTERROGATIVES: tuple[tuple[float, Callable[[Draw, Epoch], Clause]], ...] = (
    (18, _who),
    (12, _whom),
    (16, _what),
    (14, _which),
    (14, _where),
    (14, _when),
    (14, _why),
    (3, _how_old),
    (3, _how_much),
)


def order(draw: Draw) -> Sentence:
    """Please open the window!"""
    clause = draw.until(lambda: core(draw, Request("present", subject=YOU)), is_deliberate)
    if draw.extra(0.25):
        clause.time = times.near_time(draw)
    return Sentence([clause], mood=Mood.ORDER)
