"""Dependency trees from CoNLL-U files, and where their words are in a line."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from seq2seq_cli.errors import InputError
from seq2seq_cli.text import Warn, counted, ignore_warning, read_lines
from seq2seq_cli.tokenization.language_tags import tag_of

COLUMNS = 10  # of a word: id, form, lemma, two parts of speech, features, head, relation, …
CONTRACTION = re.compile(r"(\d+)-(\d+)")
ID, FORM, HEAD, RELATION = 0, 1, 6, 7


@dataclass(frozen=True)
class Tree:
    """The words of a sentence and their heads."""

    words: list[str]
    heads: list[int]  # the number of the head of each word, from 1; 0 is the root, as in CoNLL-U
    relations: list[str]
    line: int = 0  # where it begins in its file
    # What stands for several words in the text, as im for "in dem": their first -> their last, text
    contractions: dict[int, tuple[int, str]] = field(default_factory=dict)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the words are in the text of the sentence, in characters; spaces may be anywhere.

        Words that are contracted are where the contraction is. The text may begin with the tag of a
        language.
        Raises InputError if the text has other words.
        """
        position = 0 if text.lstrip().startswith(self.words[0]) else tag_of(text)[1]
        spans = []
        number = 1
        while number <= len(self.words):
            last, word = self.contractions.get(number, (number, self.words[number - 1]))
            # A form may have spaces of its own, as in "1 000".
            while text[position : position + 1].isspace():
                position += 1
            if not text.startswith(word, position):
                raise InputError(
                    f'has the word "{word}" where the line has "{text[position : position + 20]}"'
                )
            spans += [(position, position + len(word))] * (last + 1 - number)
            position += len(word)
            number = last + 1
        if rest := text[position:].strip():
            raise InputError(f'ends before "{rest[:20]}", which the line has')
        return spans


def read_trees(path: Path, warn: Warn = ignore_warning) -> Iterator[Tree]:
    """Yield the trees of a file; words that are left out in the text are not in them.

    Raises InputError, with the line, for what is not a tree in CoNLL-U.
    """
    words: list[str] = []
    heads: list[int] = []
    relations: list[str] = []
    contractions: dict[int, tuple[int, str]] = {}
    start = 0
    for number, line in enumerate(chain(read_lines(path, warn), [""]), start=1):
        if line.startswith("#"):
            continue
        if line.strip():
            start = start or number
            cells = line.split("\t")
            if len(cells) != COLUMNS:
                raise InputError(
                    f"{path}, line {number}: {len(cells)} columns divided by tabs; a word in "
                    f"CoNLL-U has {COLUMNS}"
                )
            if not cells[ID].isdecimal():
                if found := CONTRACTION.fullmatch(cells[ID]):
                    contractions[int(found[1])] = (int(found[2]), cells[FORM])
                    continue
                if "." in cells[ID]:
                    continue
                raise InputError(f"{path}, line {number}: the number of a word is {cells[ID]!r}")
            if not cells[HEAD].isdecimal() or int(cells[ID]) != len(words) + 1:
                raise InputError(
                    f"{path}, line {number}: words are numbered from 1, and each has the number of "
                    "its head, or 0"
                )
            words.append(cells[FORM])
            heads.append(int(cells[HEAD]))
            relations.append(cells[RELATION])
        elif words:
            _check_tree(heads, f"{path}, line {start}")
            if any(not first <= last <= len(words) for first, (last, _) in contractions.items()):
                raise InputError(
                    f"{path}, line {start}: a range of words is longer than the sentence"
                )
            yield Tree(words, heads, relations, start, contractions)
            words, heads, relations, start, contractions = [], [], [], 0, {}


def trees_of_lines(path: Path | None, lines: Sequence[str], name: str) -> list[Tree | None]:
    """The tree of each line, None for a blank one; an empty list without a file.

    `name` is what messages call the text of the lines. A line may begin with the tag of a language.
    Raises InputError unless there is a tree with the words of each line that is not blank.
    """
    if path is None:
        return []
    trees = list(read_trees(path))
    filled = sum(bool(line.strip()) for line in lines)
    if len(trees) != filled:
        raise InputError(
            f"{path} has {counted(len(trees), 'tree')} but {name} has "
            f"{counted(filled, 'line')} with text; the tree k must belong to the line k of these"
        )
    remaining = iter(trees)
    found = [next(remaining) if line.strip() else None for line in lines]
    for number, (tree, line) in enumerate(zip(found, lines, strict=True), start=1):
        if tree is not None:
            try:
                tree.spans(line)
            except InputError as error:
                raise InputError(
                    f"{path}, line {tree.line}: the tree of line {number} of {name} {error}"
                ) from None
    return found


def _check_tree(heads: list[int], place: str) -> None:
    """Raise InputError unless every word is below the one root."""
    if heads.count(0) != 1 or max(heads) > len(heads):
        raise InputError(f"{place}: this sentence is not a tree with one root, whose head is 0")
    for word in range(1, len(heads) + 1):
        steps = 0
        while word and steps <= len(heads):
            word, steps = heads[word - 1], steps + 1
        if word:
            raise InputError(
                f"{place}: this sentence is not a tree: its heads go round in a circle"
            )
