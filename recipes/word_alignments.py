"""Aligns the words of sentence pairs, for data.alignments: writes links in Pharaoh format.

IBM model 1 with a preference for the diagonal (Dyer et al. 2013), in both directions. Links
of both directions are kept, and others that touch them (grow-diag of Koehn et al. 2003).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seq2seq_cli.text import read_lines

Ints = npt.NDArray[np.int64]
Links = set[tuple[int, int]]  # of a pair: indices of a source word and a target word

ITERATIONS = 5
TENSION = 4.0  # how much the diagonal is preferred
NULL_SHARE = 0.08  # of the target words that translate no source word
NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


def numbered(sentences: Sequence[Sequence[str]]) -> list[Ints]:
    """The words of sentences as numbers from 1; 0 is the null word."""
    numbers: dict[str, int] = {}
    return [
        np.array([numbers.setdefault(word.lower(), len(numbers) + 1) for word in words], np.int64)
        for words in sentences
    ]


def best_sources(sources: Sequence[Ints], targets: Sequence[Ints]) -> list[Ints]:
    """For each target word, the index of the likeliest source word, or -1 for the null word."""
    heights = np.array([len(source) + 1 for source in sources])
    lengths = np.array([len(target) for target in targets])
    source_ids, target_ids, priors = [], [], []
    for source, target in zip(sources, targets, strict=True):
        rows = np.arange(1, len(source) + 1)[:, None] / max(len(source), 1)
        columns = np.arange(1, len(target) + 1) / max(len(target), 1)
        prior = np.exp(-TENSION * np.abs(rows - columns))
        prior *= (1 - NULL_SHARE) / prior.sum(axis=0) if len(source) else 0
        priors.append(np.vstack((np.full((1, len(target)), NULL_SHARE), prior)).T.ravel())
        source_ids.append(np.tile(np.append(0, source), len(target)))
        target_ids.append(np.repeat(target, len(source) + 1))
    prior = np.concatenate(priors)
    keys = np.concatenate(source_ids) << 32 | np.concatenate(target_ids)
    unique, index = np.unique(keys, return_inverse=True)
    of_source = (unique >> 32).astype(np.int64)
    sizes = np.repeat(heights, lengths)  # one group of possible sources for each target word
    starts = np.cumsum(sizes) - sizes
    probability = np.ones(len(unique))
    for _ in range(ITERATIONS):
        shares = probability[index] * prior
        shares /= np.repeat(np.add.reduceat(shares, starts), sizes)
        expected = np.bincount(index, shares, len(unique))
        probability = expected / np.bincount(of_source, expected)[of_source]
    scores = probability[index] * prior
    best, row = [], 0
    for height, length in zip(heights, lengths, strict=True):
        count = height * length
        best.append(scores[row : row + count].reshape(length, height).argmax(axis=1) - 1)
        row += count
    return best


def symmetrized(forward: Links, backward: Links) -> Links:
    """The links of both directions, and those of one that neighbour them and add a word."""
    links, union = forward & backward, forward | backward
    while True:
        sources, targets = {i for i, _ in links}, {j for _, j in links}
        added = {
            (i, j)
            for i, j in union - links
            if (i not in sources or j not in targets)
            and any((i + down, j + right) in links for down, right in NEIGHBOURS)
        }
        if not added:
            return links
        links |= added


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    sides = [
        numbered([line.split() for line in read_lines(path, print)])
        for path in (arguments.source, arguments.target)
    ]
    forward, backward = best_sources(*sides), best_sources(*sides[::-1])
    with arguments.output.open("w", encoding="utf-8") as file:
        for to_source, to_target in zip(forward, backward, strict=True):
            links = symmetrized(
                {(int(i), j) for j, i in enumerate(to_source) if i >= 0},
                {(i, int(j)) for i, j in enumerate(to_target) if j >= 0},
            )
            file.write(" ".join(f"{i}-{j}" for i, j in sorted(links)) + "\n")


if __name__ == "__main__":
    main()
