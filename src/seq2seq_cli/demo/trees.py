"""Dependency trees of the demo corpus in CoNLL-U, and its word alignments.

The trees follow Universal Dependencies 2. Features are not written. MISC has `SpaceAfter=No`, the
words of the other language that say the same (`Align=2,3`), and their lemmas (`Gloss=spielen`),
which tell the senses of a word apart. Words that only one language has, such as "do", the "to" of
an infinitive and most commas, are not aligned.
"""

from collections.abc import Iterable, Iterator, Sequence

from . import english, german
from .structure import Sentence
from .words import Origin, Rendering, Word

_DEPENDENT_VERBS = ("compound:prt", "expl:pv", "case", "fixed")


def analysed(sentence: Sentence) -> tuple[Rendering, Rendering]:
    """The sentence in English and in German."""
    return english.analyse(sentence), german.analyse(sentence)


def partners(words: Sequence[Word], others: Sequence[Word]) -> list[list[int]]:
    """For each word the indices of the other language's words that express the same."""
    by_origin: dict[Origin, list[int]] = {}
    for index, other in enumerate(others):
        for origin in other.origins:
            by_origin.setdefault(origin, []).append(index)
    return [
        sorted({index for origin in word.origins for index in by_origin.get(origin, [])})
        for word in words
    ]


def conllu(identifier: str, rendering: Rendering, other: Rendering) -> str:
    """A sentence as a block of CoNLL-U, which ends with an empty line."""
    words = rendering.words
    numbers = {word: number for number, word in enumerate(words, start=1)}
    aligned = partners(words, other.words)
    lines = [f"# sent_id = {identifier}", f"# text = {rendering.text}"]
    for index, (word, found) in enumerate(zip(words, aligned, strict=True)):
        last = _last_of_token(words, index)
        space = last + 1 < len(words) and words[last + 1].upos == "PUNCT"
        glued = ["SpaceAfter=No"] if space and not _is_inside(word) else []
        if word.token:
            parts = [f"{index + 1}-{last + 1}", word.token, *["_"] * 7, "|".join(glued) or "_"]
            lines.append("\t".join(parts))
            glued = []
        head = 0 if word.head is None else numbers[word.head]
        misc = [*_alignment(word, found, other.words), *glued]
        columns = (str(index + 1), word.form, word.lemma, word.upos, "_", "_", str(head))
        lines.append("\t".join((*columns, word.relation, "_", "|".join(misc) or "_")))
    return "\n".join(lines) + "\n\n"


def _is_inside(word: Word) -> bool:
    """Whether a word is in a multiword token, after its first word."""
    return word.token == ""


def _last_of_token(words: Sequence[Word], index: int) -> int:
    while index + 1 < len(words) and _is_inside(words[index + 1]):
        index += 1
    return index


def _alignment(word: Word, found: Sequence[int], others: Sequence[Word]) -> list[str]:
    if not found:
        return []
    align = f"Align={','.join(str(index + 1) for index in found)}"
    return [align] if word.upos == "PUNCT" else [align, f"Gloss={_gloss(word, found, others)}"]


def _gloss(word: Word, found: Sequence[int], others: Sequence[Word]) -> str:
    """The lemma of what a word is translated as; of several words the one of the same kind."""
    aligned = [others[index] for index in found]
    kind = "VERB" if word.relation == "compound:prt" else word.upos
    alike = [other for other in aligned if other.upos == kind]
    leading = [other for other in alike or aligned if other.relation not in _DEPENDENT_VERBS]
    return "+".join(dict.fromkeys(other.lemma for other in leading or alike or aligned))


def pharaoh(source: Rendering, target: Rendering) -> str:
    """The word alignment in Pharaoh format: links between the words that spaces divide."""
    places = _places(source.words), _places(target.words)
    links = {
        (places[0][index], places[1][partner])
        for index, found in enumerate(partners(source.words, target.words))
        for partner in found
        if source.words[index].upos != "PUNCT"
    }
    return " ".join(f"{source_word}-{target_word}" for source_word, target_word in sorted(links))


def _places(words: Iterable[Word]) -> list[int]:
    """For each word the number, from 0, of the word between spaces that it belongs to."""
    places: list[int] = []
    for word in words:
        starts = not _is_inside(word) and word.upos != "PUNCT"
        places.append((places[-1] if places else -1) + starts)
    return places


def trees(name: str, sentences: Iterable[Sentence]) -> Iterator[tuple[str, str, str]]:
    """Yield the English and the German block of each sentence, and its alignment."""
    for number, sentence in enumerate(sentences, start=1):
        source, target = analysed(sentence)
        identifier = f"{name}-{number}"
        yield (
            conllu(identifier, source, target),
            conllu(identifier, target, source),
            pharaoh(source, target),
        )
