"""Renders the abstract sentence in German: its words with their dependency tree.

A clause is laid out in the fields of German grammar: the prefield, the finite verb, the middle
field, the verbs of the right bracket, and the postfield. A relative clause ends its constituent;
that of the last constituent moves behind the right bracket (das Buch gelesen, das ...).
"""

from dataclasses import dataclass, field

from .adverbials import german_words
from .entries import Case
from .function_words import NO, SO
from .german_forms import ADJECTIVE_ENDINGS, ARTICLES, CONTRACTIONS, Column, cardinal
from .german_verbs import particle, verb_group
from .relations import oblique, subject_relation, tail_relation
from .structure import (
    ADVERBIAL_SLOTS,
    MARKS,
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
    reflexive,
)
from .verbs import BE, of_kind
from .words import Origin, Rendering, Word, attach, comma, fixed, head_of, joined, punctuated

_DETERMINERS = {"dies": "dieser", "jed": "jeder", "welch": "welcher", "einig": "einige"}
_RELATIVE_PRONOUNS = ("der", "die", "das")
_DEGREES = {"very": "sehr", "too": "zu"}


@dataclass(slots=True)
class Constituent:
    """The words of a constituent, and its relative clause, which may be moved away from it."""

    words: list[Word]
    trailing: list[Word] = field(default_factory=list)

    def attach(self, head: Word, relation: str) -> "Constituent":
        """Make it depend on a head, and return it."""
        attach(self.words, head, relation)
        return self


def render(sentence: Sentence) -> str:
    """Return the sentence with its capital letter and its final mark."""
    return analyse(sentence).text


def analyse(sentence: Sentence) -> Rendering:
    """Return the sentence with its dependency tree."""
    first = sentence.clauses[0]
    if sentence.mood is Mood.ORDER:
        words = _order(first)
    else:
        words = main_clause(first, question=sentence.mood is Mood.QUESTION)
    root = head_of(words)
    for connector, clause in zip(sentence.connectors, sentence.clauses[1:], strict=True):
        adverb = connector is SO
        further = main_clause(clause, occupied=adverb)
        head = head_of(further)
        if connector.german != "und":
            words.append(comma(head))
        upos, relation = ("ADV", "advmod") if adverb else ("CCONJ", "cc")
        words += fixed(connector.german, upos, head, relation, (clause, "connector"))
        words += attach(further, root, "conj")
    return punctuated(words, MARKS[sentence.mood], (sentence, "mark"))


# Phrases


def _phrase(phrase: Phrase, case: Case, at: Origin) -> Constituent:
    """Decline any phrase in a case; `at` says where in the sentence it is."""
    if isinstance(phrase, Pronoun):
        lemma = phrase.german["nominative"]
        lemma = "der" if lemma in _RELATIVE_PRONOUNS else lemma
        return Constituent([Word(phrase.german[case], lemma, "PRON", (at,))])
    if isinstance(phrase, Name):
        return Constituent([Word(phrase.german, phrase.german, "PROPN", (at,))])
    if isinstance(phrase, Pair):
        first = _flat(_phrase(phrase.first, case, (*at, 0)))
        second = _flat(_phrase(phrase.second, case, (*at, 1)))
        und = fixed("und", "CCONJ", head_of(second), "cc", (*at, "and"))
        return Constituent([*first, *und, *attach(second, head_of(first), "conj")])
    return _described(phrase, case, at)


def _flat(constituent: Constituent) -> list[Word]:
    return constituent.words + constituent.trailing


