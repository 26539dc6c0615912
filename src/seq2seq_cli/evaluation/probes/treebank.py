"""Dependency trees from CoNLL-U, and the distances in them.

A node of a tree is a token of the text that is not punctuation, unless it is the root. A multiword
token (im = in dem) is one node, since a model reads it as one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.conllu import NO_HEAD, ParsedSentence, Row, read_sentences
from seq2seq_cli.messages import Warn


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

    Raises InputError as `read_sentences` does, and for a file without sentences.
    """
    trees = [_merged(sentence) for sentence in read_sentences(path, warn)]
    if not trees:
        raise InputError(f"{path} has no sentence; give a CoNLL-U file")
    return trees


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


def _merged(sentence: ParsedSentence) -> Tree:
    """The tree over tokens: words of a multiword token become one node, punctuation none."""
    words, starts, heads = sentence.words, sentence.tokens, sentence.heads
    token_of: dict[int, int] = {}  # index of a word -> index of its token
    tokens: list[str] = []
    for index, row in enumerate(words):
        if index in token_of:
            continue
        token = starts.get(row.first, row)
        for inside in range(index, min(token.last, len(words))):
            token_of[inside] = len(tokens)
        tokens.append(token.form)
    depths = _depths(heads)
    leading: dict[int, int] = {}  # token -> the word of it that is nearest to the root
    for index in sorted(range(len(words)), key=lambda index: depths[index]):
        leading.setdefault(token_of[index], index)
    heads_of_tokens = {
        token: NO_HEAD if heads[word] == NO_HEAD else token_of[heads[word]]
        for token, word in leading.items()
    }
    kept = [
        token
        for token, word in sorted(leading.items())
        if words[word].part_of_speech != "PUNCT" or heads[word] == NO_HEAD
    ]
    numbers = {token: node for node, token in enumerate(kept)}

    def node_of_head(token: int) -> int:
        head = heads_of_tokens[token]
        while head != NO_HEAD and head not in numbers:
            head = heads_of_tokens[head]
        return NO_HEAD if head == NO_HEAD else numbers[head]

    rows = [words[leading[token]] for token in kept]
    text = "".join(_with_space(words, starts, token_of)).strip()
    return Tree(
        text=text,
        tokens=tokens,
        nodes=kept,
        heads=[node_of_head(token) for token in kept],
        relations=[row.relation for row in rows],
        upos=[row.part_of_speech for row in rows],
        glosses=[row.misc.get("Gloss", "") for row in rows],
    )


def _with_space(
    words: list[Row], starts: Mapping[int, Row], token_of: Mapping[int, int]
) -> Iterator[str]:
    """Yield each token with the space after it."""
    for index, row in enumerate(words):
        if index == 0 or token_of[index] != token_of[index - 1]:
            token = starts.get(row.first, row)
            yield token.form + ("" if token.misc.get("SpaceAfter") == "No" else " ")
