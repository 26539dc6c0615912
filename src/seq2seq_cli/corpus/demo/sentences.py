"""Draws whole sentences: clauses alone, under one another and side by side."""

from collections.abc import Callable
from functools import cache

from .adjectives import ADJECTIVES, fitting
from .clauses import Kind, Request, about, core
from .draw import Draw
from .entries import Adjective, Noun, Verb
from .events import event
from .function_words import (
    AFTER,
    ALTHOUGH,
    AND,
    AS_SOON_AS,
    BECAUSE,
    BEFORE,
    BUT,
    CITIES,
    IF,
    IN_ORDER_TO,
    INSTEAD_OF,
    IT,
    SHARED_AND,
    SO,
    SO_THAT,
    STOP_DOING,
    THAT,
    THESE_THINGS,
    TO,
    WEATHER_IT,
    WHEN,
    WHETHER,
    WHILE,
    WITHOUT,
    YOU,
)
from .phrases import person, person_again
from .predicates import existence, person_quality, quality_of
from .questions import interrogative, open_question, order, yes_no
from .structure import (
    Clause,
    Conjunction,
    NounPhrase,
    Phrase,
    Prepositional,
    Pronoun,
    Quality,
    Sentence,
    Subordinate,
    Tense,
)
from .tenses import Epoch, is_deliberate, simple_tense, surround
from .verbs import BE, CAN, COULD, HAD_TO, WANT_TO, WANTED_TO, of_kind


def sentence(draw: Draw) -> Sentence:
    """Any sentence of the grammar."""
    return draw.weighted(_KINDS)(draw)


def statement(draw: Draw) -> Sentence:
    """A sentence that others can be joined to."""
    return draw.weighted(_STATEMENTS)(draw)


def joined(draw: Draw, first: Sentence) -> Sentence:
    """The statement with one more main clause."""
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
            further = _with_tail(draw, further, epoch)
    return Sentence([*first.clauses, further], [*first.connectors, connector])


_CONNECTORS = ((5.0, AND), (3.0, BUT), (2.0, SO))


def _consequence(draw: Draw, before: Clause, epoch: Epoch) -> Clause:
    """What somebody does because of what came before."""
    again = person_again(before.subject) if draw.chance(0.5) else None
    clause = _deliberate(draw, again or person(draw))
    clause.tense = simple_tense(draw, clause.verb, epoch)
    if draw.chance(0.5):
        clause.tense = "past" if epoch == "past" else "present"
        clause.modal = draw.one((COULD, HAD_TO, WANTED_TO) if epoch == "past" else (CAN, WANT_TO))
    return clause


def _is_past(clause: Clause) -> bool:
    return clause.tense.startswith("past") or bool(clause.modal and clause.modal.past)


def _epoch(draw: Draw) -> Epoch:
    return "past" if draw.chance(0.5) else "present"


def _follow_up(draw: Draw, before: Clause, epoch: Epoch) -> Clause:
    """A further event, about the same person or another one, and not at the same time."""
    again = person_again(before.subject) if draw.chance(0.4) else None
    clause = draw.until(lambda: event(draw, Request(epoch, subject=again)), _is_action)
    if before.time and clause.time:
        clause.time = None
        clause.front = "cause" if clause.front == "cause" else None
    return clause


def _is_action(clause: Clause) -> bool:
    """Something that people do or suffer, or that starts or ends: it has reasons and results."""
    if clause.verb is BE:
        return False
    human = person_again(clause.subject) is not None or clause.verb.subject == ("person",)
    return human or clause.passive or clause.verb in of_kind("intransitive")


def _simple(draw: Draw) -> Sentence:
    return Sentence([event(draw, Request(_epoch(draw)))])


def _there_is(draw: Draw) -> Sentence:
    clause = existence(draw)
    clause.front = "place" if draw.chance(0.3) else None
    return Sentence([clause])


def _weather(draw: Draw, epoch: Epoch) -> Clause:
    clause = Clause(draw.one(of_kind("impersonal")), WEATHER_IT)
    clause.tense = "past progressive" if epoch == "past" else "progressive"
    return clause


def _weather_report(draw: Draw) -> Sentence:
    epoch = _epoch(draw)
    clause = _weather(draw, epoch)
    clause.tense = "past" if epoch == "past" else clause.tense
    if draw.chance(0.7):
        clause.place = Prepositional("in", "in", "dative", draw.one(CITIES))
    surround(draw, clause)
    return Sentence([clause])


