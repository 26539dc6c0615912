"""German inflection: articles, adjective endings, nouns, verbs and numbers."""

import re
from collections.abc import Mapping
from typing import Literal

from .entries import AGREEMENTS, CASES, Agreement, Case, Gender, GermanVerb, Number

Column = Gender | Literal["plural"]
Table = Mapping[Case, Mapping[Column, str]]

_COLUMNS: tuple[Column, ...] = ("masculine", "feminine", "neuter", "plural")


def _table(*rows: str) -> Table:
    """Four rows (nominative, accusative, dative, genitive) of four words; "-" means no ending."""
    return {
        case: dict(zip(_COLUMNS, (word.strip("-") for word in row.split()), strict=True))
        for case, row in zip(CASES, rows, strict=True)
    }


ARTICLES: Mapping[str, Table] = {
    "definite": _table("der die das die", "den die das die", "dem der dem den", "des der des der"),
    "der": _table("er e es e", "en e es e", "em er em en", "es er es er"),
    "ein": _table("- e - e", "en e - e", "em er em en", "es er es er"),
    "none": _table("- - - -", "- - - -", "- - - -", "- - - -"),
}
ADJECTIVE_ENDINGS: Mapping[str, Table] = {
    "weak": _table("e e e en", "en e e en", "en en en en", "en en en en"),
    "mixed": _table("er e es en", "en e es en", "en en en en", "en en en en"),
    "strong": _table("er e es e", "en e es e", "em er em en", "en er en er"),
}
CONTRACTIONS: Mapping[tuple[str, str], str] = {
    ("in", "dem"): "im",
    ("in", "das"): "ins",
    ("an", "dem"): "am",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
    ("bei", "dem"): "beim",
    ("von", "dem"): "vom",
}

_VOWEL_GROUP = re.compile("[aeiouäöüy]+")
_INSEPARABLE = ("be", "emp", "ent", "er", "ge", "unter", "über", "um", "ver", "wieder", "zer")
_FOREIGN_GENITIVES = (
    "Park",
    "Film",
    "Schal",
    "Koch",
    "Zoo",
    "Tee",
    "Plan",
    "Schuh",
    "Ball",
    "Lärm",
    "Sturm",
)


def genitive(lemma: str) -> str:
    """The genitive singular of a masculine or neuter noun that is not weak."""
    if lemma == "Bus" or lemma.endswith("nis"):
        return lemma + "ses"
    if lemma.endswith(("s", "ß", "x", "z")):
        return lemma + "es"
    one_syllable = len(_VOWEL_GROUP.findall(lemma.lower())) == 1
    ends_open = lemma.endswith(tuple("aeiouöüä"))
    if one_syllable and not ends_open and lemma not in _FOREIGN_GENITIVES:
        return lemma + "es"
    return lemma + "s"


def noun_forms(
    lemma: str, gender: Gender, plural: str, *, weak: bool
) -> dict[tuple[Number, Case], str]:
    """All cases; a weak noun (n-declension) takes its plural's form in the oblique singular."""
    oblique = plural if weak else lemma
    genitive_singular = oblique
    if gender != "feminine" and not weak:
        genitive_singular = genitive(lemma)
    dative_plural = plural if plural.endswith(("n", "s")) else plural + "n"
    return {
        ("singular", "nominative"): lemma,
        ("singular", "accusative"): oblique,
        ("singular", "dative"): oblique,
        ("singular", "genitive"): genitive_singular,
        ("plural", "nominative"): plural,
        ("plural", "accusative"): plural,
        ("plural", "dative"): dative_plural,
        ("plural", "genitive"): plural,
    }


def verb_forms(principal_parts: str) -> GermanVerb:
    """Build a verb from e.g. "an-kommen kommt kam ist gekommen"; a weak verb is its infinitive.

    "sich" in front makes it reflexive, "ist" the perfect with "sein". The participle is given
    without its separable particle.
    """
    words = principal_parts.split()
    reflexive = words[0] == "sich"
    auxiliary: Literal["haben", "sein"] = "sein" if "ist" in words else "haben"
    infinitive, *irregular = (word for word in words if word not in ("sich", "ist"))
    particle, _, base = infinitive.rpartition("-")
    third, past, participle = irregular or _weak_parts(base, separable=bool(particle))
    return GermanVerb(
        infinitive=particle + base,
        zu_infinitive=f"{particle}zu{base}" if particle else f"zu {base}",
        participle=particle + participle,
        present=dict(zip(AGREEMENTS, (_first_person(base), third, base), strict=True)),
        past=past_forms(past),
        particle=particle,
        auxiliary=auxiliary,
        reflexive=reflexive,
    )


def past_forms(past: str) -> dict[Agreement, str]:
    """The past of "ich", "er" and the plural, from the first of them."""
    plural = past + ("n" if past.endswith("e") else "en")
    return dict(zip(AGREEMENTS, (past, past, plural), strict=True))


def _stem(infinitive: str) -> str:
    return infinitive[:-1] if infinitive.endswith(("eln", "ern")) else infinitive[:-2]


def _first_person(infinitive: str) -> str:
    if infinitive == "wissen":
        return "weiß"
    return _stem(infinitive) + "e"


def _weak_parts(base: str, *, separable: bool) -> tuple[str, str, str]:
    stem = _stem(base)
    if stem.endswith(("t", "d", "chn", "ffn", "gn")):  # a linking e: arbeitet, öffnet
        stem += "e"
    unstressed = (not separable and base.startswith(_INSEPARABLE)) or base.endswith("ieren")
    return stem + "t", stem + "te", ("" if unstressed else "ge") + stem + "t"


_UNITS = [
    "null",
    "ein",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
]
_TENS = ["zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]


def cardinal(number: int) -> str:
    """The numeral of a number from 2 to 12, or of one from 20 to 99."""
    if number <= 12:
        return _UNITS[number]
    tens, unit = divmod(number, 10)
    return (f"{_UNITS[unit]}und" if unit else "") + _TENS[tens - 2]
