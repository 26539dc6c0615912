"""All probes of a run, layer by layer, beside what an untrained model and the order of words reach.

Probes are trained on three quarters of the trees; every figure is from the sentences held out.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.hidden_states import StateReader, hidden_states
from seq2seq_cli.evaluation.probes import attention, senses, structural
from seq2seq_cli.evaluation.probes.attention import AttentionScore
from seq2seq_cli.evaluation.probes.senses import SenseScore
from seq2seq_cli.evaluation.probes.structural import TreeScore
from seq2seq_cli.evaluation.probes.treebank import Tree
from seq2seq_cli.evaluation.probes.word_states import WordStates, word_states
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.messages import counted_subject
from seq2seq_cli.models import build
from seq2seq_cli.runs.run_folder import RunFolder

HELD_OUT = 4  # every fourth sentence
LEAST_SENTENCES = 40
EASY_LENGTHS = 6, 12  # words of a sentence to draw
LEAST_WORDS = 2  # of a sentence: one word has no tree to find


@dataclass(frozen=True)
class Sample:
    """Trees with the states of their words: for training the probes, and held out."""

    train: list[WordStates]
    test: list[WordStates]

    @property
    def layers(self) -> list[str]:
        """The names of the layers, from below."""
        return list(self.train[0].layers)

    def states(self, layer: str) -> tuple[list[Floats], list[Floats]]:
        """The states of a layer in both halves."""
        train, test = ([each.layers[layer] for each in half] for half in (self.train, self.test))
        return train, test


@dataclass(frozen=True)
class LayerScores:
    """The scores of the probes of one layer."""

    layer: str
    tree: TreeScore
    random_projection: TreeScore
    untrained_tree: TreeScore
    senses: SenseScore
    untrained_senses: SenseScore


@dataclass(frozen=True)
class ProbeReport:
    """The scores of a run, and of the baselines that have no layers."""

    run: str
    sentences: int
    held_out: int
    left_out: int  # trees whose tokens are not in the pieces
    rank: int
    layers: list[LayerScores]
    linear_order: TreeScore
    ambiguous: list[str]
    most_frequent_sense: float
    attention: AttentionScore | None  # None: the layers have no self-attention
    untrained_attention: AttentionScore | None
    linear_order_attention: AttentionScore
    projections: dict[str, Floats] = field(repr=False, default_factory=dict)  # by layer

    def best(self) -> LayerScores:
        """The layer in which trees are found best."""
        return max(self.layers, key=lambda scores: scores.tree.uuas)

    def as_json(self) -> str:
        """All figures, as an object."""
        record = asdict(replace(self, projections={}))
        del record["projections"]
        return json.dumps(_without_nan(record), indent=1, ensure_ascii=False)

    def as_text(self) -> str:
        """Tables to read."""
        lines = [
            f"{self.run}: probes of rank {self.rank}, trained on {self.sentences:,} sentences, "
            f"measured on {self.held_out:,} others",
            "",
            f"{'':<14}{'tree: UUAS / Spearman':^51}{'senses':^20}",
            f"{'layer':<14}{'trained':>15}{'untrained':>17}{'random map':>17}"
            f"{'trained':>11}{'untrained':>11}",
        ]
        for each in self.layers:
            lines.append(
                f"{each.layer:<14}{_pair(each.tree):>15}{_pair(each.untrained_tree):>17}"
                f"{_pair(each.random_projection):>17}{each.senses.accuracy:>11.2f}"
                f"{each.untrained_senses.accuracy:>11.2f}"
            )
        lines.append(
            f"{'no model':<14}{_pair(self.linear_order):>15}  (order of words)"
            f"{'':<17}{self.most_frequent_sense:>11.2f}  (most frequent sense)"
        )
        lines += ["", *self._attention_lines(), "", self._senses_line()]
        return "\n".join(lines)

    def _attention_lines(self) -> list[str]:
        if self.attention is None:
            return ["attention: these layers have no self-attention"]
        rows = [f"{'attention':<14}{'related?':>10}{'which relation?':>18}"]
        named = {
            "trained": self.attention,
            "untrained": self.untrained_attention,
            "order of words": self.linear_order_attention,
        }
        rows += [
            f"{name:<14}{each.related:>10.2f}{each.relation:>18.2f}"
            for name, each in named.items()
            if each
        ]
        guessed = f"{'always one':<14}{0.5:>10.2f}{self.attention.most_frequent:>18.2f}"
        return [*rows, f"{guessed}  (of {self.attention.relations} relations)"]

    def _senses_line(self) -> str:
        if not self.ambiguous:
            return "senses: no word has two frequent senses (Gloss in the trees' MISC)"
        return f"words with several senses: {', '.join(self.ambiguous)}"


def _without_nan(value: Any) -> Any:
    """The same with None for NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _pair(score: TreeScore) -> str:
    return f"{score.uuas:.2f} / {score.spearman:.2f}"