# Side by side


def _two_events(draw: Draw) -> Sentence:
    return joined(draw, Sentence([_action(draw, _epoch(draw))]))


def _action(draw: Draw, epoch: Epoch, *, plain: bool = False) -> Clause:
    """An event that has reasons and results."""
    return draw.until(lambda: event(draw, Request(epoch, plain=plain)), _is_action)


def _shared_subject(draw: Draw) -> Sentence:
    """Anna bought a book and read it: one subject, and an object taken up again."""
    subject = person(draw)
    first = about(draw, draw.balanced(_OPENERS), Request("past", subject, plain=True))
    second = _taking_up(draw, first) if isinstance(first.direct, NounPhrase) else None
    if second is None:
        second = _deliberate(draw, subject)
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
        if "person" in verb.subject and verb.traits & {"first", "quick", "early", "careful"}
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
    return Clause(verb, first.subject, direct=_it(direct))


def _it(phrase: NounPhrase) -> Pronoun:
    return THESE_THINGS if phrase.number == "plural" else IT[phrase.noun.gender]


@cache
def _sequels(noun: Noun) -> tuple[Verb, ...]:
    return tuple(
        verb
        for verb in of_kind("transitive")
        if "then" in verb.traits and not noun.tags.isdisjoint(verb.objects)
    )


def _deliberate(draw: Draw, subject: Phrase) -> Clause:
    """Something that somebody does on purpose."""
    return draw.until(
        lambda: core(draw, Request("present", subject, plain=True)),
        is_deliberate,
    )


# One under the other


def _tail(draw: Draw) -> Sentence:
    epoch = _epoch(draw)
    main = _action(draw, epoch, plain=draw.chance(0.6))
    return Sentence([_with_tail(draw, main, epoch)])


def _with_tail(draw: Draw, main: Clause, epoch: Epoch) -> Clause:
    conjunctions = _PAST_CONJUNCTIONS if epoch == "past" else _PRESENT_CONJUNCTIONS
    if "stative" in main.verb.traits:
        conjunctions = ((2, BECAUSE), (1, ALTHOUGH))
    conjunction = draw.weighted(conjunctions)
    if conjunction in _TEMPORAL:
        main.time, main.frequency = None, None
        main.front = "cause" if main.front == "cause" else None
    if conjunction in (IF, AS_SOON_AS) and main.modal is None:
        _postpone(draw, main)
    main.tail = Subordinate(conjunction, _dependent(draw, main, conjunction, epoch))
    return main


def _opened(draw: Draw) -> Sentence:
    """The dependent clause first; the main clause may take up its subject."""
    epoch = _epoch(draw)
    conjunctions = _PAST_CONJUNCTIONS if epoch == "past" else _PRESENT_CONJUNCTIONS
    conjunction = draw.weighted([entry for entry in conjunctions if entry[1] is not SO_THAT])
    first = _bare_event(draw, conjunction, None, epoch)
    if conjunction is BECAUSE and draw.chance(0.3):
        first = _weather(draw, epoch)
    again = person_again(first.subject) if draw.chance(0.5) else None
    main = draw.until(
        lambda: event(draw, Request(epoch, subject=again, plain=conjunction in _TEMPORAL)),
        lambda clause: _is_action(clause) and "stative" not in clause.verb.traits,
    )
    if conjunction in (IF, AS_SOON_AS) and main.modal is None:
        _postpone(draw, main)
    main.front = None
    main.opening = Subordinate(conjunction, first)
    return Sentence([main])


