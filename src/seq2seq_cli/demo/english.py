"""Renders the abstract sentence in English: its words with their dependency tree."""

from dataclasses import dataclass, field

from .adverbials import english_words
from .english_forms import cardinal, indefinite_article
from .english_verbs import auxiliary, verb_group, with_support
from .entries import Noun
from .function_words import IN_ORDER_TO, STOP_DOING, THERE, TO
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
    agreement,
)
from .verbs import BE, of_kind
from .words import (
    Origin,
    Rendering,
    Word,
    attach,
    comma,
    fixed,
    head_of,
    joined,
    punctuated,
)

_LEMMAS = {"an": "a", "these": "this", "who": "who", "whom": "who"}


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
        further = main_clause(clause)
        head = head_of(further)
        words += [comma(head)] if connector.english_comma else []
        words += fixed(connector.english, "CCONJ", head, "cc", (clause, "connector"))
        words += attach(further, root, "conj")
    return punctuated(words, MARKS[sentence.mood], (sentence, "mark"))


# Phrases


def noun_phrase(
    phrase: Phrase, at: Origin, *, subject: bool = False, preposition: bool = False
) -> list[Word]:
    """The words of any phrase; pronouns differ as subject, object and after a preposition.

    `at` says where in the sentence it is.
    """
    if isinstance(phrase, Pronoun):
        form = phrase.english_prepositional if preposition else phrase.english_object
        form = phrase.english_subject if subject else form
        return [Word(form, phrase.english_subject, "PRON", (at,))]
    if isinstance(phrase, Name):
        return [Word(phrase.english, phrase.english, "PROPN", (at,))]
    if isinstance(phrase, Pair):
        first = noun_phrase(phrase.first, (*at, 0), subject=subject)
        second = noun_phrase(phrase.second, (*at, 1), subject=subject)
        head = head_of(second)
        conjunction = fixed("and", "CCONJ", head, "cc", (*at, "and"))
        return [*first, *conjunction, *attach(second, head_of(first), "conj")]
    return _described(phrase)


def _described(phrase: NounPhrase) -> list[Word]:
    noun = phrase.noun
    plural = phrase.number == "plural"
    form = noun.english_plural if plural else noun.english
    head = Word(form, noun.english, "NOUN", ((phrase, "noun"),))
    words = [
        Word(adjective.english, adjective.english, "ADJ", ((phrase, index),)).attach(head, "amod")
        for index, adjective in enumerate(phrase.adjectives)
    ]
    words.append(head)
    if phrase.count:
        words.insert(0, _numeral(phrase).attach(head, "nummod"))
    words[:0] = _determiner(phrase, words[0].form, head)
    if phrase.content:
        content = Word(
            phrase.content.english, phrase.content.english, "NOUN", ((phrase, "content"),)
        )
        words += [_case("of", content), content.attach(head, "nmod")]
    if phrase.of:
        possessor = _described(phrase.of)
        words += [_case("of", head_of(possessor)), *attach(possessor, head, "nmod")]
    if phrase.relative:
        words += attach(_dependent(phrase.relative), head, "acl:relcl")
    return words


def _numeral(phrase: NounPhrase) -> Word:
    number = cardinal(phrase.count)
    return Word(number, number, "NUM", ((phrase, "count"),))


def _case(preposition: str, head: Word, *origins: Origin) -> Word:
    return Word(preposition, preposition, "ADP", origins).attach(head, "case")


def _determiner(phrase: NounPhrase, next_word: str, head: Word) -> list[Word]:
    if phrase.owner:
        owner = noun_phrase(phrase.owner, (phrase, "owner"))
        last = owner[-1]
        clitic = Word("'s", "'s", "PART").attach(head_of(owner), "case")
        joined([last, clitic], last.form + "'s")
        return [*attach(owner, head, "nmod:poss"), clitic]
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
    return _determiner_words(word, phrase, head)


