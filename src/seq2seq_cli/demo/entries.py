"""Dictionary entries: one word of the demo grammar in both languages, with all its forms.

Agreement has only three values, because the demo renders "you" as the polite "Sie": German verbs
then distinguish "ich", "er/sie/es" and the plural, and English verbs do not distinguish more.
"""

from dataclasses import dataclass
from typing import Literal

Gender = Literal["masculine", "feminine", "neuter"]
Number = Literal["singular", "plural"]
Case = Literal["nominative", "accusative", "dative", "genitive"]
Agreement = Literal["first", "third", "plural"]
Declension = Literal["weak", "mixed", "strong"]

CASES: tuple[Case, ...] = ("nominative", "accusative", "dative", "genitive")
AGREEMENTS: tuple[Agreement, ...] = ("first", "third", "plural")


@dataclass(frozen=True, slots=True, eq=False)
class Noun:
    """A noun; `tags` are classes of meaning (food, person, ...), by which verbs select nouns."""

    index: int
    english: str
    english_plural: str
    german: dict[tuple[Number, Case], str]
    gender: Gender
    tags: frozenset[str]
    countable: bool


@dataclass(frozen=True, slots=True, eq=False)
class Adjective:
    """An adjective; German attributive forms are `stem` plus an ending."""

    index: int
    english: str
    english_comparative: str
    german: str
    german_stem: str
    german_comparative: str
    tags: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class EnglishVerb:
    """`particle` moves behind a pronoun (turn it on); `preposition` never does (look for it)."""

    base: str
    third: str
    past: str
    participle: str
    gerund: str
    particle: str = ""
    preposition: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class GermanVerb:
    """`present` and `past` are without the separable `particle`; the other forms include it."""

    infinitive: str
    zu_infinitive: str
    participle: str
    present: dict[Agreement, str]
    past: dict[Agreement, str]
    particle: str
    auxiliary: Literal["haben", "sein"]
    reflexive: bool


@dataclass(frozen=True, slots=True, eq=False)
class Government:
    """The preposition that a verb requires in each language, with the German case it takes."""

    english: str
    german: str
    case: Case


@dataclass(frozen=True, slots=True, eq=False)
class Verb:
    """A verb with the tags of possible subjects, objects and prepositional objects."""

    index: int
    english: EnglishVerb
    german: GermanVerb
    subject: tuple[str, ...]
    objects: tuple[str, ...]
    targets: tuple[str, ...]
    traits: frozenset[str]
    government: Government | None


@dataclass(frozen=True, slots=True, eq=False)
class Modal:
    """A modal in one tense: in English an auxiliary, or a verb (want) that takes "to".

    `linking` stands between it and the infinitive. Without `german` it is rendered as "gern".
    """

    auxiliary: str
    verb: EnglishVerb | None
    linking: str
    past: bool
    german: dict[Agreement, str] | None
    negated_german: dict[Agreement, str] | None


@dataclass(frozen=True, slots=True, eq=False)
class Determiner:
    """`endings` decline the determiner itself, `declension` the adjectives after it."""

    english_singular: str
    english_plural: str
    german: str
    endings: Literal["definite", "der", "ein", "none"]
    declension: Declension
    definite: bool
