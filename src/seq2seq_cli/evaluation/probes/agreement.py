"""How far two runs agree on which words of a sentence are near each other, without any tree.

Where no treebank is, no probe can be trained. But what two models have learned apart from each
other is in the text and not in their random weights. So the distances between the states of words
are compared (representational similarity, Kriegeskorte et al. 2008): as edges that the minimum
spanning trees of a sentence share, and as Spearman's correlation of the distances from each word.
Each dimension is scaled to the same variance over the text first, so that no single one decides.
Two untrained models of the same kinds show how much of that agreement is words and positions alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.geometry import overlapping
from seq2seq_cli.evaluation.hidden_states import SentenceStates, StateReader, hidden_states
from seq2seq_cli.evaluation.probes.report import untrained
from seq2seq_cli.evaluation.probes.structural import (
    spanning_tree,
    spearman_by_row,
    squared_distances,
)
from seq2seq_cli.evaluation.words import words
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.messages import counted

LEAST_WORDS = 3  # of two words, every tree is the same
LEAST_LINES = 20

Edges = set[tuple[int, int]]


@dataclass(frozen=True)
class Similarity:
    """How alike the distances in two layers are."""

    edges: float  # the share of spanning trees' edges that both have
    spearman: float


@dataclass(frozen=True)
class LayerAgreement:
    """A layer of the first run, and the layer of the second that shares most edges with it."""

    layer: str
    other: str
    trained: Similarity
    untrained: Similarity  # of the same two layers with fresh weights
    neighbours: float  # the share of this layer's edges that join words side by side


@dataclass(frozen=True)
class AgreementReport:
    """The agreement of two runs, layer by layer of the first."""

    run: str
    other_run: str
    lines: int
    left_out: int  # lines of fewer than LEAST_WORDS words
    layers: list[LayerAgreement]

    def as_json(self) -> str:
        """All figures, as an object."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    def as_text(self) -> str:
        """A table to read."""
        wide = max(len("layer"), *(len(each.layer) for each in self.layers))
        nearest = max(len("nearest"), *(len(each.other) for each in self.layers))
        return "\n".join(
            [
                f"{self.run} and {self.other_run}: {self.lines:,} lines",
                "",
                f"{'':<{wide}}  {'':<{nearest}}{'edges shared / Spearman':^31}{'edges of':>13}",
                f"{'layer':<{wide}}  {'nearest':<{nearest}}{'trained':>14}{'untrained':>17}"
                f"{'neighbours':>13}",
                *(
                    f"{each.layer:<{wide}}  {each.other:<{nearest}}{_pair(each.trained):>14}"
                    f"{_pair(each.untrained):>17}{each.neighbours:>13.2f}"
                    for each in self.layers
                ),
            ]
        )


def _pair(similarity: Similarity) -> str:
    return f"{similarity.edges:.2f} / {similarity.spearman:.2f}"


@dataclass(frozen=True)
class Distances:
    """Distances between the words of each line in a layer, and the trees that span them."""

    squared: list[Floats]  # (T, T) of each line
    trees: list[Edges]

    @classmethod
    def of(cls, states: Sequence[Floats]) -> "Distances":
        """Measure states (T, D) of lines, each dimension scaled to a variance of one."""
        spread = np.concatenate(states).std(axis=0)
        scale = np.where(spread > 0, spread, 1).astype(np.float32)
        squared = [squared_distances(each / scale) for each in states]
        return cls(squared, [set(spanning_tree(each)) for each in squared])

    def shared(self, other: "Distances") -> float:
        """The share of edges that both have."""
        both = sum(len(one & two) for one, two in zip(self.trees, other.trees, strict=True))
        return both / sum(map(len, self.trees))

    def similarity(self, other: "Distances") -> Similarity:
        """The edges shared, and the mean over words of the correlation of their distances."""
        rows = [
            correlation
            for one, two in zip(self.squared, other.squared, strict=True)
            for correlation in spearman_by_row(one, two)
        ]
        return Similarity(self.shared(other), float(np.mean(rows)))

    @property
    def neighbours(self) -> float:
        """The share of edges between words side by side."""
        lengths = [second - first for tree in self.trees for first, second in tree]
        return float(np.mean(np.array(lengths) == 1))


def agreement(runs: tuple[Path, Path], lines: Sequence[str]) -> AgreementReport:
    """Compare the encoders of two run folders on lines of source text, layer by layer.

    Raises InputError if fewer than 20 lines have three words or more, and as `hidden_states` does.
    """
    used = {
        f"line {number}": line
        for number, line in enumerate(lines, start=1)
        if len(_spans(line)) >= LEAST_WORDS
    }
    if len(used) < LEAST_LINES:
        raise InputError(
            f"{LEAST_LINES} lines of {LEAST_WORDS} words or more are needed; "
            f"{counted(len(lines), 'line')} given, {len(used):,} of them so long"
        )
    readers = [StateReader.load(run) for run in runs]
    first, second = (_layers(reader, used) for reader in readers)
    fresh = [
        _layers(untrained(reader, run, seed), used)
        for seed, (reader, run) in enumerate(zip(readers, runs, strict=True))
    ]
    layers: list[LayerAgreement] = []
    for name, distances in first.items():
        other = max(second, key=lambda each: distances.shared(second[each]))
        layers.append(
            LayerAgreement(
                name,
                other,
                distances.similarity(second[other]),
                fresh[0][name].similarity(fresh[1][other]),
                distances.neighbours,
            )
        )
    left_out = len(lines) - len(used)
    return AgreementReport(str(runs[0]), str(runs[1]), len(used), left_out, layers)


def _spans(line: str) -> list[tuple[int, int]]:
    """Where the words of a line are, in characters, without punctuation."""
    return [
        (word.start, word.start + len(word.text))
        for word in words(line)
        if any(character.isalnum() for character in word.text)
    ]


def _layers(reader: StateReader, lines: Mapping[str, str]) -> dict[str, Distances]:
    """The distances of all lines, given by their names, in each layer of a model's encoder."""
    states: dict[str, list[Floats]] = {}
    for sentence in hidden_states(reader, [(line, "") for line in lines.values()], lines):
        for name, each in _word_states(sentence).items():
            states.setdefault(name, []).append(each)
    return {name: Distances.of(each) for name, each in states.items()}


def _word_states(sentence: SentenceStates) -> dict[str, Floats]:
    """(T, D) in each layer: the mean state of each word's pieces."""
    spans = _spans(sentence.source_text)
    groups = [overlapping(sentence.source_spans, *span) for span in spans]
    return {
        name: np.stack([each[group].mean(axis=0) for group in groups]).astype(np.float32)
        for name, each in sentence.source_states.items()
    }
