"""Renders the abstract sentence in German.

A clause is laid out in the fields of German grammar: the prefield, the finite verb, the middle
field, the verbs of the right bracket, and the postfield. A relative clause ends its constituent;
that of the last constituent moves behind the right bracket (das Buch gelesen, das ...).
"""

from dataclasses import dataclass, field

from .english import punctuate
from .entries import Case
from .function_words import NO, SO
from .german_forms import ADJECTIVE_ENDINGS, ARTICLES, CONTRACTIONS, Column, cardinal
from .structure import (
    Adverbial,
    Clause,
    Mood,
    Name,
    NounPhrase,
    Pair,
    Phrase,
    Prepositional,
    Profession,
    Pronoun,
    Quality,
    Sentence,
    Subordinate,
    agreement,
    reflexive,
)
from .verbs import BE, BECOME, HAVE_PERFECT


@dataclass(slots=True)
class Constituent:
    """The words of a constituent, and its relative clause, which may be moved away from it."""

    words: list[str]
    trailing: list[str] = field(default_factory=list)


def render(sentence: Sentence) -> str:
    """Return the sentence with its capital letter and its final mark."""
    first = sentence.clauses[0]
    if sentence.mood is Mood.ORDER:
        words = _order(first)
    else:
        words = main_clause(first, question=sentence.mood is Mood.QUESTION)
    for connector, clause in zip(sentence.connectors, sentence.clauses[1:], strict=True):
        if connector.german != "und":
            words.append(",")
        words.append(connector.german)
        words += main_clause(clause, occupied=connector is SO)
    return punctuate(words, sentence.mood)


# Phrases


def _phrase(phrase: Phrase, case: Case) -> Constituent:
    """Decline any phrase in a case."""
    if isinstance(phrase, Pronoun):
        return Constituent([phrase.german[case]])
    if isinstance(phrase, Name):
        return Constituent([phrase.german])
    if isinstance(phrase, Pair):
        words = _flat(_phrase(phrase.first, case))
        return Constituent([*words, "und", *_flat(_phrase(phrase.second, case))])
    return _described(phrase, case)


def _flat(constituent: Constituent) -> list[str]:
    return constituent.words + constituent.trailing


def _described(phrase: NounPhrase, case: Case) -> Constituent:
    noun, number = phrase.noun, phrase.number
    column: Column = "plural" if number == "plural" else noun.gender
    declension = phrase.determiner.declension
    words: list[str] = []
    genitive: list[str] = []
    if isinstance(phrase.owner, Name):
        words = [phrase.owner.german + "s"]
        declension = "strong"
    else:
        words = _determiner(phrase, case, column)
        if phrase.owner:
            genitive = _described(phrase.owner, "genitive").words
    if phrase.count:
        words.append(cardinal(phrase.count))
        if not phrase.determiner.german and phrase.determiner.endings == "none":
            declension = "strong"
    ending = ADJECTIVE_ENDINGS[declension][case][column]
    words += [adjective.german_stem + ending for adjective in phrase.adjectives]
    words.append(noun.german[number, case])
    if phrase.content:
        words.append(phrase.content.german["singular", "nominative"])
    words += genitive
    if phrase.of:
        words += _described(phrase.of, "genitive").words
    trailing = [",", *_verb_final(phrase.relative), ","] if phrase.relative else []
    return Constituent(words, trailing)


def _determiner(phrase: NounPhrase, case: Case, column: Column) -> list[str]:
    determiner = phrase.determiner
    if determiner.german == "ein" and (column == "plural" or not phrase.noun.countable):
        return []
    word = determiner.german + ARTICLES[determiner.endings][case][column]
    return [word] if word else []


def _prepositional(prepositional: Prepositional | Adverbial) -> Constituent:
    if isinstance(prepositional, Adverbial):
        return Constituent([prepositional.german])
    constituent = _phrase(prepositional.phrase, prepositional.case)
    preposition = prepositional.german
    inner = prepositional.phrase
    contracted = CONTRACTIONS.get((preposition, constituent.words[0]))
    # "in dem Haus, das ...": a relative clause refers to the article, which is then not contracted.
    if contracted and isinstance(inner, NounPhrase) and not inner.relative:
        return Constituent([contracted, *constituent.words[1:]])
    return Constituent([preposition, *constituent.words], constituent.trailing)