def _described(phrase: NounPhrase, case: Case, at: Origin) -> Constituent:
    noun, number = phrase.noun, phrase.number
    column: Column = "plural" if number == "plural" else noun.gender
    declension = phrase.determiner.declension
    lemma = noun.german["singular", "nominative"]
    head = Word(noun.german[number, case], lemma, "NOUN", ((phrase, "noun"),))
    genitive: list[Word] = []
    if isinstance(phrase.owner, Name):
        name = phrase.owner.german
        words = [Word(name + "s", name, "PROPN", ((phrase, "owner"),)).attach(head, "nmod")]
        declension = "strong"
    else:
        words = _determiner(phrase, case, column, head, at)
        if phrase.owner:
            genitive = _described(phrase.owner, "genitive", (phrase, "owner")).words
    if phrase.count:
        number_word = cardinal(phrase.count)
        words.append(Word(number_word, number_word, "NUM", ((phrase, "count"),)))
        words[-1].attach(head, "nummod")
        if not phrase.determiner.german and phrase.determiner.endings == "none":
            declension = "strong"
    ending = ADJECTIVE_ENDINGS[declension][case][column]
    for index, adjective in enumerate(phrase.adjectives):
        form = adjective.german_stem + ending
        words.append(Word(form, adjective.german, "ADJ", ((phrase, index),)).attach(head, "amod"))
    words.append(head)
    if phrase.content:
        content = phrase.content.german["singular", "nominative"]
        words.append(Word(content, content, "NOUN", ((phrase, "content"),)).attach(head, "nmod"))
    words += attach(genitive, head, "nmod")
    if phrase.of:
        words += attach(_described(phrase.of, "genitive", at).words, head, "nmod")
    trailing: list[Word] = []
    if phrase.relative:
        relative = _verb_final(phrase.relative)
        verb = head_of(relative)
        trailing = [comma(verb), *attach(relative, head, "acl:relcl"), comma(verb)]
    return Constituent(words, trailing)


def _determiner(
    phrase: NounPhrase, case: Case, column: Column, head: Word, at: Origin
) -> list[Word]:
    determiner = phrase.determiner
    if determiner.german == "ein" and (column == "plural" or not phrase.noun.countable):
        return []
    form = determiner.german + ARTICLES[determiner.endings][case][column]
    *how, form = form.split() or [""]
    if not form:
        return []
    stem = determiner.german.split()[-1] if determiner.german else "der"
    possessive = determiner.definite and determiner.endings in ("ein", "none") and determiner.german
    word = Word(form, _DETERMINERS.get(stem, stem), "DET", ((phrase, "determiner"),))
    word.attach(head, "det:poss" if possessive else "det")
    if determiner is NO:  # "kein" is also the "not" of the English clause
        word.origins = (*word.origins, (at[0], "negation"))
    return [*(Word(h, h, "ADV", ((phrase, "how"),)).attach(word, "advmod") for h in how), word]


def _prepositional(prepositional: Prepositional | Adverbial, at: Origin) -> Constituent:
    if isinstance(prepositional, Adverbial):
        return Constituent(german_words(prepositional, at))
    constituent = _phrase(prepositional.phrase, prepositional.case, at)
    inner, words = prepositional.phrase, constituent.words
    origin: Origin = (*at, "preposition")
    preposition = fixed(prepositional.german, "ADP", head_of(words), "case", origin)
    contracted = CONTRACTIONS.get((prepositional.german, words[0].form))
    # "in dem Haus, das ...": a relative clause refers to the article, which is then not contracted.
    if contracted and isinstance(inner, NounPhrase) and not inner.relative:
        return Constituent([*joined([*preposition, words[0]], contracted), *words[1:]])
    return Constituent([*preposition, *words], constituent.trailing)


def _complement(clause: Clause) -> Constituent:
    complement, at = clause.complement, (clause, "complement")
    if complement is None:
        return Constituent([])
    if isinstance(complement, Quality):
        return Constituent(_quality(complement, at))
    if isinstance(complement, Profession):
        form = complement.noun.german["singular", "nominative"]
        return Constituent([Word(form, form, "NOUN", (at,))])
    return _prepositional(complement, at)


def _quality(quality: Quality, at: Origin) -> list[Word]:
    adjective = quality.adjective
    form = adjective.german_comparative if quality.than else adjective.german
    head = Word(form, adjective.german, "ADJ", ((*at, "adjective"),))
    if quality.than:
        rival = _flat(_phrase(quality.than, "nominative", (*at, "than")))
        als = fixed("als", "ADP", head_of(rival), "case", (*at, "than-preposition"))
        return [head, *als, *attach(rival, head, "obl")]
    degree = _DEGREES.get(quality.degree)
    if not degree:
        return [head]
    return [Word(degree, degree, "ADV", ((*at, "degree"),)).attach(head, "advmod"), head]


# Clauses


