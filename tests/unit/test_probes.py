"""Probes find what is there, and nothing where nothing is."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from seq2seq_cli.cli.app import app
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.hidden_states import SentenceStates
from seq2seq_cli.evaluation.plots import figures
from seq2seq_cli.evaluation.plots.geometry_figures import layers_figure, senses_figure, tree_figure
from seq2seq_cli.evaluation.probes import agreement, attention, report, senses, structural
from seq2seq_cli.evaluation.probes.agreement import Distances
from seq2seq_cli.evaluation.probes.report import Sample
from seq2seq_cli.evaluation.probes.treebank import NO_HEAD, Tree, read_trees
from seq2seq_cli.evaluation.probes.word_states import WordStates, piece_shares, word_states
from seq2seq_cli.kernels.arrays import Floats
from seq2seq_cli.messages import ignore_warning

WIDTH = 24


def random_tree(generator: np.random.Generator, size: int) -> Tree:
    order = generator.permutation(size)
    heads = [NO_HEAD] * size
    for place in range(1, size):
        heads[order[place]] = int(order[generator.integers(place)])
    forms = [f"w{number}" for number in range(size)]
    relations = ["root" if head == NO_HEAD else f"r{node % 2}" for node, head in enumerate(heads)]
    return Tree(
        " ".join(forms), forms, list(range(size)), heads, relations, [""] * size, [""] * size
    )


def embedded(tree: Tree, generator: np.random.Generator) -> Floats:
    """Vectors whose squared distances are the tree's, beside noise in other dimensions."""
    size = len(tree.nodes)
    depths = tree.distances()[tree.heads.index(NO_HEAD)]
    vectors = np.zeros((size, WIDTH), np.float32)
    for axis, node in enumerate(np.argsort(depths, kind="stable")):
        if tree.heads[node] != NO_HEAD:
            vectors[node] = vectors[tree.heads[node]]
            vectors[node, axis] += 1
    vectors[:, 12:] = generator.normal(size=(size, WIDTH - 12)) * 2
    return vectors


@pytest.fixture(scope="module")
def trees() -> list[Tree]:
    generator = np.random.default_rng(1)
    return [random_tree(generator, int(generator.integers(5, 12))) for _ in range(240)]


def test_a_space_whose_distances_are_the_tree_s_is_found(trees: list[Tree]) -> None:
    generator = np.random.default_rng(2)
    states = [embedded(tree, generator) for tree in trees]
    wanted = [tree.distances() for tree in trees]
    probe = structural.train_probe(states[:180], wanted[:180], rank=16)
    found = [structural.squared_distances(each @ probe) for each in states[180:]]
    score = structural.score(found, wanted[180:])
    assert score.uuas == 1
    assert score.spearman > 0.9  # equal distances are not quite equal when predicted


def test_nothing_is_found_in_noise(trees: list[Tree]) -> None:
    generator = np.random.default_rng(3)
    states = [generator.normal(size=(len(t.nodes), WIDTH)).astype(np.float32) for t in trees]
    wanted = [tree.distances() for tree in trees]
    probe = structural.train_probe(states[:180], wanted[:180], rank=16)
    found = [structural.squared_distances(each @ probe) for each in states[180:]]
    score = structural.score(found, wanted[180:])
    chance = np.mean([2 / len(tree.nodes) for tree in trees])  # n - 1 of n (n - 1) / 2 pairs
    assert abs(score.uuas - chance) < 0.08
    assert abs(score.spearman) < 0.1


def test_distances_that_are_the_tree_s_score_one_and_a_chain_is_its_order() -> None:
    chain = Tree("a b c d", list("abcd"), [0, 1, 2, 3], [NO_HEAD, 0, 1, 2], [""] * 4, [], [])
    longer = random_tree(np.random.default_rng(0), 9)
    for tree in (chain, longer):
        score = structural.score([tree.distances()], [tree.distances()])
        assert score.uuas == 1
    assert score.spearman == pytest.approx(1)
    assert np.array_equal(structural.linear_distances(4), chain.distances())


def test_attention_to_the_head_is_a_relation(trees: list[Tree]) -> None:
    generator = np.random.default_rng(4)
    weights = []
    for tree in trees:
        size = len(tree.nodes)
        each = generator.random((2, 2, size, size)).astype(np.float32) * 0.3
        for head, node in tree.edges:
            each[1, node % 2, node, head] += 0.7  # a head for each relation
        weights.append(each)
    halves = slice(0, 180), slice(180, 240)
    pairs = [attention.draw_pairs(trees[half]) for half in halves]
    features = [
        attention.attention_features(weights[h], p) for h, p in zip(halves, pairs, strict=True)
    ]
    score = attention.score(features[0], pairs[0], features[1], pairs[1])
    assert score.related > 0.97
    assert score.relation > 0.97
    assert score.relations == 2
    orders = [attention.order_features(each) for each in pairs]
    without = attention.score(orders[0], pairs[0], orders[1], pairs[1])
    assert without.related < 0.65
    for each in pairs:
        assert each.relations.count("") * 2 == len(each.relations)


