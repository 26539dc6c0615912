"""Renders the abstract sentence in English."""

from .english_forms import cardinal, indefinite_article
from .entries import Agreement, EnglishVerb, Modal, Noun
from .function_words import STOP_DOING, THERE
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
)
from .verbs import BE

_BE_PRESENT: dict[Agreement, str] = {"first": "am", "third": "is", "plural": "are"}
_BE_PAST: dict[Agreement, str] = {"first": "was", "third": "was", "plural": "were"}


_MARKS = {Mood.STATEMENT: ".", Mood.QUESTION: "?", Mood.ORDER: "!"}


def render(sentence: Sentence) -> str:
    """Return the sentence with its capital letter and its final mark."""
    words: list[str] = []
    if sentence.mood is Mood.ORDER:
        words = _order(sentence.clauses[0])
    else:
        words = main_clause(sentence.clauses[0], question=sentence.mood is Mood.QUESTION)
    for connector, clause in zip(sentence.connectors, sentence.clauses[1:], strict=True):
        words += [","] if connector.english_comma else []
        words += [connector.english, *main_clause(clause)]
    return punctuate(words, sentence.mood)


def punctuate(words: list[str], mood: Mood) -> str:
    """Joins words and commas, drops the commas that another mark swallows, and capitalises."""
    pieces: list[str] = []
    comma = False
    for word in words:
        if word == ",":
            comma = bool(pieces)
            continue
        if comma:
            pieces[-1] += ","
            comma = False
        pieces.append(word)
    text = " ".join(pieces)
    return text[0].upper() + text[1:] + _MARKS[mood]


# Phrases


def noun_phrase(phrase: Phrase, *, subject: bool = False, preposition: bool = False) -> list[str]:
    """The words of any phrase; pronouns differ as subject, object and after a preposition."""
    if isinstance(phrase, Pronoun):
        if subject:
            return [phrase.english_subject]
        return [phrase.english_prepositional if preposition else phrase.english_object]
    if isinstance(phrase, Name):
        return [phrase.english]
    if isinstance(phrase, Pair):
        first = noun_phrase(phrase.first, subject=subject)
        return [*first, "and", *noun_phrase(phrase.second, subject=subject)]
    return _described(phrase)


def _described(phrase: NounPhrase) -> list[str]:
    noun = phrase.noun
    plural = phrase.number == "plural"
    words = [adjective.english for adjective in phrase.adjectives]
    words.append(noun.english_plural if plural else noun.english)
    if phrase.count:
        words.insert(0, cardinal(phrase.count))
    determiner = _determiner(phrase, words[0])
    if determiner:
        words[:0] = determiner
    if phrase.content:
        words += ["of", phrase.content.english]
    if phrase.of:
        words += ["of", *_described(phrase.of)]
    if phrase.relative:
        words += _dependent(phrase.relative)
    return words


def _determiner(phrase: NounPhrase, next_word: str) -> list[str]:
    if phrase.owner:
        *words, last = noun_phrase(phrase.owner)
        return [*words, last + "'s"]
    determiner = phrase.determiner
    if phrase.number == "plural":
        word = determiner.english_plural
    elif determiner.english_singular == "a":
        if not phrase.noun.countable:
            word = determiner.english_plural
        else:
            word = indefinite_article(next_word)
    else:
        word = determiner.english_singular
    return [word] if word else []


def _prepositional(phrase: Prepositional | Adverbial) -> list[str]:
    if isinstance(phrase, Adverbial):
        return [phrase.english]
    words = noun_phrase(phrase.phrase, preposition=True)
    return [phrase.english, *words] if phrase.english else words


def _complement(clause: Clause) -> list[str]:
    complement = clause.complement
    if complement is None:
        return []
    if isinstance(complement, Quality):
        return _quality(complement)
    if isinstance(complement, Profession):
        return _with_article(complement.noun)
    return _prepositional(complement)


def _with_article(noun: Noun) -> list[str]:
    return [indefinite_article(noun.english), noun.english]


def _quality(quality: Quality) -> list[str]:
    if quality.than:
        return [quality.adjective.english_comparative, "than", *noun_phrase(quality.than)]
    words = [quality.adjective.english]
    return [quality.degree, *words] if quality.degree else words


# Verbs


def _finite(verb: EnglishVerb, agrees: Agreement, *, past: bool) -> str:
    if verb.base == "be":
        return (_BE_PAST if past else _BE_PRESENT)[agrees]
    if past:
        return verb.past
    if verb.base == "have" and agrees == "third":
        return "has"
    return verb.third if agrees == "third" else verb.base


def _verb_group(clause: Clause, agrees: Agreement) -> list[str]:
    """The verbs in order; the first is finite."""
    verb = clause.verb.english
    past = clause.tense.startswith("past")
    progressive = clause.tense.endswith("progressive")
    main = ["be", verb.participle] if clause.passive else [verb.base]
    if clause.modal:
        return [*_modal(clause.modal, agrees), *main]
    if clause.tense == "future":
        return ["will", *main]
    if clause.tense in ("perfect", "pluperfect"):
        has = "had" if clause.tense == "pluperfect" else "has" if agrees == "third" else "have"
        return [has, "been", verb.participle] if clause.passive else [has, verb.participle]
    if clause.passive:
        being = ["being"] if progressive else []
        return [_finite(BE.english, agrees, past=past), *being, verb.participle]
    if progressive:
        return [_finite(BE.english, agrees, past=past), verb.gerund]
    return [_finite(verb, agrees, past=past)]