def _complement(clause: Clause) -> Constituent | None:
    complement = clause.complement
    if complement is None:
        return None
    if isinstance(complement, Quality):
        return Constituent(_quality(complement))
    if isinstance(complement, Profession):
        return Constituent([complement.noun.german["singular", "nominative"]])
    return _prepositional(complement)


def _quality(quality: Quality) -> list[str]:
    if quality.than:
        than = _flat(_phrase(quality.than, "nominative"))
        return [quality.adjective.german_comparative, "als", *than]
    degree = {"": [], "very": ["sehr"], "too": ["zu"], "comparative": []}[quality.degree]
    return [*degree, quality.adjective.german]


# Verbs


@dataclass(slots=True)
class VerbGroup:
    """The finite verb, its separable particle, and the other verbs in German order."""

    finite: str
    particle: str
    others: list[str]


def _verb_group(clause: Clause) -> VerbGroup:
    verb = clause.verb.german
    agrees = agreement(clause.subject)
    modal = clause.modal
    infinitive = [verb.participle, "werden"] if clause.passive else [verb.infinitive]
    if modal and modal.german:
        modal_forms = modal.negated_german if clause.negation == "not" else modal.german
        return VerbGroup((modal_forms or modal.german)[agrees], "", infinitive)
    if clause.tense == "future":
        return VerbGroup(BECOME.present[agrees], "", infinitive)
    if clause.tense in ("perfect", "pluperfect"):
        with_sein = clause.passive or verb.auxiliary == "sein"
        auxiliary = BE.german if with_sein else HAVE_PERFECT
        forms = auxiliary.past if clause.tense == "pluperfect" else auxiliary.present
        worden = ["worden"] if clause.passive else []
        return VerbGroup(forms[agrees], "", [verb.participle, *worden])
    finite = BECOME if clause.passive else verb
    forms = finite.past if clause.tense.startswith("past") else finite.present
    if clause.passive:
        return VerbGroup(forms[agrees], "", [verb.participle])
    return VerbGroup(forms[agrees], verb.particle, [])


# Clauses


def main_clause(clause: Clause, *, question: bool = False, occupied: bool = False) -> list[str]:
    """Verb-second, or verb-first in a yes-no question; `occupied` if a word precedes the clause."""
    group = _verb_group(clause)
    first: list[str] = []
    subject_inside = True
    if clause.opening:
        first = _subordinate(clause.opening)[1:]
    elif clause.front and clause.front != "subject":
        first = _flat(_slot(clause, clause.front))
    elif not occupied and (not question or clause.front):
        subject_inside = False
        first = [] if clause.subject_shared else _flat(_phrase(clause.subject, "nominative"))
    bracket = [group.particle] if group.particle else group.others
    inside = _fields(clause, bracket, with_subject=subject_inside, reflexive_first=True)
    return [*first, group.finite, *inside]


def _verb_final(clause: Clause) -> list[str]:
    """A dependent clause: the slot `front`, the middle field, all verbs at the end."""
    group = _verb_group(clause)
    bracket = [*group.others, group.particle + group.finite]
    first: list[str] = []
    if clause.front and clause.front != "subject":
        first = _flat(_slot(clause, clause.front))
    return first + _fields(clause, bracket, with_subject=True)


def _infinitive(clause: Clause) -> list[str]:
    """The middle field and the infinitive with "zu"; no subject, but its reflexive."""
    return _fields(clause, [clause.verb.german.zu_infinitive], with_subject=False)


def _order(clause: Clause) -> list[str]:
    particle = clause.verb.german.particle
    finite = clause.verb.german.infinitive.removeprefix(particle)
    bracket = [particle] if particle else []
    return ["bitte", finite, "Sie", *_fields(clause, bracket, with_subject=False)]


