"""The abstract sentence, which is rendered in both languages.

Nothing here has word order or inflection; `english` and `german` add them. Only clauses and
sentences are mutable, since they are filled in step by step while they are drawn.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from .entries import Adjective, Agreement, Case, Determiner, Gender, Modal, Noun, Number, Verb

Tense = Literal[
    "present", "progressive", "past", "past progressive", "perfect", "pluperfect", "future"
]
Negation = Literal["", "not", "never"]
Slot = Literal["subject", "direct", "indirect", "complement", "time", "cause", "place", "opening"]
ADVERBIAL_SLOTS: tuple[Slot, ...] = ("time", "cause", "place")
Degree = Literal["", "very", "too", "comparative"]


class Mood(Enum):
    """The kind of sentence that a main clause makes."""

    STATEMENT = auto()
    QUESTION = auto()
    ORDER = auto()


MARKS = {Mood.STATEMENT: ".", Mood.QUESTION: "?", Mood.ORDER: "!"}


@dataclass(frozen=True, slots=True, eq=False)
class Adverbial:
    """Words that are fixed in both languages, such as "yesterday"."""

    english: str
    german: str


@dataclass(frozen=True, slots=True, eq=False)
class Pronoun:
    """Any pronoun: personal, interrogative or relative; its forms by case."""

    english_subject: str
    english_object: str
    english_prepositional: str
    german: dict[Case, str]
    agreement: Agreement
    gender: Gender | None = None
    reflexive: str = "sich"


@dataclass(frozen=True, slots=True, eq=False)
class Name:
    """A proper name of a person (with gender) or of a city (without)."""

    english: str
    german: str
    gender: Gender | None


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two phrases joined by "and"."""

    first: "Phrase"
    second: "Phrase"


@dataclass(frozen=True, slots=True, eq=False)
class NounPhrase:
    """A noun with its determiner and modifiers.

    `owner` is the English possessive (Anna's), `of` the same with a preposition (the end of
    the film); `content` is the content of a measure (a glass of water).
    """

    noun: Noun
    number: Number
    determiner: Determiner
    adjectives: tuple[Adjective, ...] = ()
    count: int = 0
    owner: "Name | NounPhrase | None" = None
    of: "NounPhrase | None" = None
    content: Noun | None = None
    relative: "Clause | None" = None


Phrase = NounPhrase | Name | Pronoun | Pair


@dataclass(frozen=True, slots=True, eq=False)
class Prepositional:
    """A preposition in each language with its phrase."""

    english: str
    german: str
    case: Case
    phrase: Phrase


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """A predicative adjective, perhaps compared with something."""

    adjective: Adjective
    degree: Degree = ""
    than: Phrase | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Profession:
    """A predicative noun; German leaves its article out (Anna ist Richterin)."""

    noun: Noun


@dataclass(frozen=True, slots=True, eq=False)
class Conjunction:
    """Opens a subordinate clause, finite or with an infinitive (um ... zu)."""

    english: str
    german: str
    form: Literal["finite", "infinitive", "gerund"] = "finite"
    english_comma: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Subordinate:
    """A clause after a conjunction, which is None if the clause begins with an interrogative."""

    conjunction: Conjunction | None
    clause: "Clause"


@dataclass(slots=True, eq=False)
class Clause:
    """One verb with everything around it; `front` names the slot that comes first."""

    verb: Verb
    subject: Phrase
    tense: Tense = "present"
    modal: Modal | None = None
    passive: bool = False
    negation: Negation = ""
    direct: Phrase | None = None
    indirect: Phrase | None = None
    complement: Prepositional | Quality | Profession | Adverbial | None = None
    frequency: Adverbial | None = None
    manner: Adverbial | None = None
    time: Adverbial | None = None
    cause: Adverbial | None = None
    place: Prepositional | Adverbial | None = None
    front: Slot | None = None
    opening: Subordinate | None = None
    tail: Subordinate | None = None
    subject_shared: bool = False


@dataclass(slots=True, eq=False)
class Sentence:
    """Main clauses with the connectors before the second and later ones."""

    clauses: list[Clause]
    connectors: list[Conjunction] = field(default_factory=list)
    mood: Mood = Mood.STATEMENT


def agreement(phrase: Phrase) -> Agreement:
    """The agreement of a verb with this subject."""
    if isinstance(phrase, NounPhrase):
        return "third" if phrase.number == "singular" else "plural"
    if isinstance(phrase, Pronoun):
        return phrase.agreement
    return "plural" if isinstance(phrase, Pair) else "third"


def reflexive(phrase: Phrase) -> str:
    """The German reflexive pronoun, in the accusative."""
    if isinstance(phrase, Pair):
        return reflexive(phrase.second)
    return phrase.reflexive if isinstance(phrase, Pronoun) else "sich"
