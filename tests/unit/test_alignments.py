"""Word alignments are read strictly and become alignments of the pieces of words."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from seq2seq_cli.data.alignments import Alignments, PairAlignment, read_alignments
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.errors import InputError

PIECES = ["<pad>", "<unk>", "<s>", "</s>", "▁a", "▁b", "▁c", "x", "y"]
PAIRS = [("a b", "b c a"), ("", ""), ("a", "c")]


def read(folder: Path, *texts: str) -> list[PairAlignment]:
    files = [folder / f"{number}.align" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return list(read_alignments(files, PAIRS, warn=lambda message: None))


def test_links_are_read_line_by_line_over_all_files(tmp_path: Path) -> None:
    found = read(tmp_path, "0-2 1-0\n\n", "0-0\n")
    assert [each.links for each in found] == [[(0, 2), (1, 0)], [], [(0, 0)]]
    assert [each.words for each in found] == [(2, 3), (0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0-2\n\n1-0\n", "line 3: 1-0 links word 1 of the source, whose last word is 0; words are"),
        (
            "0-3\n\n0-0\n",
            "line 1: 0-3 links word 3 of the target, whose last word is 2; words are",
        ),
        ("\n0-0\n\n", "line 2: 0-0 links word 0 of the source, which has none; words are counted"),
        ("0-0 1_1\n\n\n", "line 1: 1_1 is not a link; write source-target, words counted from 0"),
        ("0--1\n\n\n", "line 1: 0--1 is not a link"),
        ("0-0-0\n\n\n", "line 1: 0-0-0 is not a link"),
        ("²-0\n\n\n", "line 1: ²-0 is not a link"),
        ("0-0\n\n", "there are 2 lines but more pairs; line k must align pair k"),
        ("0-0\n\n\n0-0\n", "there are 3 pairs but more lines; line k must align pair k"),
    ],
)
def test_a_wrong_link_is_an_error_with_file_and_line(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"0\.align") as error:
        read(tmp_path, text)
    assert message in str(error.value)


def links(*pairs: tuple[int, int], words: tuple[int, int]) -> Alignments:
    return Alignments([PairAlignment([*pairs], words)], PIECES, PIECES)


def test_all_pieces_of_linked_words_are_linked_and_rows_sum_to_one_or_zero() -> None:
    source, target = np.array([4, 7, 5, 8, 7]), np.array([6, 7, 4, 5])  # ax bxy | cx a b
    found = links((0, 0), (1, 2), (0, 2), words=(2, 3)).matrix(0, source, target)
    assert found.tolist() == [
        [0.5, 0.5, 0, 0, 0],
        [0.5, 0.5, 0, 0, 0],
        [0, 0, 0, 0, 0],
        pytest.approx([0.2] * 5),
    ]


def test_a_pair_whose_pieces_make_up_other_words_has_no_alignment() -> None:
    source, target = np.array([4, 5]), np.array([6])
    other = links((0, 0), words=(1, 1))
    assert not other.words_match(0, source, target)
    assert not other.matrix(0, source, target).any()
    assert links((0, 0), words=(2, 1)).matrix(0, source, target).any()


def nfkc(word: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", word).split())


def read_pair(folder: Path, links: str, source: str, target: str) -> tuple[Alignments, list[str]]:
    """The alignment of one pair, whose tokenizers normalise by NFKC, and the warnings about it."""
    (folder / "one.align").write_text(f"{links}\n")
    warnings: list[str] = []
    found = read_alignments(
        [folder / "one.align"], [(source, target)], warnings.append, (nfkc, nfkc)
    )
    return Alignments(found, PIECES, PIECES), warnings


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u3000", "\u2003"])
def test_a_no_break_space_in_a_number_shifts_no_link(space: str, tmp_path: Path) -> None:
    found, warnings = read_pair(tmp_path, "0-0 1-1", f"a{space}b c", "ax c")
    source, target = np.array([4, 5, 6]), np.array([4, 7, 6])
    assert found.matrix(0, source, target).tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]
    assert not warnings
    found, _ = read_pair(tmp_path, "0-0 1-1", "ax c", f"a{space}b c")
    assert found.matrix(0, target, source).tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]


def test_a_word_that_its_tokenizer_leaves_out_shifts_no_link(tmp_path: Path) -> None:
    found, _ = read_pair(tmp_path, "0-0 1-0 2-1", "a \u00a0 c", "a c")
    source, target = np.array([4, 6]), np.array([4, 6])
    assert found.matrix(0, source, target).tolist() == [[1, 0], [0, 1]]


def test_words_are_separated_by_ascii_spaces_and_tabs(tmp_path: Path) -> None:
    found, warnings = read_pair(tmp_path, "0-0 1-1", "  a \t c ", "a\tc")
    assert found.words.tolist() == [[2, 2]]
    assert not warnings


def test_lines_whose_aligner_counted_other_words_are_reported_and_not_guided(
    tmp_path: Path,
) -> None:
    (tmp_path / "0.align").write_text("0-0 2-2\n" * 7 + "0-0\n")
    pairs = [("a\u00a0b c", "a\u00a0b c")] * 7 + [("a", "a")]
    warnings: list[str] = []
    found = list(read_alignments([tmp_path / "0.align"], pairs, warnings.append))
    assert [each.links for each in found] == [[]] * 7 + [[(0, 0)]]
    [warning] = warnings
    assert "0.align, line 5 and 2 more: 7 lines with links to words that exist only if" in warning
    with pytest.raises(InputError, match="links word 2 of the source, whose last word is 1"):
        list(read_alignments([tmp_path / "0.align"], [("a\u00a0b", "a\u00a0b c")] * 8, print))


def test_the_alignment_of_a_batch_is_zero_at_padding_and_eos() -> None:
    pairs = TokenPairs(Sentences([[4], [4, 5]]), Sentences([[6, 5], [4]]))
    aligned = [PairAlignment([(0, 1)], (1, 2)), PairAlignment([(1, 0)], (2, 1))]
    pairs.alignments = Alignments(aligned, PIECES, PIECES)
    batch = pairs.batch([1, 0])
    assert batch.alignment is not None
    assert batch.alignment.tolist() == [
        [[0, 1, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [1, 0, 0], [0, 0, 0]],
    ]