def main_clause(clause: Clause, *, question: bool = False, occupied: bool = False) -> list[Word]:
    """Verb-second, or verb-first in a yes-no question; `occupied` if a word precedes the clause."""
    group = verb_group(clause)
    layout = _lay_out(clause, group.main, [group.finite, *group.others])
    first: list[Word] = []
    subject_inside = True
    if clause.opening:
        first = attach(_subordinate(clause.opening), layout.head, "advcl")[1:]
    elif clause.front and clause.front != "subject":
        first = _flat(layout.slot(clause.front))
    elif not occupied and (not question or clause.front):
        subject_inside = False
        first = _flat(layout.subject)
    inside = _fields(
        clause, layout, group.bracket, with_subject=subject_inside, reflexive_first=True
    )
    return [*first, group.finite, *inside]


def _verb_final(clause: Clause) -> list[Word]:
    """A dependent clause: the slot `front`, the middle field, all verbs at the end."""
    group = verb_group(clause)
    layout = _lay_out(clause, group.main, [group.finite, *group.others])
    first: list[Word] = []
    if clause.front and clause.front != "subject":
        first = _flat(layout.slot(clause.front))
    return first + _fields(clause, layout, group.final(), with_subject=True)


def _infinitive(clause: Clause) -> list[Word]:
    """The middle field and the infinitive with "zu"; no subject, but its reflexive."""
    german = clause.verb.german
    *zu, form = german.zu_infinitive.split()
    verb = Word(form, german.infinitive, "VERB", ((clause, "verb"),))
    origin: Origin = (clause, "to")
    if not zu:
        verb.origins = (*verb.origins, origin)
    layout = _lay_out(clause, verb, [verb])
    mark = [Word("zu", "zu", "PART", (origin,)).attach(verb, "mark") for _ in zu]
    return _fields(clause, layout, [*mark, verb], with_subject=False)


def _order(clause: Clause) -> list[Word]:
    german = clause.verb.german
    form = german.infinitive.removeprefix(german.particle)
    verb = Word(form, german.infinitive, "VERB", ((clause, "verb"),))
    layout = _lay_out(clause, verb, [verb])
    please = Word("bitte", "bitte", "INTJ", ((clause, "please"),)).attach(verb, "discourse")
    you = Word("Sie", "Sie", "PRON").attach(verb, "nsubj")
    bracket = particle(clause, verb)
    return [please, verb, you, *_fields(clause, layout, bracket, with_subject=False)]


@dataclass(slots=True)
class _Layout:
    """The constituents of a clause, attached to its head but not yet in order."""

    head: Word
    subject: Constituent
    slots: dict[str, Constituent]
    tail: list[Word] = field(default_factory=list)

    def slot(self, name: str) -> Constituent:
        """The constituent of a slot, which is empty if the clause lacks it."""
        return self.slots.get(name) or Constituent([])


def _lay_out(clause: Clause, verb: Word, verbs: list[Word]) -> _Layout:
    """Attach all constituents of a clause to its verb, or to the predicate of "sein"."""
    head = verb
    complement = _complement(clause)
    if clause.verb is BE and not clause.passive and complement.words:
        head = head_of(complement.words)
        verb.upos = "AUX"
        verb.attach(head, "cop")
    else:
        complement.attach(verb, _complement_relation(clause, complement))
    for word in verbs:
        if word.head is None and word.relation:
            word.attach(head, word.relation)
    subject = Constituent([])
    if not clause.subject_shared:
        subject = _phrase(clause.subject, "nominative", (clause, "subject"))
        subject.attach(head, subject_relation(clause))
    slots = {"complement": complement}
    for name in ADVERBIAL_SLOTS:
        if adverbial := getattr(clause, name):
            found = _prepositional(adverbial, (clause, name))
            slots[name] = found.attach(head, oblique(found.words))
    if clause.direct:
        slots["direct"] = _phrase(clause.direct, "accusative", (clause, "direct"))
        slots["direct"].attach(head, "obj")
    if clause.indirect:
        slots["indirect"] = _phrase(clause.indirect, "dative", (clause, "indirect"))
        slots["indirect"].attach(head, "iobj")
    tail = attach(_subordinate(clause.tail), head, tail_relation(clause)) if clause.tail else []
    return _Layout(head, subject, slots, tail)


def _complement_relation(clause: Clause, complement: Constituent) -> str:
    if clause.passive:
        return "obl:agent"
    return "obj" if clause.verb in of_kind("price") else oblique(complement.words)