def _determiner_words(text: str, phrase: NounPhrase, head: Word) -> list[Word]:
    if not text:
        return []
    *before, form = text.split()
    word = Word(form, _LEMMAS.get(form, form), "DET", ((phrase, "determiner"),))
    word.attach(head, "det")
    if form == "many":
        word.upos, word.relation = "ADJ", "amod"
    elif phrase.determiner.english_plural == phrase.determiner.english_singular and (
        form not in ("the", "which")
    ):  # my, whose
        word.upos, word.relation = "PRON", "nmod:poss"
    degree = [
        Word(how, how, "ADV", ((phrase, "how"),)).attach(word, "advmod") for how in before
    ]  # how many
    return [*degree, word]


def _prepositional(phrase: Prepositional | Adverbial, at: Origin) -> list[Word]:
    if isinstance(phrase, Adverbial):
        return english_words(phrase, at)
    words = noun_phrase(phrase.phrase, at, preposition=True)
    if not phrase.english:
        return words
    return [*_preposition(phrase.english, head_of(words), (*at, "preposition")), *words]


def _preposition(text: str, head: Word, origin: Origin) -> list[Word]:
    """A preposition, with what a verb requires before it: (takes) part in, forward to."""
    *before, last = text.split()
    if before and before[0] in _VERBAL:
        upos, relation = _VERBAL[before[0]]
        verbal = Word(before[0], before[0], upos, (origin,), relation=relation)
        return [verbal, _case(last, head, origin)]
    return fixed(text, "ADP", head, "case", origin)


_VERBAL = {"part": ("NOUN", "obj"), "care": ("NOUN", "obj"), "forward": ("ADV", "advmod")}


def _complement(clause: Clause) -> list[Word]:
    complement, at = clause.complement, (clause, "complement")
    if complement is None:
        return []
    if isinstance(complement, Quality):
        return _quality(complement, at)
    if isinstance(complement, Profession):
        return _with_article(complement.noun, at)
    return _prepositional(complement, at)


def _with_article(noun: Noun, at: Origin) -> list[Word]:
    head = Word(noun.english, noun.english, "NOUN", (at,))
    return [Word(indefinite_article(noun.english), "a", "DET").attach(head, "det"), head]


def _quality(quality: Quality, at: Origin) -> list[Word]:
    adjective = quality.adjective
    if quality.than:
        *more, form = adjective.english_comparative.split()
        head = Word(form, adjective.english, "ADJ", ((*at, "adjective"),))
        rival = noun_phrase(quality.than, (*at, "than"))
        than = _case("than", head_of(rival), (*at, "than-preposition"))
        return [
            *(Word(word, word, "ADV").attach(head, "advmod") for word in more),
            head,
            than,
            *attach(rival, head, "obl"),
        ]
    head = Word(adjective.english, adjective.english, "ADJ", ((*at, "adjective"),))
    degree = quality.degree
    if not degree:
        return [head]
    return [Word(degree, degree, "ADV", ((*at, "degree"),)).attach(head, "advmod"), head]


# Clauses


@dataclass(slots=True)
class _Layout:
    """The parts of a clause, whose words are attached already but not yet in order.

    `top` is the word that governs the clause: its verb or predicate, or a verb such as "want".
    """

    verbs: list[Word]
    top: Word
    subject: list[Word] = field(default_factory=list)
    middle: list[Word] = field(default_factory=list)
    slots: dict[str, list[Word]] = field(default_factory=dict)
    objects: list[Word] = field(default_factory=list)
    manner: list[Word] = field(default_factory=list)
    tail: list[Word] = field(default_factory=list)

    def slot(self, name: str | None) -> list[Word]:
        """The words of a slot, which are empty for the subject and for what the clause lacks."""
        return self.slots.get(name or "", [])