def test_senses_are_told_apart_where_states_differ(trees: list[Tree]) -> None:
    generator = np.random.default_rng(5)
    glossed, apart, alike = [], [], []
    for tree in trees:
        gloss = "Bank" if generator.random() < 0.7 else "Ufer"
        glossed.append(replace(tree, glosses=[gloss, *tree.glosses[1:]]))
        states = generator.normal(size=(len(tree.nodes), WIDTH)).astype(np.float32)
        alike.append(states.copy())
        states[0, 3] += 8 if gloss == "Bank" else -8
        apart.append(states)
    words = senses.ambiguous_words(glossed[:180], glossed[180:])
    assert [word.form for word in words] == ["w0"]
    assert senses.score(words, apart[:180], apart[180:]).accuracy == 1
    assert 0.25 < senses.score(words, alike[:180], alike[180:]).accuracy < 0.75
    assert 0.5 < senses.most_frequent(words) < 0.9


def test_a_report_compares_with_an_untrained_model(trees: list[Tree]) -> None:
    generator = np.random.default_rng(6)
    read = [WordStates(tree, {"layer-1": embedded(tree, generator)}, None) for tree in trees]
    noise = [
        WordStates(t, {"layer-1": generator.normal(size=(len(t.nodes), WIDTH)).astype("f")}, None)
        for t in trees
    ]
    shown = report.compare(
        Sample(read[:180], read[180:]), Sample(noise[:180], noise[180:]), "run", 241, 16
    )
    [layer] = shown.layers
    assert layer.tree.uuas > 0.99 > 0.5 > layer.untrained_tree.uuas
    assert shown.left_out == 1
    assert "these layers have no self-attention" in shown.as_text()
    assert '"uuas"' in shown.as_json()
    told = json.loads(replace(shown, run="runs/NaN").as_json(), parse_constant=pytest.fail)
    assert (told["run"], told["most_frequent_sense"]) == ("runs/NaN", None)


def test_runs_agree_by_what_their_states_share_not_by_scale_or_direction() -> None:
    generator = np.random.default_rng(7)
    states = [generator.normal(size=(9, WIDTH)).astype(np.float32) for _ in range(60)]
    turn = np.linalg.qr(generator.normal(size=(WIDTH, WIDTH)))[0]
    scale = np.geomspace(0.01, 100, WIDTH)
    whitened = np.concatenate(states).std(axis=0)
    first = Distances.of(states)
    same = first.similarity(Distances.of([each * scale for each in states]))
    assert same.edges == pytest.approx(1, abs=0.01)
    assert same.spearman == pytest.approx(1, abs=0.001)
    turned = first.similarity(Distances.of([each / whitened @ turn for each in states]))
    assert turned.spearman > 0.98  # the variances of turned dimensions are not quite one
    others = [generator.normal(size=(9, WIDTH)).astype(np.float32) for _ in range(60)]
    chance = first.similarity(Distances.of(others))
    assert abs(chance.edges - 2 / 9) < 0.06
    assert abs(chance.spearman) < 0.06
    chain = [np.arange(9, dtype=np.float32)[:, None] * np.ones(2, np.float32)] * 2
    assert Distances.of(chain).neighbours == 1
    assert first.neighbours < 0.4
    constant = [np.pad(each, ((0, 0), (0, 1)), constant_values=3) for each in states]
    assert first.similarity(Distances.of(constant)) == first.similarity(first)


