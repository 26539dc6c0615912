"""The trees of the demo corpus are Universal Dependencies, by an independent reader."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import conllu
import pytest

from seq2seq_cli.data.alignments import read_alignments
from seq2seq_cli.demo import write_corpus

Tree = list[dict[str, Any]]  # words, without multiword tokens

UPOS = {
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
    "PUNCT", "SCONJ", "VERB",
}  # fmt: skip
RELATIONS = {
    "acl:relcl", "advcl", "advmod", "amod", "aux", "aux:pass", "case", "cc", "ccomp", "compound",
    "compound:prt", "conj", "cop", "csubj", "det", "det:poss", "discourse", "expl", "expl:pv",
    "fixed", "iobj", "mark", "nmod", "nmod:poss", "nsubj", "nsubj:pass", "nummod", "obj", "obl",
    "obl:agent", "punct", "root", "xcomp",
}  # fmt: skip
FUNCTION_WORDS = {"aux", "aux:pass", "case", "cc", "cop", "det", "fixed", "mark", "punct"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Usual sentences, and beside them long ones."""
    folder = tmp_path_factory.mktemp("trees")
    write_corpus(folder, pairs=1500, with_trees=True)
    write_corpus(folder / "long", pairs=60, min_words=25, max_words=60, with_trees=True)
    return folder


def sentences(folder: Path, language: str) -> list[Any]:
    return [
        sentence
        for part in (folder, folder / "long")
        for name in ("train", "valid", "test")
        for sentence in conllu.parse((part / f"{name}.{language}.conllu").read_text())
    ]


def words_of(sentence: Any) -> Tree:
    return [token for token in sentence if isinstance(token["id"], int)]


def text_of(sentence: Any) -> str:
    """The text by the rules of CoNLL-U: multiword tokens replace their words."""
    text, inside = "", 0
    for token in sentence:
        number = token["id"]
        if isinstance(number, tuple):
            inside = number[2]
        elif number <= inside:
            continue
        glued = (token["misc"] or {}).get("SpaceAfter") == "No"
        text += token["form"] + ("" if glued else " ")
    return text.removesuffix(" ")


def is_projective(words: Tree) -> bool:
    arcs = [tuple(sorted((w["id"], w["head"]))) for w in words if w["head"]]
    return not any(a < c < b < d for a, b in arcs for c, d in arcs)


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_text_of_a_tree_is_its_line(folder: Path, language: str) -> None:
    for part in (folder, folder / "long"):
        for name in ("train", "valid", "test"):
            lines = (part / f"{name}.{language}").read_text().splitlines()
            trees = conllu.parse((part / f"{name}.{language}.conllu").read_text())
            assert [tree.metadata["text"] for tree in trees] == lines
            assert [text_of(tree) for tree in trees] == lines
            identifiers = [tree.metadata["sent_id"] for tree in trees]
            assert identifiers == [f"{name}-{number + 1}" for number in range(len(lines))]


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_tree_has_one_root_and_no_cycle(folder: Path, language: str) -> None:
    for sentence in sentences(folder, language):
        words = words_of(sentence)
        assert [word["id"] for word in words] == list(range(1, len(words) + 1))
        heads = {word["id"]: word["head"] for word in words}
        roots = [word for word in words if word["deprel"] == "root"]
        assert [word["head"] for word in roots] == [0]
        assert sum(head == 0 for head in heads.values()) == 1
        for number in heads:
            steps = 0
            while number:
                number, steps = heads[number], steps + 1
                assert steps <= len(words), sentence.metadata["text"]


@pytest.mark.parametrize("language", ["en", "de"])
def test_content_words_are_heads(folder: Path, language: str) -> None:
    relations: Counter[str] = Counter()
    for sentence in sentences(folder, language):
        words = words_of(sentence)
        for word in words:
            relations[word["deprel"]] += 1
            assert word["upos"] in UPOS
            assert (word["upos"] == "PUNCT") == (word["deprel"] == "punct")
            head = words[word["head"] - 1]
            if word["head"] and head["deprel"] in FUNCTION_WORDS and word["deprel"] != "fixed":
                # "how many": an adverb may modify a determiner
                assert (head["deprel"], word["deprel"]) == ("det", "advmod"), sentence.metadata
    assert set(relations) <= RELATIONS
    assert not {"acl:relcl", "advcl", "ccomp", "cop", "csubj", "nsubj:pass"} - set(relations)


