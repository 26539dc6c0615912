"""Words in a plane: what moves is what a layer did, and words are those of lines or of trees."""

from pathlib import Path

import numpy as np
import pytest

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation import geometry as geometry_module
from seq2seq_cli.evaluation.conllu import read_sentences, trees_of_lines
from seq2seq_cli.evaluation.geometry import geometry, nearest, principal_plane
from seq2seq_cli.evaluation.hidden_states import NO_WORD, NOWHERE, SentenceStates
from seq2seq_cli.evaluation.plots.page import geometry_page

TREE = "1\tHe\t_\t_\t_\t_\t2\tnsubj\t_\t_\n2\tgoes\t_\t_\t_\t_\t0\troot\t_\t_\n"
CONTRACTED = TREE + (
    "3-4\tim\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "3\tin\t_\t_\t_\t_\t5\tcase\t_\t_\n"
    "4\tdem\t_\t_\t_\t_\t5\tdet\t_\t_\n"
    "5\tBus\t_\t_\t_\t_\t2\tobl\t_\tSpaceAfter=No\n"
    "5.1\tgoes\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "6\t.\t_\t_\t_\t_\t2\tpunct\t_\t_\n"
)


def states_of(vectors: np.ndarray, turned: np.ndarray, words: list[str]) -> SentenceStates:
    """A sentence with a piece for each word and EOS; the second layer is the first one, turned."""
    text = " ".join(words)
    starts = [len(" ".join([*words[:i], ""])) for i in range(len(words))]
    with_eos = np.vstack([vectors, np.full((1, vectors.shape[1]), 99)]).astype(np.float32)
    layers = {"embedding": with_eos, "layer-1": with_eos @ turned.astype(np.float32)}
    return SentenceStates(
        [*(f"▁{word}" for word in words), "</s>"],
        ["<s>"],
        layers,
        {"embedding": np.zeros((1, 2), dtype=np.float32)},
        None,
        None,
        None,
        source_words=words,
        source_word_indices=[*range(len(words)), NO_WORD],
        target_word_indices=[NO_WORD],
        source_text=text,
        source_spans=[
            *((start, start + len(word)) for start, word in zip(starts, words, strict=True)),
            NOWHERE,
        ],
    )


def random_states(words: list[str]) -> SentenceStates:
    draw = np.random.default_rng(1)
    turned, _ = np.linalg.qr(draw.standard_normal((5, 5)))
    return states_of(draw.standard_normal((len(words), 5)), turned, words)


def test_words_stand_still_between_layers_that_only_turn_them() -> None:
    [side] = geometry([random_states(["a", "b", "c", "d", "e", "f", "g"])])
    first, second = side.layers
    assert first.points == pytest.approx(second.points, abs=1e-5)
    assert first.share == pytest.approx(second.share)
    assert (first.neighbours == second.neighbours).all()
    assert (first.points**2).sum(axis=1).mean() == pytest.approx(1)
    assert first.points.mean(axis=0) == pytest.approx(0, abs=1e-6)


def test_no_other_turn_of_a_plane_moves_words_less() -> None:
    """The second layer has its principal components in another order, and mirrored."""
    draw = np.random.default_rng(4).standard_normal
    words = [f"w{i}" for i in range(30)]
    vectors = draw((30, 3)) * [3.0, 2.0, 0.1]
    first, second = geometry([states_of(vectors, np.diag([1.0, -2.0, 1.0]), words)])[0].layers

    def movement(points: np.ndarray) -> float:
        return float(((points - first.points) ** 2).sum())

    aligned = movement(second.points)
    assert aligned < 0.5 * movement(second.points[:, ::-1])
    for angle in np.linspace(0, 2 * np.pi, 100):
        for sign in (1, -1):
            turn = [
                [np.cos(angle), -np.sin(angle)],
                [sign * np.sin(angle), sign * np.cos(angle)],
            ]
            assert movement(second.points @ np.array(turn)) >= aligned - 1e-9


