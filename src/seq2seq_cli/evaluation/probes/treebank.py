"""Dependency trees from CoNLL-U, and the distances in them.

A node of a tree is a token of the text that is not punctuation: a multiword token (im = in dem) is
one node, since a model reads it as one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seq2seq_cli.errors import InputError
from seq2seq_cli.text import Warn, read_lines

COLUMNS = 10
LONGEST_SENTENCE = 1000  # words; a matrix of distances is its square
NO_HEAD = -1


@dataclass(frozen=True)
class Tree:
    """A sentence and its dependency tree.

    `tokens` are all tokens of the text, in order; `nodes` says which of them are nodes of the tree,
    by index. The other lists have an entry for each node; heads are indices of nodes, NO_HEAD the
    root's.
    """

    text: str
    tokens: list[str]
    nodes: list[int]
    heads: list[int]
    relations: list[str]
    upos: list[str]
    glosses: list[str]  # Gloss of MISC, "" where there is none

    @property
    def forms(self) -> list[str]:
        """The text of each node."""
        return [self.tokens[index] for index in self.nodes]

    @property
    def edges(self) -> list[tuple[int, int]]:
        """(head, dependent) of each node but the root."""
        return [(head, node) for node, head in enumerate(self.heads) if head != NO_HEAD]

    def distances(self) -> npt.NDArray[np.float32]:
        """(T, T): the number of edges between each two nodes."""
        size = len(self.nodes)
        near: list[list[int]] = [[] for _ in range(size)]
        for head, node in self.edges:
            near[head].append(node)
            near[node].append(head)
        result = np.zeros((size, size), np.float32)
        for start in range(size):
            reached, level, steps = {start}, [start], 0
            while level:
                result[start, level] = steps
                level = [n for node in level for n in near[node] if n not in reached]
                reached.update(level)
                steps += 1
        return result


def read_trees(path: Path, warn: Warn) -> list[Tree]:
    """Read the trees of a CoNLL-U file.

    Raises InputError, with the number of the line, for what is no CoNLL-U, and for a sentence that
    has no single root, a cycle, or more words than LONGEST_SENTENCE.
    """
    trees = [_tree(path, number, block) for number, block in _blocks(read_lines(path, warn))]
    if not trees:
        raise InputError(f"{path} has no sentence; give a CoNLL-U file")
    return trees


def _blocks(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of each sentence with the number of its first line."""
    block: list[str] = []
    first = 1
    for number, line in enumerate(lines, start=1):
        if line.strip():
            first = first if block else number
            block.append(line)
        elif block:
            yield first, block
            block = []
    if block:
        yield first, block


@dataclass(frozen=True)
class _Row:
    """A line of a sentence: a word, or the token that several words make."""

    first: int
    last: int
    columns: list[str]

    @property
    def misc(self) -> dict[str, str]:
        pairs = (each.partition("=") for each in self.columns[9].split("|"))
        return {name: value for name, _, value in pairs}


def _tree(path: Path, first: int, block: list[str]) -> Tree:
    words: list[_Row] = []
    ranges: list[_Row] = []
    for number, line in enumerate(block, start=first):
        if line.startswith("#"):
            continue
        row = _row(line, f"{path}, line {number}")
        if row is not None:
            (ranges if "-" in row.columns[0] else words).append(row)
    where = f"{path}, sentence in line {first}"
    if not words or [row.first for row in words] != list(range(1, len(words) + 1)):
        raise InputError(f"{where}: its words must be numbered 1, 2, 3 and so on")
    if len(words) > LONGEST_SENTENCE:
        raise InputError(
            f"{where} has {len(words):,} words; at most {LONGEST_SENTENCE:,} are allowed: "
            "leave it out"
        )
    heads = [_head(row, len(words), where) for row in words]
    _check_is_tree(heads, where)
    return _merged(words, ranges, heads)


