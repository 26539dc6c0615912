"""The structural probe of Hewitt and Manning 2019.

A matrix B of a given rank is trained so that the squared distance between B h of two words is their
distance in the dependency tree. UUAS is the share of the tree's edges that the minimum spanning
tree of the predicted distances has; Spearman's correlation is taken between the predicted and the
true distances from each word, averaged over words of sentences of the same length, then over
lengths.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq_cli.kernels.arrays import Floats

EPOCHS = 30
LEAST_STEPS = 800  # with few sentences there are more epochs
BATCH = 20  # sentences
LEARNING_RATE = 0.01
LENGTHS = 5, 50  # words of the sentences that count for Spearman's correlation


@dataclass(frozen=True)
class TreeScore:
    """How well distances agree with those of trees."""

    uuas: float
    spearman: float


def train_probe(
    states: Sequence[Floats], distances: Sequence[Floats], rank: int, seed: int = 0
) -> Floats:
    """Train B (width, rank) on states (T, width) and distances (T, T) of sentences.

    The loss of a sentence is the mean absolute difference between squared and true distances.
    """
    generator = torch.Generator().manual_seed(seed)
    scale = np.sqrt(np.mean([np.square(each).mean() for each in states])) or 1.0
    width = states[0].shape[1]
    projection = torch.randn(width, rank, generator=generator) / np.sqrt(width * rank)
    projection.requires_grad_()
    optimizer = torch.optim.Adam([projection], lr=LEARNING_RATE)
    batches = list(_batches(states, distances, float(scale)))
    epochs = max(EPOCHS, -(-LEAST_STEPS // len(batches)))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))
    for _ in range(epochs):
        for index in torch.randperm(len(batches), generator=generator).tolist():
            vectors, wanted, weight = batches[index]
            loss = ((_squared_distances(vectors @ projection) - wanted).abs() * weight).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    result: Floats = projection.detach().numpy() / np.float32(scale)
    return result


def random_projection(width: int, rank: int, seed: int = 0) -> Floats:
    """A matrix that was not trained."""
    drawn: Floats = np.random.default_rng(seed).normal(size=(width, rank)).astype(np.float32)
    return drawn / np.float32(np.sqrt(rank))


def _batches(
    states: Sequence[Floats], distances: Sequence[Floats], scale: float
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield sentences of about the same length: states, distances and the weight of each pair."""
    order = sorted(range(len(states)), key=lambda index: len(states[index]))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        length = max(len(states[index]) for index in chosen)
        vectors = torch.zeros(len(chosen), length, states[0].shape[1])
        wanted, weight = torch.zeros(2, len(chosen), length, length)
        for row, index in enumerate(chosen):
            size = len(states[index])
            vectors[row, :size] = torch.from_numpy(states[index]) / scale
            wanted[row, :size, :size] = torch.from_numpy(distances[index])
            weight[row, :size, :size] = 1 / (size**2 * len(chosen))
        yield vectors, wanted, weight


def _squared_distances(vectors: Tensor) -> Tensor:
    squares = vectors.square().sum(dim=2)
    products = vectors @ vectors.transpose(1, 2)
    return (squares[:, :, None] + squares[:, None] - 2 * products).clamp_min(0)


def squared_distances(vectors: Floats) -> Floats:
    """(T, T): the squared distance of each two of the vectors (T, D)."""
    result: Floats = np.square(vectors[:, None] - vectors[None]).sum(axis=2)
    return result


def linear_distances(words: int) -> Floats:
    """(T, T): how far apart words are in the sentence, the baseline without a model."""
    positions = np.arange(words, dtype=np.float32)
    result: Floats = np.abs(positions[:, None] - positions)
    return result


def spanning_tree(distances: Floats) -> list[tuple[int, int]]:
    """The edges of the minimum spanning tree of (T, T), each with the smaller index first."""
    size = len(distances)
    nearest = np.zeros(size, np.int64)
    cost = distances[0].astype(np.float64)
    cost[0] = np.inf
    outside = np.ones(size, bool)
    outside[0] = False
    edges: list[tuple[int, int]] = []
    for _ in range(size - 1):
        node = int(np.argmin(np.where(outside, cost, np.inf)))
        other = int(nearest[node])
        edges.append((min(node, other), max(node, other)))
        outside[node] = False
        closer = outside & (distances[node] < cost)
        cost[closer], nearest[closer] = distances[node][closer], node
    return edges


def score(predicted: Sequence[Floats], distances: Sequence[Floats]) -> TreeScore:
    """Score predicted distances of sentences against those in their trees, both (T, T)."""
    found = edges = 0
    by_length: dict[int, list[float]] = {}
    for guess, true in zip(predicted, distances, strict=True):
        gold = {(int(a), int(b)) for a, b in np.argwhere(true == 1) if a < b}
        found += len(gold & set(spanning_tree(guess)))
        edges += len(gold)
        if LENGTHS[0] <= len(true) <= LENGTHS[1]:
            by_length.setdefault(len(true), []).extend(spearman_by_row(guess, true))
    means = [float(np.mean(values)) for values in by_length.values()]
    return TreeScore(
        found / edges if edges else float("nan"), float(np.mean(means)) if means else float("nan")
    )


def _ranks(rows: Floats) -> Floats:
    """The rank of each number in its row; equal ones share their mean rank."""
    below = (rows[:, :, None] > rows[:, None, :]).sum(axis=2)
    same = (rows[:, :, None] == rows[:, None, :]).sum(axis=2)
    result: Floats = (below + (same - 1) / 2).astype(np.float32)
    return result


def spearman_by_row(guess: Floats, true: Floats) -> list[float]:
    """The correlation of the distances from each word to the others."""
    others = ~np.eye(len(true), dtype=bool)
    guess, true = (each[others].reshape(len(each), -1) for each in (guess, true))
    first, second = (
        ranks - ranks.mean(axis=1, keepdims=True) for ranks in map(_ranks, (guess, true))
    )
    norms = np.sqrt(np.square(first).sum(axis=1) * np.square(second).sum(axis=1))
    products = (first * second).sum(axis=1)
    correlations: list[float] = np.where(norms > 0, products / np.maximum(norms, 1e-12), 0).tolist()
    return correlations