def test_two_runs_are_compared_layer_by_layer_each_beside_its_own_fresh_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(8)
    names = ["rnn embedding", "rnn layer", "conv embedding", "conv layer", "conv output"]
    fresh = [f"fresh {number} {name}" for name, number in zip(names, "00111", strict=True)]
    states = {
        name: [generator.normal(size=(9, WIDTH)).astype(np.float32) for _ in range(30)]
        for name in (*names, *fresh)
    }
    states["conv output"], states["conv embedding"] = states["rnn layer"], states["rnn embedding"]
    layers = {name: Distances.of(each) for name, each in states.items()}

    def layers_of(reader: str, lines: dict[str, str]) -> dict[str, Distances]:
        assert lines == {f"line {number}": "one two three" for number in range(1, 41, 2)}
        return {
            name.removeprefix(reader): each
            for name, each in layers.items()
            if name.startswith(reader)
        }

    monkeypatch.setattr(agreement.StateReader, "load", lambda run: run.name)
    monkeypatch.setattr(agreement, "_layers", layers_of)
    monkeypatch.setattr(
        agreement, "untrained", lambda reader, run, seed: f"fresh {seed} {run.name}"
    )
    lines = ["one two three", "one , two"] * 20
    found = agreement.agreement((Path("rnn"), Path("conv")), lines)
    assert (found.run, found.other_run, found.lines, found.left_out) == ("rnn", "conv", 20, 20)
    assert [(each.layer, each.other) for each in found.layers] == [
        (" embedding", " embedding"),
        (" layer", " output"),
    ]
    for each in found.layers:
        first, second = (
            layers[f"fresh {number} {run}{layer}"]
            for number, run, layer in ((0, "rnn", each.layer), (1, "conv", each.other))
        )
        assert each.trained.edges == 1
        assert each.untrained == first.similarity(second)
        assert each.neighbours == layers[f"rnn{each.layer}"].neighbours


def test_the_command_reads_the_text_as_asked_and_the_runs_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("eins zwölf\n\ndrei\n", encoding="cp1252")
    asked: list[object] = []

    def agreement_of(runs: tuple[Path, Path], lines: list[str]) -> agreement.AgreementReport:
        asked.append((runs, lines))
        alike = agreement.Similarity(0.5, 0.25)
        layer = agreement.LayerAgreement("layer-1", "output", alike, alike, 0.75)
        return agreement.AgreementReport("one", "two", 2, 1, [layer])

    monkeypatch.setattr(agreement, "agreement", agreement_of)
    options = ["--encoding", "cp1252", "--threads", "1", "-i", str(tmp_path / "a")]
    told = CliRunner().invoke(app, ["inspect", "agreement", "one", "two", *options])
    assert told.exit_code == 0, told.exception
    assert asked == [((Path("one"), Path("two")), ["eins zwölf", "", "drei"])]
    assert told.stdout.startswith("one and two: 2 lines\n")
    row = " ".join(told.stdout.splitlines()[-1].split())
    assert row == "layer-1 output 0.50 / 0.25 0.50 / 0.25 0.75"
    assert "1 line of fewer than 3 words left out" in told.stderr


def test_words_without_a_tree_have_the_mean_of_their_pieces_and_punctuation_is_none() -> None:
    states = np.array([[8, 0], [2, 0], [4, 0], [0, 6], [7, 7], [9, 9]], np.float32)
    sentence = SentenceStates(
        ["▁It's", "▁Ha", "us", "▁1.5", ".", "</s>"],
        [],
        {"layer-1": states},
        {},
        None,
        None,
        None,
        source_text="It's Haus 1.5.",
        source_spans=[(0, 4), (5, 7), (7, 9), (10, 13), (13, 14), (0, 0)],
    )
    found = agreement._word_states(sentence)
    assert found["layer-1"].tolist() == [[8, 0], [3, 0], [0, 6]]


# Trees and pieces

SENTENCE = """# sent_id = 1
1-2\tIm\t_\t_\t_\t_\t_\t_\t_\t_
1\tIn\tin\tADP\t_\t_\t3\tcase\t_\t_
2\tdem\tder\tDET\t_\t_\t3\tdet\t_\t_
3\tHaus\tHaus\tNOUN\t_\t_\t4\tobl\t_\tGloss=house
4\tschläft\tschlafen\tVERB\t_\t_\t0\troot\t_\t_
5\tAnna\tAnna\tPROPN\t_\t_\t4\tnsubj\t_\tSpaceAfter=No
6\t.\t.\tPUNCT\t_\t_\t4\tpunct\t_\t_

"""


def test_a_multiword_token_is_a_node_and_punctuation_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    path.write_text(SENTENCE)
    [tree] = read_trees(path, ignore_warning)
    assert tree.text == "Im Haus schläft Anna."
    assert tree.forms == ["Im", "Haus", "schläft", "Anna"]
    assert tree.heads == [1, 2, NO_HEAD, 2]
    assert tree.glosses == ["", "house", "", ""]
    assert tree.distances()[0].tolist() == [0, 1, 2, 3]
    shares = piece_shares(tree, ["▁Im", "▁Ha", "us", "▁schläft", "▁An", "na.", "</s>"])
    assert shares is not None
    assert shares[1].tolist() == [0, 0.5, 0.5, 0, 0, 0, 0]
    assert shares[3].tolist() == [0, 0, 0, 0, 0.5, 0.5, 0]
    assert piece_shares(tree, ["▁im", "▁Haus"]) is None
    path.write_text(SENTENCE.replace("VERB", "PUNCT"))
    [tree] = read_trees(path, ignore_warning)
    assert tree.heads == [1, 2, NO_HEAD, 2]  # the root stays, whatever it is


