"""Draws clauses that serve as an object or adverbial: that, whether, to, without."""

from .adjectives import ADJECTIVES
from .clauses import Kind, Request, about
from .draw import Draw
from .entries import Adjective, Verb
from .events import any_epoch, deed, event
from .function_words import (
    IN_ORDER_TO,
    INSTEAD_OF,
    STOP_DOING,
    THAT,
    TO,
    WEATHER_IT,
    WHETHER,
    WITHOUT,
    YOU,
)
from .phrases import person, person_again
from .questions import interrogative
from .structure import Clause, Phrase, Quality, Sentence, Subordinate, Tense
from .subordination import drop_cause, postpone
from .tenses import Epoch, simple_tense, surround
from .verbs import BE, of_kind


def reported(draw: Draw) -> Sentence:
    epoch = any_epoch(draw)
    verb = draw.balanced(of_kind("clausal"))
    asking = "only-whether" in verb.traits or ("whether" in verb.traits and draw.chance(0.6))
    ignorant = asking and verb.english.base == "know"
    main = Clause(verb, person(draw, definite=ignorant), tense=simple_tense(draw, verb, epoch))
    main.negation = "not" if ignorant else ""
    if asking and draw.chance(0.6):
        main.tail = Subordinate(None, interrogative(draw, epoch))
    elif asking:
        main.tail = Subordinate(WHETHER, event(draw, Request(epoch, plain=True)))
    else:
        main.tail = Subordinate(THAT, _content(draw, verb, main.subject, epoch))
    return Sentence([main])


def _content(draw: Draw, verb: Verb, speaker: Phrase, epoch: Epoch) -> Clause:
    """The clause for something said or believed; what is hoped is in the future."""
    again = person_again(speaker) if "self" in verb.traits and draw.chance(0.4) else None
    clause = draw.until(
        lambda: event(draw, Request(epoch, subject=again, plain=draw.chance(0.5))),
        lambda clause: clause.verb.english.base != verb.english.base,
    )
    clause.front = None
    hoped = "ahead" in verb.traits
    if hoped and epoch == "present":
        postpone(draw, clause)
        clause.modal = None
    elif epoch == "past" and "stative" not in clause.verb.traits and draw.chance(0.5 + hoped):
        clause.tense, clause.modal, clause.time = "pluperfect", None, None
    return clause


def infinitive(draw: Draw) -> Sentence:
    """Try, decide, forget to do something; stop doing it."""
    verb = draw.balanced(of_kind("infinitival"))
    epoch = any_epoch(draw)
    negated = draw.chance(0.1) and "gerund" not in verb.traits
    main = Clause(verb, person(draw, definite=negated), tense=simple_tense(draw, verb, epoch))
    main.negation = "not" if negated else ""
    conjunction = STOP_DOING if "gerund" in verb.traits else TO
    main.tail = Subordinate(conjunction, deed(draw, main.subject))
    return Sentence([main])


def purposeful(draw: Draw) -> Sentence:
    """In order to, without, instead of doing something."""
    epoch = any_epoch(draw)
    subject = person(draw)
    conjunction = draw.weighted(((6, IN_ORDER_TO), (3, WITHOUT), (3, INSTEAD_OF)))
    main = about(draw, draw.balanced(_MEANS), Request(epoch, subject, plain=True))
    main.tense = simple_tense(draw, main.verb, epoch)
    if draw.chance(0.5):
        surround(draw, main)
        drop_cause(main)
    if conjunction is WITHOUT:
        omitted = about(draw, draw.balanced(_COURTESIES), Request(epoch, subject, plain=True))
    else:
        omitted = draw.until(
            lambda: deed(draw, subject),
            lambda clause: clause.verb not in of_kind("motion") and not _begins_with_um(clause),
        )
    main.tail = Subordinate(conjunction, omitted)
    return Sentence([main])


def _begins_with_um(clause: Clause) -> bool:
    """Whether "um" begins the clause in German: "um um ... zu bitten" is avoided."""
    government = clause.verb.government
    return bool(government and government.german == "um" and not clause.verb.german.reflexive)


def _people_do(*bases: str) -> tuple[Verb, ...]:
    """The deliberate verbs with these English base forms."""
    kinds: tuple[Kind, ...] = ("transitive", "dative", "prepositional", "motion", "intransitive")
    found = (verb for kind in kinds for verb in of_kind(kind) if verb.english.base in bases)
    return tuple(verb for verb in found if not verb.traits & {"stative", "punctual"})


_MEANS = _people_do("go", "run", "drive", "travel", "fly", "get", "work", "hurry", "come")
_COURTESIES = _people_do(
    "thank", "greet", "wait", "apologize", "read", "answer", "open", "use", "help", "listen", "call"
)
_JUDGEMENTS: tuple[tuple[Adjective, tuple[Verb, ...]], ...] = tuple(
    (adjective, _people_do(*bases.split()))
    for name, bases in (
        (
            "difficult",
            "solve translate repair catch build describe answer draw prepare open rescue",
        ),
        ("easy", "solve translate repair open answer draw use clean feed"),
        ("important", "prepare clean wash read thank help listen apologize visit sign answer rest"),
        ("dangerous", "cross climb jump feed swim follow catch hide"),
        ("exciting", "visit dance sing play swim photograph travel fly"),
        ("boring", "wait clean wash cook"),
        ("expensive", "build repair travel fly use"),
    )
    for adjective in ADJECTIVES
    if adjective.english == name
)


def judged(draw: Draw) -> Sentence:
    """It is difficult to solve the problem."""
    adjective, verbs = draw.one(_JUDGEMENTS)
    quality = Quality(adjective, "very" if draw.chance(0.3) else "")
    tense: Tense = "past" if draw.chance(0.3) else "present"
    main = Clause(BE, WEATHER_IT, tense=tense, complement=quality)
    deed = about(draw, draw.balanced(verbs), Request("present", YOU, plain=True))
    main.tail = Subordinate(TO, deed)
    return Sentence([main])