def _postpone(draw: Draw, main: Clause) -> None:
    """Under a condition the main clause lies in the future."""
    if "stative" in main.verb.traits:
        main.tense = "present"
    else:
        main.tense = "future"
        draw.construct(main.verb, "future")
    main.time = main.frequency = None
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
    """The clause that a conjunction opens, in the tense that it asks for."""
    if conjunction is SO_THAT:
        clause = _deliberate(draw, person(draw))
        clause.modal = COULD if epoch == "past" else CAN
        return clause
    if conjunction in (WHILE, AFTER, AS_SOON_AS):
        doer = subject or person(draw)
        clause = draw.until(
            lambda: _deliberate(draw, doer),
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
    """No fixed truth about things, which explains nothing."""
    return _is_action(clause) or person_again(clause.subject) is not None


def _reason(draw: Draw, main: Clause, epoch: Epoch) -> Clause:
    if draw.chance(0.2):
        return _weather(draw, epoch)
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
    return quality_of(draw, _it(direct), direct.noun)


# Clauses as objects


def _that(draw: Draw) -> Sentence:
    epoch = _epoch(draw)
    verb = draw.balanced(of_kind("clausal"))
    main = Clause(verb, person(draw), tense=simple_tense(draw, verb, epoch))
    asking = "only-whether" in verb.traits or ("whether" in verb.traits and draw.chance(0.6))
    if asking and verb.english.base == "know":
        main.negation = "not"
    if asking and draw.chance(0.6):
        main.tail = Subordinate(None, interrogative(draw, epoch))
    elif asking:
        main.tail = Subordinate(WHETHER, event(draw, Request(epoch, plain=True)))
    else:
        main.tail = Subordinate(THAT, _content(draw, verb, main.subject, epoch))
    return Sentence([main])


def _content(draw: Draw, verb: Verb, speaker: Phrase, epoch: Epoch) -> Clause:
    """What is said or believed; hopes lie in the future, seen from their own time."""
    again = person_again(speaker) if "self" in verb.traits and draw.chance(0.4) else None
    clause = draw.until(
        lambda: event(draw, Request(epoch, subject=again, plain=draw.chance(0.5))),
        lambda clause: clause.verb.english.base != verb.english.base,
    )
    clause.front = None
    hoped = "ahead" in verb.traits
    if hoped and epoch == "present":
        _postpone(draw, clause)
        clause.modal = None
    elif epoch == "past" and "stative" not in clause.verb.traits and draw.chance(0.5 + hoped):
        clause.tense, clause.modal, clause.time = "pluperfect", None, None
    return clause


def _infinitive(draw: Draw) -> Sentence:
    """Try, decide, forget to do something; stop doing it."""
    verb = draw.balanced(of_kind("infinitival"))
    epoch = _epoch(draw)
    main = Clause(verb, person(draw), tense=simple_tense(draw, verb, epoch))
    if draw.chance(0.1) and "gerund" not in verb.traits:
        main.negation = "not"
    conjunction = STOP_DOING if "gerund" in verb.traits else TO
    main.tail = Subordinate(conjunction, _deliberate(draw, main.subject))
    return Sentence([main])


def _purpose(draw: Draw) -> Sentence:
    """In order to, without, instead of doing something."""
    epoch = _epoch(draw)
    subject = person(draw)
    conjunction = draw.weighted(((6, IN_ORDER_TO), (3, WITHOUT), (3, INSTEAD_OF)))
    main = about(draw, draw.balanced(_MEANS), Request(epoch, subject, plain=True))
    main.tense = simple_tense(draw, main.verb, epoch)
    if draw.chance(0.5):
        surround(draw, main)
    if conjunction is WITHOUT:
        omitted = about(draw, draw.balanced(_COURTESIES), Request(epoch, subject, plain=True))
    else:
        omitted = draw.until(
            lambda: _deliberate(draw, subject),
            lambda clause: clause.verb not in of_kind("motion"),
        )
    main.tail = Subordinate(conjunction, omitted)
    return Sentence([main])


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


def _judgement(draw: Draw) -> Sentence:
    """It is difficult to solve the problem."""
    adjective, verbs = draw.one(_JUDGEMENTS)
    quality = Quality(adjective, "very" if draw.chance(0.3) else "")
    tense: Tense = "past" if draw.chance(0.3) else "present"
    main = Clause(BE, WEATHER_IT, tense=tense, complement=quality)
    deed = about(draw, draw.balanced(verbs), Request("present", YOU, plain=True))
    main.tail = Subordinate(TO, deed)
    return Sentence([main])


_STATEMENTS: tuple[tuple[float, Callable[[Draw], Sentence]], ...] = (
    (46, _simple),
    (11, _tail),
    (6, _opened),
    (7, _that),
    (4, _infinitive),
    (4, _purpose),
    (1.5, _judgement),
    (7, _two_events),
    (5, _shared_subject),
    (3, _there_is),
    (1, _weather_report),
)
_KINDS = (
    *_STATEMENTS,
    (5.0, yes_no),
    (6.0, open_question),
    (2.5, order),
)