def _lay_out(clause: Clause, verbs: list[Word]) -> _Layout:
    """Attach all parts of a clause to its predicate or verb."""
    complement = _complement(clause)
    if clause.verb is BE and not clause.passive and complement:
        predicate = head_of(complement)
        verbs[-1].upos = "AUX"
        verbs[-1].attach(predicate, "cop")
    else:
        predicate = verbs[-1]
        attach(complement, predicate, _complement_relation(clause, complement))
        for word in complement:
            if word.head is None:  # (takes) part in
                word.attach(predicate, word.relation)
    governing = [word for word in verbs if word.head is None and not word.relation]
    top = governing[0] if governing and governing[0] is not predicate else predicate
    if top is not predicate:
        predicate.attach(top, "xcomp")
    _attach_auxiliaries(verbs, top, predicate)
    slots = {"complement": complement}
    for name in ADVERBIAL_SLOTS:
        if adverbial := getattr(clause, name):
            words = _prepositional(adverbial, (clause, name))
            governor = top if clause.front == name else predicate
            slots[name] = attach(words, governor, oblique(words))
    layout = _Layout(verbs, top, slots=slots)
    layout.middle = _middle(clause, top)
    layout.objects = _objects(clause, layout, predicate)
    if clause.manner:
        layout.manner = english_words(clause.manner, (clause, "manner"))
        attach(layout.manner, predicate, "advmod")
    if clause.tail:
        layout.tail = _subordinate(clause.tail)
        attach(layout.tail, predicate, tail_relation(clause))
    return layout


def _attach_auxiliaries(verbs: list[Word], top: Word, predicate: Word) -> None:
    """Attach auxiliaries before a governing verb to that, and those after it to the predicate."""
    governor = top if top in verbs else predicate
    for word in verbs:
        if word.head is None and word.relation:
            word.attach(predicate if word.relation == "mark" else governor, word.relation)
        if word is top:
            governor = predicate


def _complement_relation(clause: Clause, words: list[Word]) -> str:
    complement = clause.complement
    if clause.passive:
        return "obl:agent"
    bare = isinstance(complement, Prepositional) and not complement.english
    if bare or clause.verb in of_kind("price"):
        return "obj"
    return oblique(words)


def main_clause(clause: Clause, *, question: bool = False) -> list[Word]:
    """A main clause; the slot `front` comes first, unless it is the subject."""
    subject_first = not question or clause.front == "subject"
    core, layout = _core(clause, inverted=not subject_first)
    words: list[Word] = []
    if clause.opening:
        opening = _subordinate(clause.opening)
        end = comma(head_of(opening))
        words += [*attach(opening, layout.top, "advcl"), end]
    elif clause.front and clause.front != "subject":
        words += layout.slot(clause.front)
    return words + core


def _dependent(clause: Clause) -> list[Word]:
    """A relative clause or an embedded question: what is in front, then the usual order."""
    core, layout = _core(clause, inverted=False)
    return [*layout.slot(clause.front), *core]


def _core(clause: Clause, *, inverted: bool) -> tuple[list[Word], _Layout]:
    agrees = agreement(clause.subject)
    if clause.subject is THERE and clause.direct:
        agrees = agreement(clause.direct)
    supported = inverted or clause.negation == "not"
    group = with_support(clause, agrees) if supported else verb_group(clause, agrees)
    layout = _lay_out(clause, group)
    if not clause.subject_shared:
        layout.subject = noun_phrase(clause.subject, (clause, "subject"), subject=True)
        relation = subject_relation(clause)
        if relation == "nsubj:pass" and layout.top.upos == "VERB" and layout.top is not group[-1]:
            relation = "nsubj"
        attach(layout.subject, layout.top, relation)
    subject, middle = layout.subject, layout.middle
    auxiliary, rest = group[:1], group[1:]
    if auxiliary[0].form == "can" and middle and middle[0].form == "not":
        joined([auxiliary[0], middle[0]], "cannot")
        auxiliary, middle = [auxiliary[0], middle[0]], middle[1:]
    if (not rest and clause.verb is not BE and not supported) or (
        clause.modal and clause.modal.verb and not supported
    ):  # "often reads", but "is often"
        auxiliary, rest = [], group
    if inverted:
        words = [*auxiliary, *subject, *middle, *rest]
    else:
        words = [*subject, *auxiliary, *middle, *rest]
    return [*words, *_after_verb(clause, layout)], layout