def test_only_moved_clauses_and_prepositions_cross(folder: Path) -> None:
    english = [words_of(sentence) for sentence in sentences(folder, "en")]
    german = [words_of(sentence) for sentence in sentences(folder, "de")]
    assert sum(map(is_projective, english)) >= 0.99 * len(english)  # whom does she listen to
    crossing = [words for words in german if not is_projective(words)]
    assert 0 < len(crossing) < 0.1 * len(german)
    assert all(any(word["deprel"] == "acl:relcl" for word in words) for words in crossing)


def test_german_arcs_are_longer(folder: Path) -> None:
    def mean_length(language: str) -> float:
        arcs = [
            abs(word["id"] - word["head"])
            for sentence in sentences(folder, language)
            for word in words_of(sentence)
            if word["head"] and word["upos"] != "PUNCT"
        ]
        return sum(arcs) / len(arcs)

    assert mean_length("de") > 1.1 * mean_length("en")


def arcs_of(folder: Path, language: str, condition: Callable[[str], bool]) -> set[str]:
    """The first sentence that meets a condition, as "relation(head, word)"."""
    found = next(s for s in sentences(folder, language) if condition(s.metadata["text"]))
    words = words_of(found)
    return {
        f"{word['deprel']}({words[word['head'] - 1]['form']}, {word['form']})"
        for word in words
        if word["head"]
    }


def test_multiword_tokens_are_divided(folder: Path) -> None:
    arcs = arcs_of(folder, "de", lambda text: " im " in text)
    assert any(arc.startswith("case(") and arc.endswith(", in)") for arc in arcs)
    assert any(arc.startswith("det(") and arc.endswith(", dem)") for arc in arcs)
    assert any(
        arc.endswith(", not)") for arc in arcs_of(folder, "en", lambda text: "cannot" in text)
    )
    assert any(arc.endswith(", 's)") for arc in arcs_of(folder, "en", lambda text: "'s " in text))


def links_of(words: Tree) -> set[tuple[int, int]]:
    return {
        (word["id"], int(number))
        for word in words
        for number in (word["misc"] or {}).get("Align", "").split(",")
        if number
    }


def test_aligned_words_translate_each_other(folder: Path) -> None:
    for source, target in zip(sentences(folder, "en"), sentences(folder, "de"), strict=True):
        english, german = words_of(source), words_of(target)
        links = links_of(english)
        assert links == {(number, partner) for partner, number in links_of(german)}
        aligned = {number for number, _ in links}
        for word in english:
            if word["upos"] in ("NOUN", "VERB", "ADJ", "PROPN", "NUM"):
                assert word["id"] in aligned, (word["form"], source.metadata["text"])
        for number, partner in links:
            if english[number - 1]["form"] in ("Anna", "Tom", "Berlin"):
                assert german[partner - 1]["lemma"] == english[number - 1]["form"]


def _lines(folder: Path) -> list[list[str]]:
    return [(folder / f"test.{end}").read_text().splitlines() for end in ("en", "de")]


def test_alignments_are_read_as_training_reads_them(folder: Path) -> None:
    pairs = list(zip(*_lines(folder), strict=True))
    warnings: list[str] = []
    found = list(read_alignments([folder / "test.align"], pairs, warnings.append))
    assert not warnings
    assert all(alignment.links for alignment in found)
    assert found[0].words == tuple(len(text.split()) for text in pairs[0])


def test_trees_leave_the_text_as_it_is(folder: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path, pairs=1500)
    for name in ("train", "valid", "test"):
        for end in ("en", "de"):
            file = f"{name}.{end}"
            assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()
    assert not list(tmp_path.glob("*.conllu"))


def test_trees_of_other_text_do_not_stay_beside_a_new_corpus(tmp_path: Path) -> None:
    write_corpus(tmp_path, pairs=20, with_trees=True)
    assert (tmp_path / "train.align").exists()
    write_corpus(tmp_path, pairs=20, seed=2)
    assert {path.suffix for path in tmp_path.iterdir()} == {".de", ".en"}