def _row(line: str, where: str) -> _Row | None:
    """A line in its columns; None for an empty node of an enhanced graph."""
    columns = line.split("\t")
    if len(columns) != COLUMNS:
        raise InputError(
            f"{where}: {len(columns)} columns, CoNLL-U has {COLUMNS}, which tabs divide"
        )
    number = columns[0]
    if "." in number:
        return None
    start, _, end = number.partition("-")
    if not (
        start.isascii() and start.isdigit() and (not end or end.isdigit()) and len(number) < 20
    ):
        raise InputError(f'{where}: "{number[:20]}" is no number of a word; such as 3 or 3-4')
    return _Row(int(start), int(end or start), columns)


def _head(row: _Row, words: int, where: str) -> int:
    """The index of a word's head, NO_HEAD for the root."""
    text = row.columns[6]
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) <= words):
        raise InputError(
            f'{where}: the head of word {row.first} is "{text[:20]}"; allowed are 0 to {words}'
        )
    return int(text) - 1


def _check_is_tree(heads: list[int], where: str) -> None:
    roots = heads.count(NO_HEAD)
    if roots != 1:
        raise InputError(f"{where} has {roots} roots; a tree has one word with head 0")
    safe: set[int] = {NO_HEAD}
    for start in range(len(heads)):
        path: list[int] = []
        node = start
        while node not in safe:
            path.append(node)
            if len(path) > len(heads):
                raise InputError(f"{where}: the heads of its words run in a circle")
            node = heads[node]
        safe.update(path)


def _depths(heads: list[int]) -> list[int]:
    """How many edges each word is away from the root."""
    depths: dict[int, int] = {NO_HEAD: -1}
    for start in range(len(heads)):
        path: list[int] = []
        node = start
        while node not in depths:
            path.append(node)
            node = heads[node]
        for below in reversed(path):
            depths[below] = depths[heads[below]] + 1
    return [depths[index] for index in range(len(heads))]


def _merged(words: list[_Row], ranges: list[_Row], heads: list[int]) -> Tree:
    """The tree over tokens: words of a multiword token become one node, punctuation none."""
    token_of: dict[int, int] = {}  # index of a word -> index of its token
    tokens: list[str] = []
    starts = {row.first: row for row in ranges}
    for index, row in enumerate(words):
        if index in token_of:
            continue
        token = starts.get(row.first, row)
        for inside in range(index, min(token.last, len(words))):
            token_of[inside] = len(tokens)
        tokens.append(token.columns[1])
    depths = _depths(heads)
    leading: dict[int, int] = {}  # token -> the word of it that is nearest to the root
    for index in sorted(range(len(words)), key=lambda index: depths[index]):
        leading.setdefault(token_of[index], index)
    heads_of_tokens = {
        token: NO_HEAD if heads[word] == NO_HEAD else token_of[heads[word]]
        for token, word in leading.items()
    }
    kept = [t for t in range(len(tokens)) if words[leading[t]].columns[3] != "PUNCT"]
    kept = kept or list(range(len(tokens)))
    numbers = {token: node for node, token in enumerate(kept)}

    def node_of_head(token: int) -> int:
        head = heads_of_tokens[token]
        while head != NO_HEAD and head not in numbers:
            head = heads_of_tokens[head]
        return NO_HEAD if head == NO_HEAD else numbers[head]

    rows = [words[leading[token]] for token in kept]
    text = "".join(_with_space(words, starts, token_of)).strip()
    return Tree(
        text,
        tokens,
        kept,
        [node_of_head(token) for token in kept],
        [row.columns[7] for row in rows],
        [row.columns[3] for row in rows],
        [row.misc.get("Gloss", "") for row in rows],
    )


def _with_space(
    words: list[_Row], starts: dict[int, _Row], token_of: dict[int, int]
) -> Iterator[str]:
    """Yield each token with the space after it."""
    for index, row in enumerate(words):
        if index == 0 or token_of[index] != token_of[index - 1]:
            token = starts.get(row.first, row)
            yield token.columns[1] + ("" if token.misc.get("SpaceAfter") == "No" else " ")