def test_the_plane_shows_the_directions_of_most_variance() -> None:
    vectors = np.random.default_rng(2).standard_normal((50, 3)) * [0.1, 5.0, 1.0]
    points, share = principal_plane(vectors)
    assert abs(np.corrcoef(points[:, 0], vectors[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(points[:, 1], vectors[:, 2])[0, 1]) > 0.99
    variances = vectors.var(axis=0)
    assert share == pytest.approx(variances[1:].sum() / variances.sum(), abs=0.001)


@pytest.mark.parametrize("words", [["one"], ["one", "two"]])
def test_one_word_and_two_are_shown(words: list[str]) -> None:
    [side] = geometry([random_states(words)])
    for layer in side.layers:
        assert np.isfinite(layer.points).all()
        assert layer.neighbours.shape == (len(words), len(words) - 1)
        assert layer.share == pytest.approx(1)


def test_neighbours_are_the_words_of_the_greatest_cosine_in_all_dimensions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(geometry_module, "ROWS_COMPARED", 7)
    vectors = np.random.default_rng(3).standard_normal((20, 6))
    vectors[4] = 0
    indices, cosines = nearest(vectors, 3)
    for word in set(range(20)) - {4}:
        others = [o for o in range(20) if o != word]
        lengths = np.linalg.norm(vectors, axis=1)
        lengths[4] = 1
        by_hand = {o: vectors[word] @ vectors[o] / lengths[word] / lengths[o] for o in others}
        best = sorted(others, key=lambda o: -by_hand[o])[:3]
        assert indices[word].tolist() == best
        assert cosines[word] == pytest.approx([by_hand[o] for o in best])


def test_a_word_of_a_tree_is_the_mean_of_the_pieces_that_it_overlaps(tmp_path: Path) -> None:
    path = tmp_path / "trees.conllu"
    path.write_text(f"# text = He goes im Bus.\n{CONTRACTED}\nleft over, and not read\n")
    line = "He goes im Bus."
    trees = trees_of_lines(path, [line, " "], "lines")
    assert trees[1] is None
    states = random_states(line.split())
    [side] = geometry([states, random_states([])], trees)
    assert side.words == ["He", "goes", "in", "dem", "Bus", "."]
    assert side.sentences == [(0, 6), (6, 6)]
    points = side.layers[0].points
    assert points[2] == pytest.approx(points[3])  # both are the piece im
    assert points[4] == pytest.approx(points[5])  # both are the piece Bus.
    assert points[0] != pytest.approx(points[1])


def test_text_without_spaces_is_shown_by_pieces() -> None:
    text = "我爱你们的老房子"
    pieces = ["▁", "我", "爱你", "们的", "老房子", "</s>"]
    states = SentenceStates(
        pieces,
        ["<s>"],
        {"embedding": np.eye(6, 4, dtype=np.float32)},
        {"embedding": np.eye(1, 4, dtype=np.float32)},
        None,
        None,
        None,
        source_words=[text],
        source_word_indices=[0, 0, 0, 0, 0, NO_WORD],
        target_word_indices=[NO_WORD],
    )
    [side] = geometry([states])
    assert side.words == ["我", "爱你", "们的", "老房子"]


def test_more_words_than_a_page_can_show_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry_module, "MOST_WORDS", 5)
    states = [random_states(["a", "b", "c"])] * 2
    with pytest.raises(InputError, match="the first 2 lines have more than 5 words"):
        geometry(states)
    with pytest.raises(InputError, match="all lines are blank"):
        geometry([random_states([])])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\tHe\n\n", "line 1: 2 columns; CoNLL-U has 10, divided by tabs"),
        (
            TREE.replace("\t0\t", "\t1\t"),
            "sentence in line 1 has 0 roots; a tree has one word with head 0",
        ),
        (TREE.replace("\t2\tnsubj", "\t0\tnsubj"), "has 2 roots"),
        (TREE.replace("\t2\tnsubj", "\t7\tnsubj"), 'the head of word 1 is "7"; allowed are 0 to 2'),
        (TREE.replace("\t2\tnsubj", "\t1\tnsubj"), "the heads of its words run in a circle"),
        (TREE.replace("\t2\tnsubj", "\t_\tnsubj"), 'the head of word 1 is "_"'),
        (TREE.replace("2\tgoes", "3\tgoes"), "its words must be numbered 1, 2, 3 and so on"),
        (TREE.replace("2\tgoes", "x\tgoes"), 'line 2: "x" is not the number of a word'),
        (f"2-9\tx{chr(9) * 8}\n{TREE}", "a token has the words up to one that the sentence does"),
        ("", "has 0 trees but test.en has 1 line with text"),
        (TREE.replace("goes", "went"), 'has the word "went" where the line has "goes"'),
        ("1\tHe\t_\t_\t_\t_\t0\troot\t_\t_\n", 'ends before "goes", which the line has'),
    ],
)
def test_trees_that_do_not_fit_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "trees.conllu"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        trees_of_lines(path, ["He goes", ""], "test.en")
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_tag_of_a_language_is_not_a_word_of_the_tree(tmp_path: Path) -> None:
    path = tmp_path / "trees.conllu"
    path.write_text(TREE)
    [tree] = read_sentences(path)
    assert tree.spans("<2de> He  goes") == [(6, 8), (10, 14)]


def test_a_page_of_words_holds_its_data_and_no_markup_from_it() -> None:
    page = geometry_page(geometry([random_states(["</script>", "<!--", "&"])]), "a <b> & c")
    assert "<title>a &lt;b> &amp; c</title>" in page
    assert "\\u003c/script>" in page
    assert page.count("</script>") == 2
    assert "http" not in page