def _fields(
    clause: Clause,
    layout: _Layout,
    bracket: list[Word],
    *,
    with_subject: bool,
    reflexive_first: bool = False,
) -> list[Word]:
    """Middle field, right bracket and postfield.

    `reflexive_first`: right after the finite verb, "sich" precedes a subject that is not a pronoun.
    """
    constituents = _middle(clause, layout)
    if with_subject and not clause.subject_shared:
        after = reflexive_first and not isinstance(clause.subject, Pronoun)
        position = 1 if after and clause.verb.german.reflexive else 0
        constituents.insert(position, layout.subject)
    words: list[Word] = []
    for constituent in constituents:
        words += constituent.words
        if constituent.trailing and not (bracket and constituent is constituents[-1]):
            words += constituent.trailing
    words += bracket
    if bracket and constituents:
        words += constituents[-1].trailing
    return words + layout.tail


def _middle(clause: Clause, layout: _Layout) -> list[Constituent]:
    """Pronouns, time, cause, known objects, "nicht", manner, place, new objects, complement."""
    head = layout.head

    def inside(slot: str) -> Constituent | None:
        return layout.slots.get(slot) if clause.front != slot else None

    direct, indirect = inside("direct"), inside("indirect")
    pronouns = [_reflexive(clause, head)]
    if isinstance(clause.direct, Pronoun):
        pronouns.append(direct)
        direct = None
    if isinstance(clause.indirect, Pronoun):
        pronouns.append(indirect)
        indirect = None
    known = direct is not None and _is_known(clause.direct)
    early_manner = direct is not None and bool(direct.words)
    manner = None
    if clause.manner:
        manner = Constituent(german_words(clause.manner, (clause, "manner")))
        manner.attach(head, "advmod")
    parts = [
        *pronouns,
        inside("time"),
        inside("cause"),
        _frequency(clause, head),
        manner if early_manner else None,
        indirect,
        direct if known else None,
        _negation(clause, head),
        None if early_manner else manner,
        inside("place"),
        None if known else direct,
        inside("complement"),
    ]
    return [part for part in parts if part is not None and part.words]


def _is_known(direct: Phrase | None) -> bool:
    """Definite objects stand before "nicht" and before the place, indefinite ones after."""
    return not isinstance(direct, NounPhrase) or bool(direct.owner) or direct.determiner.definite


def _reflexive(clause: Clause, head: Word) -> Constituent | None:
    if not clause.verb.german.reflexive:
        return None
    word = Word(reflexive(clause.subject), "sich", "PRON", ((clause, "verb"),))
    return Constituent([word.attach(head, "expl:pv")])


def _frequency(clause: Clause, head: Word) -> Constituent | None:
    if clause.modal and not clause.modal.german:
        word = Word("gern", "gern", "ADV", ((clause, "modal"),))
        return Constituent([word.attach(head, "advmod")])
    if not clause.frequency:
        return None
    words = german_words(clause.frequency, (clause, "frequency"))
    return Constituent(attach(words, head, "advmod"))


def _negation(clause: Clause, head: Word) -> Constituent | None:
    without_kein = not (isinstance(clause.direct, NounPhrase) and clause.direct.determiner is NO)
    form = "nie" if clause.negation == "never" else "nicht"
    if not clause.negation or (form == "nicht" and not without_kein):
        return None
    upos = "ADV" if form == "nie" else "PART"
    word = Word(form, form, upos, ((clause, "negation"),))
    return Constituent([word.attach(head, "advmod")])


def _subordinate(subordinate: Subordinate) -> list[Word]:
    """Commas around the clause; a bare infinitive with "zu" alone takes none."""
    conjunction, clause = subordinate.conjunction, subordinate.clause
    if conjunction is None or conjunction.form == "finite":
        words = _verb_final(clause)
    else:
        words = _infinitive(clause)
    head = head_of(words)
    opening: list[Word] = []
    if conjunction and conjunction.german:
        origin: Origin = (subordinate, "conjunction")
        opening = fixed(conjunction.german, "SCONJ", head, "mark", origin)
    bare = conjunction is not None and conjunction.form != "finite" and not conjunction.german
    if bare and len(words) == _bare_length(clause):
        return words
    return [comma(head), *opening, *words, comma(head)]


def _bare_length(clause: Clause) -> int:
    """The words of an infinitive with "zu" alone."""
    return len(clause.verb.german.zu_infinitive.split())