def _slot(clause: Clause, slot: str) -> Constituent:
    if slot in ("time", "cause"):
        adverbial = clause.time if slot == "time" else clause.cause
        return Constituent([adverbial.german] if adverbial else [])
    if slot == "place" and clause.place:
        return _prepositional(clause.place)
    if slot == "complement":
        return _complement(clause) or Constituent([])
    if slot == "indirect" and clause.indirect:
        return _phrase(clause.indirect, "dative")
    if slot == "direct" and clause.direct:
        return _phrase(clause.direct, "accusative")
    return Constituent([])


def _fields(
    clause: Clause, bracket: list[str], *, with_subject: bool, reflexive_first: bool = False
) -> list[str]:
    """Middle field, right bracket and postfield.

    `reflexive_first`: right after the finite verb, "sich" precedes a subject that is not a pronoun.
    """
    constituents = _middle(clause)
    if with_subject and not clause.subject_shared:
        after = reflexive_first and not isinstance(clause.subject, Pronoun)
        position = 1 if after and clause.verb.german.reflexive else 0
        constituents.insert(position, _phrase(clause.subject, "nominative"))
    words: list[str] = []
    for constituent in constituents:
        words += constituent.words
        if constituent.trailing and not (bracket and constituent is constituents[-1]):
            words += constituent.trailing
    words += bracket
    if bracket and constituents:
        words += constituents[-1].trailing
    return words + (_subordinate(clause.tail) if clause.tail else [])


def _middle(clause: Clause) -> list[Constituent]:
    """Pronouns, time, cause, known objects, "nicht", manner, place, new objects, complement."""
    direct, indirect = _objects(clause)
    pronouns = [_reflexive(clause)]
    if isinstance(clause.direct, Pronoun):
        pronouns.append(direct)
        direct = None
    if isinstance(clause.indirect, Pronoun):
        pronouns.append(indirect)
        indirect = None
    known = direct is not None and _is_known(clause.direct)
    early_manner = direct is not None
    manner = Constituent([clause.manner.german]) if clause.manner else None
    parts = [
        *pronouns,
        _slot(clause, "time") if clause.front != "time" else None,
        _slot(clause, "cause") if clause.front != "cause" else None,
        _frequency(clause),
        manner if early_manner else None,
        indirect,
        direct if known else None,
        _negation(clause),
        None if early_manner else manner,
        _slot(clause, "place") if clause.front != "place" else None,
        None if known else direct,
        _complement(clause) if clause.front != "complement" else None,
    ]
    return [part for part in parts if part is not None and part.words]


def _objects(clause: Clause) -> tuple[Constituent | None, Constituent | None]:
    direct = indirect = None
    if clause.direct and clause.front != "direct":
        direct = _phrase(clause.direct, "accusative")
    if clause.indirect and clause.front != "indirect":
        indirect = _phrase(clause.indirect, "dative")
    return direct, indirect


def _is_known(direct: Phrase | None) -> bool:
    """Definite objects stand before "nicht" and before the place, indefinite ones after."""
    return not isinstance(direct, NounPhrase) or bool(direct.owner) or direct.determiner.definite


def _reflexive(clause: Clause) -> Constituent | None:
    return Constituent([reflexive(clause.subject)]) if clause.verb.german.reflexive else None


def _frequency(clause: Clause) -> Constituent | None:
    if clause.modal and not clause.modal.german:
        return Constituent(["gern"])
    return Constituent([clause.frequency.german]) if clause.frequency else None


def _negation(clause: Clause) -> Constituent | None:
    if clause.negation == "never":
        return Constituent(["nie"])
    without_kein = not (isinstance(clause.direct, NounPhrase) and clause.direct.determiner is NO)
    return Constituent(["nicht"]) if clause.negation and without_kein else None


def _subordinate(subordinate: Subordinate) -> list[str]:
    """Commas around the clause; a bare infinitive with "zu" alone takes none."""
    conjunction, clause = subordinate.conjunction, subordinate.clause
    if conjunction is None:
        return [",", *_verb_final(clause), ","]
    if conjunction.form == "finite":
        return [",", conjunction.german, *_verb_final(clause), ","]
    words = _infinitive(clause)
    if conjunction.german:
        return [",", conjunction.german, *words, ","]
    return [",", *words, ","] if len(words) > 1 else words
