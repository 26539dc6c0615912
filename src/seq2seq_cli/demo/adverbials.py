"""Words of phrases that are fixed in both languages, such as "last week" and "um halb sieben"."""

from functools import cache

from . import english_forms, german_forms
from .nouns import NOUNS
from .structure import Adverbial
from .words import Origin, Word, joined

_CONTRACTED = {"am": ("an", "dem"), "im": ("in", "dem")}


def _tags(table: str) -> dict[str, tuple[str, str]]:
    """Part of speech and lemma of words; a row gives the former, then word or word/lemma."""
    found: dict[str, tuple[str, str]] = {}
    for row in table.strip().splitlines():
        upos, *words = row.split()
        for word in words:
            form, _, lemma = word.partition("/")
            found[form] = upos, lemma or form
    return found


_ENGLISH = _tags("""
    ADP in on at before after during because despite past of
    DET the this every
    ADJ last next old much
    ADV now soon ago often always sometimes usually already just quickly slowly loudly quietly
    ADV carefully early late where when why how o'clock
    NOUN hours/hour days/day weeks/week months/month years/year euros/euro
    PROPN Monday Tuesday Wednesday Thursday Friday Saturday Sunday
    PROPN January February March April May June July August September October November December
""")
_GERMAN = _tags("""
    ADP an in um vor nach während wegen trotz zu
    DET der dem/der des/der diese/dieser dieses/dieser jeden/jeder jede/jeder jedes/jeder
    ADJ letzte/letzter letzten/letzter letztes/letzter nächste/nächster nächsten/nächster
    ADJ nächstes/nächster alt
    ADV gestern heute jetzt morgen bald oft immer manchmal meistens schon gerade schnell langsam
    ADV laut leise vorsichtig früh spät wo wohin wann warum wie halb viel
    NOUN Hause/Haus Stunden/Stunde Tagen/Tag Wochen/Woche Monaten/Monat Jahren/Jahr Jahre/Jahr
""")
_HEADS = ("ago", "old", "alt", "much", "viel", "half")
_NOMINAL = ("NOUN", "PROPN", "NUM")
_RELATIONS = {
    "DET": "det",
    "ADJ": "amod",
    "ADV": "advmod",
    "NUM": "nummod",
    "NOUN": "compound",
    "PROPN": "compound",
}
# What corresponds to a word of another part of speech in the other language
_CLASSES = {
    "ago": "ADP",
    "yesterday": "ADV",
    "tomorrow": "ADV",
    "today": "DET",  # this morning: heute Morgen
    "heute": "DET",
    "much": "ADV",
    "half": "ADV",
    "o'clock": "NOUN",
    "PROPN": "NOUN",
}


def english_words(adverbial: Adverbial, at: Origin) -> list[Word]:
    """The words of an adverbial in English; the head of the phrase has no head."""
    words = [Word(form, *_tag(form, _ENGLISH)) for form in adverbial.english.split()]
    return _linked(words, at)


def german_words(adverbial: Adverbial, at: Origin) -> list[Word]:
    """The words of an adverbial in German; the head of the phrase has no head."""
    words: list[Word] = []
    for token in adverbial.german.split():
        parts = _CONTRACTED.get(token)
        made = [Word(form, *_tag(form, _GERMAN)) for form in parts or (token,)]
        words += joined(made, token) if parts else made
    return _linked(words, at)


def _tag(form: str, tags: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """The lemma and the part of speech of a word."""
    if form in tags:
        upos, lemma = tags[form]
        return lemma, upos
    if form.rstrip(".").isdigit():
        return form, "ADJ" if form.endswith(".") else "NUM"
    if form in _numerals():
        return form, "NUM"
    return _noun_lemmas().get(form, form), "NOUN"


@cache
def _numerals() -> frozenset[str]:
    cardinals = (english_forms.cardinal, german_forms.cardinal)
    numbers = (*range(2, 13), *range(20, 100))
    return frozenset(cardinal(number) for cardinal in cardinals for number in numbers)


@cache
def _noun_lemmas() -> dict[str, str]:
    return {
        form: noun.german["singular", "nominative"]
        for noun in NOUNS
        for form in noun.german.values()
    }


def _linked(words: list[Word], at: Origin) -> list[Word]:
    """Find the head of the phrase, attach the others, and name their origins."""
    head = _head(words)
    for index, word in enumerate(words):
        if word is not head:
            _attach(words, index, head)
    counts: dict[str, int] = {}
    for word in words:
        upos = "NUM" if word.form.endswith(".") else _CLASSES.get(word.upos, word.upos)
        kind = _CLASSES.get(word.form, upos)
        number = counts[kind] = counts.get(kind, -1) + 1
        word.origins = ((*at, kind, number),)
    return words


def _head(words: list[Word]) -> Word:
    for word in words:
        if word.form in _HEADS:
            return word
    nominal = [word for word in words if word.upos in _NOMINAL]
    if len(nominal) > 1 and nominal[-1].upos == "NUM" and nominal[-1].form.isdigit():
        return nominal[-2]  # im Jahr 1987
    return nominal[-1] if nominal else words[0]


def _attach(words: list[Word], index: int, head: Word) -> None:
    word, place = words[index], words.index(head)
    if word.upos == "ADP":
        if index and words[index - 1].upos == "ADP":
            word.attach(words[index - 1], "fixed")  # because of
        else:  # half past six: the hour is what "past" belongs to
            word.attach(head if index < place else words[index + 1], "case")
    elif index > place and word.upos == "NUM":
        word.attach(head, "nmod")
    elif word.upos == "NUM" and index + 1 < place:
        word.attach(words[index + 1], "nummod")  # three days ago
    elif word.upos == "NOUN" and head.upos in ("ADV", "ADJ"):
        word.attach(head, "obl")
    else:
        word.attach(head, _RELATIONS[word.upos])
