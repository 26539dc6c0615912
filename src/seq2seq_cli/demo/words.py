"""Words with their place in the dependency tree, as `english` and `german` put them in order.

A phrase or clause is a list of words in which all but one have a head: the one that has none yet is
its head. Whoever uses the phrase attaches that word. Relations and parts of speech are those of
Universal Dependencies 2 (de Marneffe et al. 2021).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Optional

Origin = tuple[Hashable, ...]  # a part of the abstract sentence


@dataclass(slots=True, eq=False)
class Word:
    """A syntactic word.

    `origins`: what of the abstract sentence it expresses; words of both languages with the same
    origin are translations of each other. `token`: None if the word stands for itself in the text,
    the text of a multiword token that begins here (im = in dem), or "" if it is inside one.
    """

    form: str
    lemma: str
    upos: str
    origins: tuple[Origin, ...] = ()
    token: str | None = None
    head: Optional["Word"] = None
    relation: str = ""

    def attach(self, head: "Word", relation: str) -> "Word":
        """Make it depend on a head, and return it."""
        self.head, self.relation = head, relation
        return self


@dataclass(frozen=True, slots=True)
class Rendering:
    """A sentence in one language: its words, with the final mark, and its text."""

    words: list[Word] = field(repr=False)
    text: str


def head_of(words: Sequence[Word]) -> Word:
    """The word of a phrase that has no head yet, and no relation that waits for one."""
    for word in words:  # a generator would take twice as long, and this is called most
        if word.head is None and not word.relation:
            return word
    raise ValueError("all words have a head")


def attach(words: list[Word], head: Word, relation: str) -> list[Word]:
    """Attach a phrase by its head, unless it is empty, and return it."""
    if words:
        head_of(words).attach(head, relation)
    return words


def fixed(text: str, upos: str, head: Word, relation: str, origin: Origin) -> list[Word]:
    """A function word of one or more parts: those after the first depend on it as `fixed`."""
    first, *others = (Word(part, part, upos, (origin,)) for part in text.split())
    first.attach(head, relation)
    return [first, *(other.attach(first, "fixed") for other in others)]


def comma(head: Word) -> Word:
    """A comma that separates the clause of this head."""
    return Word(",", ",", "PUNCT").attach(head, "punct")


def joined(words: list[Word], text: str) -> list[Word]:
    """Write words as one multiword token."""
    for word in words:
        word.token = ""
    words[0].token = text
    return words


def punctuated(words: list[Word], mark: str, origin: Origin) -> Rendering:
    """Drop the commas that another mark swallows, add the final mark, and capitalise."""
    root = head_of(words)
    kept: list[Word] = []
    waiting: Word | None = None
    for word in words:
        if word.form == ",":
            waiting = word if kept else None
            continue
        if waiting:
            kept.append(waiting)
            waiting = None
        kept.append(word)
    root.relation = "root"
    first = kept[0]
    first.form = _capitalised(first.form)
    first.token = first.token and _capitalised(first.token)
    kept.append(Word(mark, mark, "PUNCT", (origin,)).attach(root, "punct"))
    return Rendering(kept, text_of(kept))


def text_of(words: Sequence[Word]) -> str:
    """The text of words: spaces between tokens, none before punctuation."""
    text = ""
    for word in words:
        token = word.form if word.token is None else word.token
        if token:
            text += token if word.upos == "PUNCT" or not text else f" {token}"
    return text


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
