"""The attention probe of Coenen et al. 2019.

For an ordered pair of words, the vector of the weights with which the first attends to the second
in every head of every layer. A linear classifier says whether the pair is (dependent, head), on as
many pairs that are as that are not, and another one by which relation.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from seq2seq_cli.evaluation.probes.treebank import Tree
from seq2seq_cli.kernels.arrays import Floats

STEPS = 300
PENALTY = 1e-4  # of the squared weights
LEAST_EXAMPLES = 20  # of a relation in the training half, to be asked for
FARTHEST = 10  # words; the baseline knows no larger distances

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class AttentionScore:
    """Accuracies on held-out pairs."""

    related: float  # half of the pairs are
    relation: float  # of related pairs
    most_frequent: float  # accuracy of always naming the most frequent relation
    relations: int


@dataclass(frozen=True)
class Pairs:
    """Ordered pairs of words: (sentence, dependent, head), and their relation, "" for none."""

    positions: list[tuple[int, int, int]]
    relations: list[str]


def draw_pairs(trees: Sequence[Tree], seed: int = 0) -> Pairs:
    """All pairs of dependent and head, and from each sentence as many that are not related."""
    generator = np.random.default_rng(seed)
    positions: list[tuple[int, int, int]] = []
    relations: list[str] = []
    for number, tree in enumerate(trees):
        edges = [(node, head) for head, node in tree.edges]
        related = set(edges) | {(head, node) for node, head in edges}
        size = len(tree.nodes)
        others = [
            (i, j) for i in range(size) for j in range(size) if i != j and (i, j) not in related
        ]
        count = min(len(edges), len(others))
        kept = [edges[i] for i in generator.permutation(len(edges))[:count]]
        drawn = [others[i] for i in generator.permutation(len(others))[:count]]
        positions += [(number, *pair) for pair in kept + drawn]
        relations += [tree.relations[node] for node, _ in kept] + [""] * count
    return Pairs(positions, relations)


def attention_features(attention: Sequence[Floats], pairs: Pairs) -> Floats:
    """(pairs, layers x heads) from weights (layers, heads, T, T) of sentences."""
    vectors = [attention[number][:, :, i, j].ravel() for number, i, j in pairs.positions]
    result: Floats = np.stack(vectors).astype(np.float32)
    return result


def order_features(pairs: Pairs) -> Floats:
    """(pairs, 2 FARTHEST + 1): how far, and on which side, the second word is from the first."""
    offsets = np.array([j - i for _, i, j in pairs.positions]).clip(-FARTHEST, FARTHEST)
    result: Floats = np.eye(2 * FARTHEST + 1, dtype=np.float32)[offsets + FARTHEST]
    return result


def score(train: Floats, train_pairs: Pairs, test: Floats, test_pairs: Pairs) -> AttentionScore:
    """Train both classifiers on vectors (pairs, D) and measure them on held-out ones."""
    is_related = np.array([bool(name) for name in train_pairs.relations], np.int64)
    wanted = np.array([bool(name) for name in test_pairs.relations], np.int64)
    related = _accuracy(train, is_related, test, wanted)
    counts = Counter(name for name in train_pairs.relations if name)
    names = [name for name, count in counts.most_common() if count >= LEAST_EXAMPLES]
    numbers = {name: number for number, name in enumerate(names)}
    chosen = [[r in numbers for r in pairs.relations] for pairs in (train_pairs, test_pairs)]
    labels = [
        np.array([numbers[r] for r in pairs.relations if r in numbers], np.int64)
        for pairs in (train_pairs, test_pairs)
    ]
    if not names or not len(labels[1]):
        return AttentionScore(related, float("nan"), float("nan"), len(names))
    relation = _accuracy(train[chosen[0]], labels[0], test[chosen[1]], labels[1])
    return AttentionScore(related, relation, float(np.mean(labels[1] == 0)), len(names))


def _accuracy(train: Floats, labels: Labels, test: Floats, wanted: Labels) -> float:
    """The accuracy of a multinomial logistic regression with a small penalty."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
    x, unseen = (torch.from_numpy((each - mean) / spread) for each in (train, test))
    y = torch.from_numpy(labels)
    with torch.random.fork_rng(devices=[]):
        classifier = nn.Linear(x.shape[1], int(labels.max()) + 1 if len(labels) else 1)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.05)
    for _ in range(STEPS):
        loss = nn.functional.cross_entropy(classifier(x), y)
        loss = loss + PENALTY * classifier.weight.square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        guessed = classifier(unseen).argmax(dim=1).numpy()
    return float(np.mean(guessed == wanted))
