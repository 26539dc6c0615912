"""Words as points: hidden states of each layer in a plane, and each word's nearest neighbours.

The plane of a layer is that of the two principal components of its word vectors. It is scaled to
words of an average distance of one from their centre, and turned or mirrored so that words move as
little as possible from the layer before (orthogonal Procrustes, Schönemann 1966): what still moves
is what the layer did.

Dimensions: N words, D width, K neighbours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.conllu import ParsedSentence
from seq2seq_cli.evaluation.hidden_states import SentenceStates
from seq2seq_cli.evaluation.writing import Writing
from seq2seq_cli.symbols import WORD_START

Indices = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.floating[Any]]

NEIGHBOURS = 8
MOST_WORDS = 2000  # of a side: a page draws all of them, with the neighbours of each
ROWS_COMPARED = 256  # at a time

Groups = list[list[int]]  # for each word the pieces whose mean it is


@dataclass(frozen=True)
class LayerPlane:
    """The words of a side as one layer has them."""

    name: str
    points: Numbers  # (N, 2)
    share: float  # of the variance that the plane shows
    neighbours: Indices  # (N, K), the nearest first
    cosines: Numbers  # (N, K), in all dimensions


@dataclass(frozen=True)
class SideGeometry:
    """The words of all sentences of a side, layer by layer."""

    name: str
    words: list[str]
    sentences: list[tuple[int, int]]  # the first word of each and the one after its last
    layers: list[LayerPlane]
    trees: list[ParsedSentence | None] = field(default_factory=list)  # of each sentence


@dataclass
class _Words:
    """The words of a side while its sentences are read."""

    words: list[str] = field(default_factory=list)
    sentences: list[tuple[int, int]] = field(default_factory=list)
    vectors: dict[str, list[Numbers]] = field(default_factory=dict)
    trees: list[ParsedSentence | None] = field(default_factory=list)

    def add(
        self,
        words: Sequence[str],
        groups: Groups,
        states: dict[str, Numbers],
        tree: ParsedSentence | None,
    ) -> None:
        """Add a sentence. Raises InputError if there are too many words to draw."""
        self.sentences.append((len(self.words), len(self.words) + len(words)))
        self.words += words
        self.trees.append(tree)
        if len(self.words) > MOST_WORDS:
            raise InputError(
                f"the first {len(self.sentences):,} lines have more than {MOST_WORDS:,} words, "
                "which is more than a page can show; give fewer"
            )
        for name, each in states.items():
            rows = [each[group].mean(axis=0) for group in groups]
            self.vectors.setdefault(name, []).append(
                np.array(rows, dtype=np.float32).reshape(len(groups), each.shape[1])
            )


def geometry(
    states: Iterable[SentenceStates],
    trees: Sequence[ParsedSentence | None] = (),
    target_trees: Sequence[ParsedSentence | None] = (),
) -> list[SideGeometry]:
    """Where the words of sources and of targets are in each layer.

    A word is what spaces divide, a piece in text without spaces, or a word of the tree of its
    sentence, of which there is one for each sentence or none for a blank one. Raises InputError for
    too many words, if there are none, and for trees that do not fit.
    """
    sides = {"source": _Words(), "target": _Words()}
    given = {"source": trees, "target": target_trees}
    for number, sentence in enumerate(states):
        for side, collected in sides.items():
            tree = given[side][number] if given[side] else None
            words, groups = _words_of(sentence, side, tree)
            collected.add(words, groups, getattr(sentence, f"{side}_states"), tree)
    if not sides["source"].words:
        raise InputError("there are no words to show: all lines are blank")
    return [
        SideGeometry(side, each.words, each.sentences, _planes(each), each.trees)
        for side, each in sides.items()
        if each.words
    ]


def _words_of(
    sentence: SentenceStates, side: str, tree: ParsedSentence | None
) -> tuple[list[str], Groups]:
    """The words of a sentence, and the pieces that each is made of."""
    pieces: list[str] = getattr(sentence, f"{side}_pieces")
    words: list[str] = getattr(sentence, f"{side}_words")
    indices: list[int] = getattr(sentence, f"{side}_word_indices")
    if tree is not None:
        spans: list[tuple[int, int]] = getattr(sentence, f"{side}_spans")
        text: str = getattr(sentence, f"{side}_text")
        return tree.forms, [overlapping(spans, *span) for span in tree.spans(text)]
    if not Writing.of([" ".join(words)]).is_spaced:
        rows = [row for row, index in enumerate(indices) if index >= 0]
        rows = [row for row in rows if pieces[row].strip(WORD_START)]
        return [pieces[row].strip(WORD_START) for row in rows], [[row] for row in rows]
    groups: Groups = [[] for _ in words]
    for row, index in enumerate(indices):
        if index >= 0:
            groups[index].append(row)
    kept = [(word, group) for word, group in zip(words, groups, strict=True) if group]
    return [word for word, _ in kept], [group for _, group in kept]


def overlapping(spans: Sequence[tuple[int, int]], start: int, end: int) -> list[int]:
    """The pieces that have characters of a word, or else the one that is nearest to it."""
    found = [row for row, (begin, stop) in enumerate(spans) if begin < end and start < stop]
    if found:
        return found
    real = [row for row, (begin, stop) in enumerate(spans) if stop > begin]
    return [min(real, key=lambda row: abs(spans[row][0] - start))] if real else [0]


def _planes(words: _Words) -> list[LayerPlane]:
    planes: list[LayerPlane] = []
    for name, parts in words.vectors.items():
        vectors = np.concatenate(parts).astype(np.float64)
        points, share = principal_plane(vectors)
        if planes:
            points = points @ rotation_onto(points, planes[-1].points)
        planes.append(LayerPlane(name, points, share, *nearest(vectors, NEIGHBOURS)))
    return planes


def principal_plane(vectors: Numbers) -> tuple[Numbers, float]:
    """Points (N, 2) of the two principal components, and the share of the variance that they have.

    Scaled to a mean squared distance of one from the centre.
    """
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    count = min(2, len(sizes))
    points = np.zeros((len(vectors), 2))
    points[:, :count] = left[:, :count] * sizes[:count]
    total = float((sizes**2).sum())
    shown = float((sizes[:count] ** 2).sum())
    spread = np.sqrt(shown / len(vectors))
    if spread <= 1e-9 * max(1.0, float(np.abs(vectors).max())):  # one word, or all of them alike
        return np.zeros_like(points), 1.0
    return points / spread, shown / total


def rotation_onto(points: Numbers, fixed: Numbers) -> Numbers:
    """The rotation or reflection (2, 2) after which points are nearest to fixed ones."""
    left, _, right = np.linalg.svd(points.T @ fixed)
    rotation: Numbers = left @ right
    return rotation


def nearest(vectors: Numbers, count: int) -> tuple[Indices, Numbers]:
    """The words of the greatest cosine (N, K) with each word, without itself, and their cosines."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths == 0, 1, lengths)
    count = min(count, len(vectors) - 1)
    indices = np.zeros((len(vectors), count), dtype=np.int64)
    cosines = np.zeros((len(vectors), count))
    for start in range(0, len(vectors), ROWS_COMPARED):
        rows = np.arange(start, min(start + ROWS_COMPARED, len(vectors)))
        products = unit[rows] @ unit.T
        products[np.arange(len(rows)), rows] = -np.inf
        best = np.argsort(-products, axis=1, kind="stable")[:, :count]
        indices[rows] = best
        cosines[rows] = np.take_along_axis(products, best, axis=1)
    return indices, cosines