def _modal(modal: Modal, agrees: Agreement) -> list[str]:
    first = modal.auxiliary
    if modal.verb:
        first = _finite(modal.verb, agrees, past=modal.past)
    return [first, modal.linking] if modal.linking else [first]


def _with_support(clause: Clause, agrees: Agreement) -> list[str]:
    """The verb group opened by an auxiliary: "do" where there is none."""
    group = _verb_group(clause, agrees)
    full_modal = clause.modal.verb if clause.modal else None
    lexical = full_modal or (clause.verb.english if len(group) == 1 else None)
    if lexical is None or lexical.base == "be":
        return group
    past = clause.modal.past if clause.modal else clause.tense == "past"
    support = "did" if past else "does" if agrees == "third" else "do"
    return [support, lexical.base, *group[1:]]


# Clauses


def main_clause(clause: Clause, *, question: bool = False) -> list[str]:
    """A main clause; the slot `front` comes first, unless it is the subject."""
    words: list[str] = []
    if clause.opening:
        words += [*_subordinate(clause.opening), ","]
    elif clause.front and clause.front != "subject":
        words += _slot(clause, clause.front)
    subject_first = not question or clause.front == "subject"
    return words + _core(clause, inverted=not subject_first)


def _dependent(clause: Clause) -> list[str]:
    """A relative clause or an embedded question: what is in front, then the usual order."""
    words = _slot(clause, clause.front) if clause.front and clause.front != "subject" else []
    return words + _core(clause, inverted=False)


def _slot(clause: Clause, slot: str) -> list[str]:
    if slot in ("time", "cause"):
        adverbial = clause.time if slot == "time" else clause.cause
        return [adverbial.english] if adverbial else []
    if slot == "place":
        return _prepositional(clause.place) if clause.place else []
    if slot == "complement":
        return _complement(clause)
    phrase = clause.direct if slot == "direct" else clause.indirect
    return noun_phrase(phrase) if phrase else []


def _core(clause: Clause, *, inverted: bool) -> list[str]:
    agrees = agreement(clause.subject)
    if clause.subject is THERE and clause.direct:
        agrees = agreement(clause.direct)
    supported = inverted or clause.negation == "not"
    group = _with_support(clause, agrees) if supported else _verb_group(clause, agrees)
    subject = [] if clause.subject_shared else noun_phrase(clause.subject, subject=True)
    middle = _middle(clause)
    auxiliary, rest = group[:1], group[1:]
    if auxiliary == ["can"] and middle[:1] == ["not"]:
        auxiliary, middle = ["cannot"], middle[1:]
    if (not rest and clause.verb is not BE and not supported) or (
        clause.modal and clause.modal.verb and not supported
    ):  # "often reads", but "is often"
        auxiliary, rest = [], group
    if inverted:
        words = [*auxiliary, *subject, *middle, *rest]
    else:
        words = [*subject, *auxiliary, *middle, *rest]
    return [*words, *_after_verb(clause)]


def _middle(clause: Clause) -> list[str]:
    words: list[str] = [clause.negation] if clause.negation else []
    return [*words, clause.frequency.english] if clause.frequency else words


def _after_verb(clause: Clause) -> list[str]:
    words = _objects(clause)
    if clause.manner:
        words.append(clause.manner.english)
    if clause.front != "complement":
        words += _complement(clause)
    if clause.place and clause.front != "place":
        words += _prepositional(clause.place)
    if clause.time and clause.front != "time":
        words.append(clause.time.english)
    if clause.cause and clause.front != "cause":
        words.append(clause.cause.english)
    if clause.tail:
        words += _subordinate(clause.tail)
    return words


def _objects(clause: Clause) -> list[str]:
    verb = clause.verb.english
    direct = noun_phrase(clause.direct) if clause.direct and clause.front != "direct" else []
    indirect = noun_phrase(clause.indirect) if clause.indirect else []
    if clause.front == "indirect":
        indirect = []
    particle = [verb.particle] if verb.particle else []
    preposition = [verb.preposition] if verb.preposition else []
    if clause.indirect and clause.direct:
        named_last = isinstance(clause.direct, Pronoun) or "to" in clause.verb.traits
        if named_last or clause.front in ("direct", "indirect"):
            return [*direct, "to", *indirect]
        return [*indirect, *direct]
    if particle and isinstance(clause.direct, Pronoun):
        return [*direct, *particle]
    return [*particle, *preposition, *direct, *indirect]


def _subordinate(subordinate: Subordinate) -> list[str]:
    conjunction, clause = subordinate.conjunction, subordinate.clause
    if conjunction is None:
        return _dependent(clause)
    comma = [","] if conjunction.english_comma else []
    opening = [conjunction.english] if conjunction is not STOP_DOING else []
    if conjunction.form == "finite":
        return [*comma, *opening, *_core(clause, inverted=False)]
    verb = clause.verb.english
    head = verb.base if conjunction.form == "infinitive" else verb.gerund
    return [*comma, *opening, head, *_after_verb(clause)]


def _order(clause: Clause) -> list[str]:
    negation = ["do", "not"] if clause.negation else []
    return ["please", *negation, clause.verb.english.base, *_after_verb(clause)]
