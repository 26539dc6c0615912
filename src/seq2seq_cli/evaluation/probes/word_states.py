"""States and attention of the words of a tree, from those of the pieces that a model reads.

A word's state is the mean of its pieces' states. Attention to a word is the sum over its pieces,
attention of a word the mean over its pieces (Clark et al. 2019, What Does BERT Look At?).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seq2seq_cli.evaluation.hidden_states import SentenceStates
from seq2seq_cli.evaluation.probes.treebank import Tree
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.symbols import WORD_START

Side = Literal["source", "target"]


@dataclass(frozen=True)
class WordStates:
    """States of a model for the nodes of a tree."""

    tree: Tree
    layers: dict[str, Floats]  # name of the layer -> (nodes, width)
    attention: Floats | None  # (layers, heads, nodes, nodes)


def word_states(
    trees: Iterable[Tree], states: Iterable[SentenceStates], side: Side = "source"
) -> Iterator[WordStates]:
    """Yield the states of each tree's words, where its tokens can be found in the pieces of a side.

    A tree is left out if the tokenizer changes its text, so that pieces are not parts of its
    tokens.
    """
    for tree, sentence in zip(trees, states, strict=True):
        is_source = side == "source"
        pieces = sentence.source_pieces if is_source else sentence.target_pieces
        states_of_pieces = sentence.source_states if is_source else sentence.target_states
        attention = sentence.source_attention if is_source else sentence.target_attention
        shares = piece_shares(tree, pieces)
        if shares is None:
            continue
        layers = {
            name: (shares @ each).astype(np.float32) for name, each in states_of_pieces.items()
        }
        if attention is not None:
            attention = np.einsum("is,lhst,jt->lhij", shares, attention, (shares > 0))
        yield WordStates(tree, layers, attention)


def piece_shares(tree: Tree, pieces: list[str]) -> Floats | None:
    """(nodes, pieces): the weight of each piece in the mean of a word; None if they do not match.

    Pieces are matched by their characters without spaces; a piece of two tokens belongs to both.
    """
    ends = np.cumsum([len(token.replace(" ", "")) for token in tree.tokens])
    begins = np.concatenate(([0], ends[:-1]))
    text = "".join(token.replace(" ", "") for token in tree.tokens)
    inside = np.zeros((len(tree.tokens), len(pieces)), np.float32)
    at = 0
    for index, piece in enumerate(pieces):
        form = piece.replace(WORD_START, "")
        if not text.startswith(form, at):
            continue  # EOS, or a tag
        if form:
            inside[(begins < at + len(form)) & (ends > at), index] = 1
        at += len(form)
    nodes = inside[tree.nodes]
    if at != len(text) or not nodes.any(axis=1).all():
        return None
    shares: Floats = nodes / nodes.sum(axis=1, keepdims=True)
    return shares
