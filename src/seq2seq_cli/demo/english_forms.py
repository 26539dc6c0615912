"""English inflection: plurals, verb forms, comparatives and numbers."""

import re

from .entries import EnglishVerb

_SHORT_VOWEL = re.compile(r"[^aeiou]*[aeiou][bdgklmnprt]")  # stop, hug, plan: doubled consonant
_SOUNDED_U = re.compile(r"univ|unif|use")  # "a university", though "an umbrella"


def plural(noun: str) -> str:
    """The regular plural."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def comparative(adjective: str) -> str:
    """The comparative with -er."""
    if adjective.endswith("y"):
        return adjective[:-1] + "ier"
    if adjective.endswith("e"):
        return adjective + "r"
    return _doubled(adjective) + "er"


def verb_forms(text: str) -> EnglishVerb:
    """Build a verb from e.g. "take/took/taken ~off", "look :for" or the regular "open"."""
    forms, *rest = text.split()
    base, *irregular = forms.split("/")
    past, participle = irregular or [_regular_past(base)] * 2
    return EnglishVerb(
        base=base,
        third=plural(base) if base not in ("do", "go") else base + "es",
        past=past,
        participle=participle,
        gerund=_gerund(base),
        particle=" ".join(word[1:] for word in rest if word.startswith("~")),
        preposition=" ".join(word[1:] for word in rest if word.startswith(":")),
    )


def _doubled(word: str) -> str:
    if _SHORT_VOWEL.fullmatch(word) or word in ("begin", "forget", "forbid"):
        return word + word[-1]
    return word


def _regular_past(base: str) -> str:
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ied"
    return _doubled(base) + "ed"


def _gerund(base: str) -> str:
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if base.endswith("e") and not base.endswith("ee") and base != "be":
        return base[:-1] + "ing"
    return _doubled(base) + "ing"


def indefinite_article(next_word: str) -> str:
    """ "a" or "an", by the sound of the word that follows."""
    vowel = next_word[0] in "aeiou" and not _SOUNDED_U.match(next_word)
    return "an" if vowel else "a"


_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def cardinal(number: int) -> str:
    """The numeral of a number from 2 to 12, or of one from 20 to 99."""
    if number <= 12:
        return _UNITS[number]
    tens, unit = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_UNITS[unit]}" if unit else "")