def test_words_of_either_side_have_mean_states_and_attention_summed_over_what_is_seen() -> None:
    tree = Tree("ab c", ["ab", "c"], [0, 1], [NO_HEAD, 0], ["root", "r"], ["", ""], ["", ""])
    pieces, other = ["▁a", "b", "▁c", "</s>"], ["<s>", "▁x"]
    states = np.array([[2, 0], [4, 0], [0, 6], [9, 9]], np.float32)
    weights = np.array([[[[1, 2, 3, 4], [5, 6, 7, 8], [10, 20, 30, 40], [0, 0, 0, 1]]]], np.float32)
    wrong = np.ones((2, 2), np.float32)
    sentence = SentenceStates(pieces, other, {"a": states}, {"b": wrong}, weights, None, None)
    back = SentenceStates(other, pieces, {"b": wrong}, {"a": states}, None, weights, None)
    for [found] in (word_states([tree], [sentence]), word_states([tree], [back], "target")):
        assert {name: each.tolist() for name, each in found.layers.items()} == {
            "a": [[3, 0], [0, 6]]
        }
        assert found.attention is not None
        assert found.attention.tolist() == [[[[7, 5], [30, 30]]]]


def test_each_tree_is_read_with_its_own_source(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = [random_tree(np.random.default_rng(number), 1 + number % 3) for number in range(60)]
    sources = [f"source {number}" for number in range(60)]
    asked: list[tuple[str, str]] = []

    def states_of(
        _: object, pairs: list[tuple[str, str]], names: list[str]
    ) -> list[SentenceStates]:
        asked.extend(pairs)
        assert names == [f"sentence {number + 1}" for number in range(60) if number % 3]
        return [
            SentenceStates([], [f"▁{form}" for form in text.split()], {}, {}, None, None, None)
            for _, text in pairs
        ]

    monkeypatch.setattr(report, "hidden_states", states_of)
    read = report.sample(None, trees, sources)  # type: ignore[arg-type]
    used = [number for number in range(60) if number % 3]
    assert asked == [(sources[number], trees[number].text) for number in used]
    assert [each.tree for each in read.test] == [trees[number] for number in used[3::4]]
    assert [each.tree for each in read.train] == [
        trees[number] for place, number in enumerate(used) if place % 4 != 3
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\tAnna\tAnna", " Anna Anna", "line 7: 8 columns; CoNLL-U has 10"),
        ("5\tAnna", "x\tAnna", 'line 7: "x" is not the number of a word'),
        ("5\tAnna", "7\tAnna", "must be numbered 1, 2, 3"),
        ("0\troot", "9\troot", 'the head of word 4 is "9"; allowed are 0 to 6'),
        ("0\troot", "5\troot", "has 0 roots"),
        ("4\tnsubj", "5\tnsubj", "run in a circle"),
        (SENTENCE, "\n", "has no sentence"),
    ],
)
def test_what_is_no_tree_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "a.conllu"
    path.write_text(SENTENCE.replace(old, new))
    with pytest.raises(InputError) as raised:
        read_trees(path, ignore_warning)
    assert message in str(raised.value)


# Pictures


@pytest.mark.parametrize("size", [1, 2, 12, 13, 60])
def test_the_words_of_a_drawn_tree_do_not_overlap(size: int) -> None:
    generator = np.random.default_rng(size)
    tree = replace(random_tree(generator, size), relations=["nmod:poss"] * size)
    states = generator.normal(size=(size, WIDTH)).astype(np.float32)
    drawing = tree_figure(tree, states, "a run, layer-1")
    drawing.draw_without_rendering()
    boxes = [label.get_window_extent() for label in drawing.axes[0].get_xticklabels()]
    assert len(boxes) == size
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_senses_and_layers_are_drawn(tmp_path: Path) -> None:
    states = {"es": np.eye(4, dtype=np.float32), "er $": np.zeros((1, 4), np.float32)}
    drawings = (
        senses_figure("it", {"embedding": states, "layer-1": states}),
        layers_figure(
            {"rnn": [0.4, 0.5], "conv": [0.4, 0.5, 0.6]}, {"order of words": 0.5}, "UUAS"
        ),
    )
    for number, drawing in enumerate(drawings):
        figures.save(drawing, tmp_path / f"{number}.svg", ignore_warning)
        assert (tmp_path / f"{number}.svg").stat().st_size > 1000
