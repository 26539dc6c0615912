"""Determiners, pronouns, names and conjunctions of both languages."""

from .entries import CASES, Agreement, Determiner, Gender, Number
from .structure import Conjunction, Name, Pronoun

THE = Determiner("the", "the", "", "definite", "weak", True)
A = Determiner("a", "", "ein", "ein", "mixed", False)
BARE = Determiner("", "", "", "none", "strong", False)
NO = Determiner("a", "any", "kein", "ein", "mixed", False)  # "not" is in the English clause
THIS = Determiner("this", "these", "dies", "der", "weak", True)
EVERY = Determiner("every", "", "jed", "der", "weak", True)
MANY = Determiner("", "many", "viel", "der", "strong", False)
SOME = Determiner("", "some", "einig", "der", "strong", False)
ALL = Determiner("", "all", "all", "der", "weak", True)
WHICH = Determiner("which", "which", "welch", "der", "weak", True)
HOW_MANY = Determiner("", "how many", "wie viel", "der", "strong", False)
PLAYED = Determiner("the", "the", "", "none", "strong", False)  # play the piano: Klavier spielen


def _possessive(english: str, german: str) -> Determiner:
    return Determiner(english, english, german, "ein", "mixed", True)


MY = _possessive("my", "mein")
YOUR = _possessive("your", "Ihr")
HIS = _possessive("his", "sein")
HER = _possessive("her", "ihr")
OUR = _possessive("our", "unser")
THEIR = _possessive("their", "ihr")


def _personal(
    english: str, german: str, agreement: Agreement, gender: Gender | None = None
) -> Pronoun:
    subject, _, oblique = english.partition(" ")
    nominative, accusative, dative, reflexive = german.split()
    forms = dict(zip(CASES, (nominative, accusative, dative, ""), strict=True))
    oblique = oblique or subject
    return Pronoun(subject, oblique, oblique, forms, agreement, gender, reflexive)


I = _personal("I me", "ich mich mir mich", "first")  # noqa: E741 - the word itself
YOU = _personal("you", "Sie Sie Ihnen sich", "plural")
HE = _personal("he him", "er ihn ihm sich", "third", "masculine")
SHE = _personal("she her", "sie sie ihr sich", "third", "feminine")
WE = _personal("we us", "wir uns uns uns", "plural")
THEY = _personal("they them", "sie sie ihnen sich", "plural")
IT: dict[Gender, Pronoun] = {
    "masculine": _personal("it", "er ihn ihm sich", "third"),
    "feminine": _personal("it", "sie sie ihr sich", "third"),
    "neuter": _personal("it", "es es ihm sich", "third"),
}
# "they" for things: the same forms as THEY, but never the subject of an action.
THESE_THINGS = _personal("they them", "sie sie ihnen sich", "plural")
WEATHER_IT = IT["neuter"]
THERE = _personal("there", "es es es sich", "third")

PERSONAL: tuple[Pronoun, ...] = (I, YOU, HE, SHE, WE, THEY)
POSSESSIVE_OF: dict[Pronoun, Determiner] = {
    I: MY,
    YOU: YOUR,
    HE: HIS,
    SHE: HER,
    WE: OUR,
    THEY: THEIR,
}
POSSESSIVES: tuple[Determiner, ...] = (MY, YOUR, HIS, HER, OUR, THEIR)
POSSESSIVE_OF_GENDER: dict[Gender, Determiner] = {"masculine": HIS, "feminine": HER}

WHO = Pronoun(
    "who", "who", "whom", dict(zip(CASES, ["wer", "wen", "wem", "wessen"], strict=True)), "third"
)
WHAT = Pronoun(
    "what", "what", "what", dict(zip(CASES, ["was", "was", "was", "wessen"], strict=True)), "third"
)


def _relative(column: Gender | Number, german: str, *, person: bool) -> Pronoun:
    """Only people have a gender here, since "his" and "her" can refer to them."""
    subject, oblique, prepositional = ("who whom whom" if person else "that that which").split()
    forms = dict(zip(CASES, german.split(), strict=True))
    gender = _GENDER_OF_COLUMN.get(column) if person else None
    agreement: Agreement = "plural" if column == "plural" else "third"
    return Pronoun(subject, oblique, prepositional, forms, agreement, gender)


_GENDER_OF_COLUMN: dict[Gender | Number, Gender] = {
    "masculine": "masculine",
    "feminine": "feminine",
    "neuter": "neuter",
    "plural": "neuter",
}
_RELATIVE_FORMS: dict[Gender | Number, str] = {
    "masculine": "der den dem dessen",
    "feminine": "die die der deren",
    "neuter": "das das dem dessen",
    "plural": "die die denen deren",
}
RELATIVES: dict[tuple[Gender | Number, bool], Pronoun] = {
    (column, person): _relative(column, forms, person=person)
    for column, forms in _RELATIVE_FORMS.items()
    for person in (True, False)
}
WHOSE: dict[Gender | Number, Determiner] = {
    column: Determiner("whose", "whose", forms.split()[3], "none", "strong", True)
    for column, forms in _RELATIVE_FORMS.items()
}

_FEMALE = "Anna Maria Lisa Julia Emma Laura"
_MALE = "Tom Paul Peter David Martin Daniel"
NAMES: tuple[Name, ...] = tuple(
    [Name(name, name, "feminine") for name in _FEMALE.split()]
    + [Name(name, name, "masculine") for name in _MALE.split()]
)
CITIES: tuple[Name, ...] = tuple(
    Name(english, german, None)
    for english, _, german in (
        row.partition("/")
        for row in [
            "Berlin/Berlin",
            "Hamburg/Hamburg",
            "Munich/München",
            "Cologne/Köln",
            "Vienna/Wien",
            "Paris/Paris",
            "London/London",
            "Rome/Rom",
            "Germany/Deutschland",
            "Italy/Italien",
            "Spain/Spanien",
            "France/Frankreich",
        ]
    )
)

AND = Conjunction("and", "und", english_comma=True)
BUT = Conjunction("but", "aber", english_comma=True)
SO = Conjunction("so", "deshalb", english_comma=True)
SHARED_AND = Conjunction("and", "und")

BECAUSE = Conjunction("because", "weil")
ALTHOUGH = Conjunction("although", "obwohl", english_comma=True)
IF = Conjunction("if", "wenn")
WHEN = Conjunction("when", "als")
WHILE = Conjunction("while", "während")
BEFORE = Conjunction("before", "bevor")
AFTER = Conjunction("after", "nachdem")
SO_THAT = Conjunction("so that", "damit")
AS_SOON_AS = Conjunction("as soon as", "sobald")
THAT = Conjunction("that", "dass")
WHETHER = Conjunction("whether", "ob")

TO = Conjunction("to", "", "infinitive")
STOP_DOING = Conjunction("", "", "gerund")
IN_ORDER_TO = Conjunction("in order to", "um", "infinitive")
WITHOUT = Conjunction("without", "ohne", "gerund")
INSTEAD_OF = Conjunction("instead of", "statt", "gerund")