def sample(
    reader: StateReader, trees: Sequence[Tree], sources: Sequence[str] | None = None
) -> Sample:
    """Read what the encoder has of trees, or the decoder if the source of each tree is given.

    Raises InputError if too few trees can be used.
    """
    usable = [index for index, tree in enumerate(trees) if len(tree.nodes) >= LEAST_WORDS]
    chosen = [trees[index] for index in usable]
    names = [f"sentence {index + 1}" for index in usable]
    if sources is None:
        states = hidden_states(reader, [(tree.text, "") for tree in chosen], names)
        read = list(word_states(chosen, states))
    else:
        pairs = [(sources[index], trees[index].text) for index in usable]
        read = list(word_states(chosen, hidden_states(reader, pairs, names), "target"))
    if len(read) < LEAST_SENTENCES:
        raise InputError(
            f"{len(read)} of {len(trees):,} trees can be used, at least {LEAST_SENTENCES} are "
            "needed: sentences of two words or more whose tokens the tokenizer leaves as they are"
        )
    test = [each for index, each in enumerate(read) if index % HELD_OUT == HELD_OUT - 1]
    train = [each for index, each in enumerate(read) if index % HELD_OUT != HELD_OUT - 1]
    return Sample(train, test)


def chosen_sentence(read: Sample, number: int | None = None) -> WordStates:
    """A held-out sentence by number, from 1; without one, the first of a length that is easy to
    see.

    Raises InputError for a number that is too large.
    """
    if number is not None:
        if number > len(read.test):
            raise InputError(
                f"--sentence {number}: {counted_subject(len(read.test), 'sentence', 'are')} held "
                "out; give a smaller number"
            )
        return read.test[number - 1]
    low, high = EASY_LENGTHS
    easy = (each for each in read.test if low <= len(each.tree.nodes) <= high)
    return next(easy, read.test[0])


def untrained(reader: StateReader, run: Path, seed: int = 0) -> StateReader:
    """The same model with fresh weights."""
    folder = RunFolder(run)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(folder.load_config().model, folder.config.vocabulary())
    return StateReader(reader.translator, model.eval())


def compare(trained: Sample, fresh: Sample, run: str, trees: int, rank: int) -> ProbeReport:
    """Train and measure all probes on the states of a model and of an untrained one."""
    train_trees, test_trees = ([e.tree for e in half] for half in (trained.train, trained.test))
    wanted = [tree.distances() for tree in train_trees], [tree.distances() for tree in test_trees]
    words = senses.ambiguous_words(train_trees, test_trees)
    layers: list[LayerScores] = []
    projections: dict[str, Floats] = {}
    for layer in trained.layers:
        states, fresh_states = trained.states(layer), fresh.states(layer)
        width = states[0][0].shape[1]
        used = min(rank, width)
        projections[layer] = structural.train_probe(states[0], wanted[0], used)
        fresh_probe = structural.train_probe(fresh_states[0], wanted[0], used)
        layers.append(
            LayerScores(
                layer=layer,
                tree=_tree_score(states[1], projections[layer], wanted[1]),
                random_projection=_tree_score(
                    states[1], structural.random_projection(width, used), wanted[1]
                ),
                untrained_tree=_tree_score(fresh_states[1], fresh_probe, wanted[1]),
                senses=senses.score(words, *states),
                untrained_senses=senses.score(words, *fresh_states),
            )
        )
    pairs = attention.draw_pairs(train_trees), attention.draw_pairs(test_trees)
    orders = [attention.order_features(each) for each in pairs]
    return ProbeReport(
        run=run,
        sentences=len(trained.train),
        held_out=len(trained.test),
        left_out=trees - len(trained.train) - len(trained.test),
        rank=rank,
        layers=layers,
        linear_order=structural.score(
            [structural.linear_distances(len(each)) for each in wanted[1]], wanted[1]
        ),
        ambiguous=[word.form for word in words],
        most_frequent_sense=senses.most_frequent(words),
        attention=_attention_score(trained, pairs),
        untrained_attention=_attention_score(fresh, pairs),
        linear_order_attention=attention.score(orders[0], pairs[0], orders[1], pairs[1]),
        projections=projections,
    )


def _tree_score(
    states: Sequence[Floats], projection: Floats, wanted: Sequence[Floats]
) -> TreeScore:
    predicted = [structural.squared_distances(each @ projection) for each in states]
    return structural.score(predicted, wanted)


def _attention_score(
    read: Sample, pairs: tuple[attention.Pairs, attention.Pairs]
) -> AttentionScore | None:
    features: list[Floats] = []
    for half, drawn in zip((read.train, read.test), pairs, strict=True):
        weights = [each.attention for each in half if each.attention is not None]
        if len(weights) < len(half):
            return None
        features.append(attention.attention_features(weights, drawn))
    return attention.score(features[0], pairs[0], features[1], pairs[1])