def _middle(clause: Clause, top: Word) -> list[Word]:
    words: list[Word] = []
    if clause.negation:
        upos = "PART" if clause.negation == "not" else "ADV"
        origin: Origin = (clause, "negation")
        words.append(Word(clause.negation, clause.negation, upos, (origin,)).attach(top, "advmod"))
    if clause.frequency:
        words += attach(english_words(clause.frequency, (clause, "frequency")), top, "advmod")
    return words


def _after_verb(clause: Clause, layout: _Layout) -> list[Word]:
    words = [*layout.objects, *layout.manner]
    for slot in ("complement", "place", "time", "cause"):
        if clause.front != slot:
            words += layout.slot(slot)
    return [*words, *layout.tail]


def _objects(clause: Clause, layout: _Layout, head: Word) -> list[Word]:
    """The objects with what belongs to the verb; those in front are left in their slots."""
    verb = clause.verb.english
    origin: Origin = (clause, "verb")
    particle = [
        Word(part, part, "ADP", (origin,)).attach(head, "compound:prt")
        for part in verb.particle.split()
    ]
    direct = noun_phrase(clause.direct, (clause, "direct")) if clause.direct else []
    indirect = noun_phrase(clause.indirect, (clause, "indirect")) if clause.indirect else []
    layout.slots |= {"direct": direct, "indirect": indirect}
    governed = direct or indirect
    preposition: list[Word] = []
    if verb.preposition and governed:
        preposition = fixed(verb.preposition, "ADP", head_of(governed), "case", origin)
    both = bool(clause.direct and clause.indirect)
    named_last = isinstance(clause.direct, Pronoun) or "to" in clause.verb.traits
    recipient_last = both and (named_last or clause.front in ("direct", "indirect"))
    to = [_case("to", head_of(indirect))] if recipient_last else []
    sole = "obl" if preposition else "nsubj" if clause.subject is THERE else "obj"
    attach(direct, head, sole)
    attach(indirect, head, "obl" if to else "iobj" if both else sole)
    direct = [] if clause.front == "direct" else direct
    indirect = [] if clause.front == "indirect" else indirect
    if both:
        return [*direct, *to, *indirect] if recipient_last else [*indirect, *direct]
    if particle and isinstance(clause.direct, Pronoun):
        return [*direct, *particle]
    return [*particle, *preposition, *direct, *indirect]


def _subordinate(subordinate: Subordinate) -> list[Word]:
    conjunction, clause = subordinate.conjunction, subordinate.clause
    if conjunction is None:
        return _dependent(clause)
    if conjunction.form == "finite":
        words, layout = _core(clause, inverted=False)
        top = layout.top
    else:
        verb = clause.verb.english
        form = verb.base if conjunction.form == "infinitive" else verb.gerund
        top = Word(form, verb.base, "VERB", ((clause, "verb"),))
        layout = _lay_out(clause, [top])
        words = [top, *_after_verb(clause, layout)]
    opening: list[Word] = []
    origin: Origin = (subordinate, "conjunction")
    if conjunction is IN_ORDER_TO:
        opening = [
            *fixed("in order", "SCONJ", top, "mark", origin),
            Word("to", "to", "PART", ((clause, "to"),)).attach(top, "mark"),
        ]
    elif conjunction is TO:
        opening = [Word("to", "to", "PART", ((clause, "to"),)).attach(top, "mark")]
    elif conjunction is not STOP_DOING:
        opening = fixed(conjunction.english, "SCONJ", top, "mark", origin)
    return [*([comma(top)] if conjunction.english_comma else []), *opening, *words]


def _order(clause: Clause) -> list[Word]:
    verb = Word(clause.verb.english.base, clause.verb.english.base, "VERB", ((clause, "verb"),))
    layout = _lay_out(clause, [verb])
    please = Word("please", "please", "INTJ", ((clause, "please"),)).attach(verb, "discourse")
    support = [auxiliary("do", "do").attach(verb, "aux")] if clause.negation == "not" else []
    return [please, *support, *layout.middle, verb, *_after_verb(clause, layout)]
