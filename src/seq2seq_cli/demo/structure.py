"""The abstract sentence: what both languages are spoken from.

Nothing here has an order or an inflection; `english` and `german` give it theirs. A clause is
filled in step by step while it is drawn, so it alone is mutable.
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
Degree = Literal["", "very", "too", "comparative"]


class Mood(Enum):
    """What kind of sentence a main clause makes."""

    STATEMENT = auto()
    QUESTION = auto()
    ORDER = auto()


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
    """A noun with what belongs to it.

    `owner` is the English possessive (Anna's), `of` its prepositional sister (the end of the
    film); `content` is what a measure holds (a glass of water).
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
    """A clause under a conjunction; None where its own interrogative opens it."""

    conjunction: Conjunction | None
    clause: "Clause"


@dataclass(slots=True, eq=False)
class Clause:
    """One verb with everything around it; `front` names the slot that stands first."""

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
    """What the verb agrees with."""
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
