"""Relations of dependency trees that are the same in both languages."""

from collections.abc import Sequence

from .function_words import STOP_DOING, THERE, TO, WEATHER_IT
from .structure import Clause
from .verbs import BE, of_kind
from .words import Word, head_of


def tail_relation(clause: Clause) -> str:
    """The relation of the clause that ends another one: object, adverbial or logical subject."""
    conjunction = clause.tail.conjunction if clause.tail else None
    if clause.verb in of_kind("clausal"):
        return "ccomp"
    if conjunction in (TO, STOP_DOING):
        return "csubj" if clause.verb is BE else "xcomp"
    return "advcl"


def _is_expletive(clause: Clause) -> bool:
    """Whether the subject stands for nothing: there is, it rains, it is easy to."""
    if clause.subject is THERE or clause.verb in of_kind("impersonal"):
        return True
    extraposed = clause.tail is not None and clause.tail.conjunction is TO
    return clause.subject is WEATHER_IT and clause.verb is BE and extraposed


def subject_relation(clause: Clause) -> str:
    """The relation of the subject."""
    if _is_expletive(clause):
        return "expl"
    return "nsubj:pass" if clause.passive else "nsubj"


def oblique(words: Sequence[Word]) -> str:
    """The relation of an adverbial, which may be empty."""
    return "advmod" if words and head_of(words).upos == "ADV" else "obl"
