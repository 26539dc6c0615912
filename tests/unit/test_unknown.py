"""Text that a vocabulary lacks is found in the raw line, and copied where attention says."""

from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest

from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import ForcedPrefix
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation.capitals import is_cut_finer
from seq2seq_cli.translation.copying import Copied, Copier, SearchedText, copy_unknown
from seq2seq_cli.translation.results import Candidate, Translation
from seq2seq_cli.translation.summary import Summary, warnings_of
from seq2seq_cli.translation.unknown import UnknownFinder, UnknownText
from seq2seq_cli.translation.word_alignment import WordAlignment

LINES = ["the dog sees a cat , and the man reads ! 12", "ein Haus und der Hund im Bild ."]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(LINES * 20, TokenizerSettings()).tokenizer


def find(tokenizer: Tokenizer, line: str) -> UnknownText | None:
    return UnknownFinder(tokenizer).find(line, tokenizer.encode([line])[0])


@pytest.mark.parametrize(
    ("line", "spans", "characters"),
    [
        ("the 日本語 dog", ("日本語",), 3),
        ("😀 the dog", ("😀",), 1),
        ("the dog😀😀", ("😀😀",), 2),
        ("日本 東京 dog", ("日本", "東京"), 4),
        ("the Dvořák and Žižka’s dog", ("Dvořák", "Žižka", "’"), 9),
        ("dog™ and\u00a0löß", ("™", "löß"), 3),
        ("the \t Дмитрий, dog", ("Дмитрий",), 7),
        ("สวัสดี dog", ("สวัสดี",), 6),
    ],
)
def test_unknown_spans_are_parts_of_the_raw_line_and_whole_words_of_letters(
    line: str, spans: tuple[str, ...], characters: int, tokenizer: Tokenizer
) -> None:
    found = find(tokenizer, line)
    assert found is not None
    assert (found.texts, found.characters) == (spans, characters)
    assert not found.is_all


@pytest.mark.parametrize("line", ["日本語", "  日本 東京! ", "😀", "Дми, Трий."])
def test_a_line_without_any_known_word_is_unknown_as_a_whole(
    line: str, tokenizer: Tokenizer
) -> None:
    found = find(tokenizer, line)
    assert found is not None
    assert found.is_all


@pytest.mark.parametrize("line", ["", "  ", "the dog", "the\x00dog", *LINES])
def test_a_known_line_has_nothing_unknown(line: str, tokenizer: Tokenizer) -> None:
    assert find(tokenizer, line) is None


@pytest.mark.parametrize(
    ("line", "spans"),
    [
        ("the 日本 dog", [("日本", 6)]),
        ("😀 the dog", [("😀", 4)]),
        ("the Dvořák dog", []),
        ("the Dvořák™ dog", [("™", 3)]),
        ("der Дми, 日", [("Дми", 6), ("日", 3)]),
    ],
)
def test_bytes_are_unknown_unless_their_script_has_pieces(
    line: str, spans: list[tuple[str, int]]
) -> None:
    settings = TokenizerSettings(vocabulary_size=400, byte_fallback="on")
    tokenizer = train_tokenizer(LINES * 20, settings).tokenizer
    found = find(tokenizer, line)
    pieces = tokenizer.encode_as_pieces(line)
    in_bytes = [
        (each.text, sum(pieces[index].startswith("<0x") for index in each.tokens))
        for each in (found.spans if found else ())
    ]
    assert in_bytes == spans


@pytest.mark.parametrize(
    ("words", "unknown"),
    [(["мир"], ("Жук",)), (["год", "дом", "кот", "лес", "мир", "сон"], ())],
    ids=["one foreign word", "a script of the text"],
)
def test_a_script_of_a_few_foreign_words_stays_unknown(
    words: list[str], unknown: tuple[str, ...]
) -> None:
    """A model has not learned to read it, although some pieces are in it."""
    lines = [*map("".join, permutations("abcdef", 4)), *words * 5]
    settings = TokenizerSettings(vocabulary_size=580, byte_fallback="on")
    found = find(train_tokenizer(lines, settings).tokenizer, "abcd Жук")
    assert (found.texts if found else ()) == unknown


@pytest.fixture(scope="module")
def tagged() -> Tokenizer:
    settings = TokenizerSettings(languages=("de",))
    return train_tokenizer([f"<2de> {line}" for line in LINES] * 20, settings).tokenizer


def test_the_tag_of_a_line_is_not_text_of_it(tagged: Tokenizer) -> None:
    found = find(tagged, "<2de> 日本")
    assert found is not None
    assert (found.texts, found.is_all) == (("日本",), True)
    mixed = find(tagged, "<2de> the 日本")
    assert mixed is not None
    assert not mixed.is_all


def test_a_line_that_is_copied_as_a_whole_is_copied_without_its_tag(tagged: Tokenizer) -> None:
    predictor = SimpleNamespace(attends_to_source=False)
    line = "<2de> 日本  東京"
    searched = SearchedText(line, tagged.encode([line])[0], ForcedPrefix(), find(tagged, line))
    copied = copy_unknown(
        predictor,  # type: ignore[arg-type]
        Tokenizers(tagged, tagged),
        [searched],
        [(0, [])],
    )
    assert copied == {0: Copied("日本 東京", ("日本", "東京"), is_source=True)}


def copy(
    tokenizer: Tokenizer, source: str, target: str, attention: list[int], fixed: int = 0
) -> tuple[str, tuple[str, ...]]:
    """What becomes of a target whose word k attends to word attention[k] of the source."""
    source_pieces, target_pieces = map(tokenizer.encode_as_pieces, (source, target))
    found = find(tokenizer, source)
    assert found is not None
    words = [
        np.cumsum([p.startswith("▁") for p in each]) - 1 for each in (source_pieces, target_pieces)
    ]
    weights = np.full((len(target_pieces), len(source_pieces) + 1), 0.01, dtype=np.float32)
    for row, word in enumerate(words[1]):
        weights[row, np.flatnonzero(words[0] == attention[word])] += 0.5
    copied = Copier(tokenizer, source_pieces, found).copy(
        tokenizer.encode([target])[0], weights, fixed
    )
    return copied.text, copied.spans


@pytest.mark.parametrize(
    ("source", "target", "attention", "text", "spans"),
    [
        ("the 日本語 sees", "der Hund im", [0, 1, 2], "der 日本語 im", ("日本語",)),
        ("the 日本語 sees", "der Hund im", [0, 2, 2], "der Hund im", ()),
        ("日本 sees 東京", "Hund im Haus .", [2, 1, 0, 0], "東京 im 日本 .", ("日本", "東京")),
        ("the 日本", "der Hund , im", [0, 1, 1, 0], "der 日本 , im", ("日本",)),
        ("the 日本 .", "ein Hund.", [0, 1], "ein 日本.", ("日本",)),
        ("日本 and 日本", "der und Hund", [0, 1, 2], "日本 und 日本", ("日本", "日本")),
        ("日本 the", ".", [0], ".", ()),
        ("the dog 😀", "der Hund im", [0, 2, 2], "der Hund im 😀", ("😀",)),
        ("😀 the dog", "der Hund", [0, 0], "😀 der Hund", ("😀",)),
        ("the dog™ sees", "der Hund im", [0, 1, 1], "der Hund™ im", ("™",)),
        ("the dog 😀 sees", "der Hund im", [0, 1, 2], "der Hund 😀 im", ("😀",)),
        ("the dog 😀 sees", "der im", [0, 3], "der 😀 im", ("😀",)),
        ("the dog 😀 sees", "im der", [3, 0], "im der", ()),  # in another order
        ("the dog 😀 sees", "der", [0], "der 😀", ("😀",)),
        ("the 😀 dog sees", "im", [3], "im", ()),
        ("日本 ❤️ 東京", "der Hund", [0, 2], "日本 ❤️ 東京", ("日本", "❤️", "東京")),
    ],
)
def test_the_word_that_attends_to_a_span_most_becomes_its_text(
    source: str,
    target: str,
    attention: list[int],
    text: str,
    spans: tuple[str, ...],
    tokenizer: Tokenizer,
) -> None:
    assert copy(tokenizer, source, target, attention) == (text, spans)


def test_a_prefix_stays_as_it_was_asked_for(tokenizer: Tokenizer) -> None:
    prefix = len(tokenizer.encode(["der Hund"])[0])
    assert copy(tokenizer, "the 日本", "der Hund im", [0, 1, 1], prefix) == (
        "der Hund 日本",
        ("日本",),
    )


def test_no_symbols_are_inserted_before_a_prefix(tokenizer: Tokenizer) -> None:
    assert copy(tokenizer, "😀 the dog", "der Hund", [0, 0], fixed=1) == ("der Hund", ())


def test_alignments_count_the_words_that_were_inserted(tokenizer: Tokenizer) -> None:
    source, target = "😀 the dog 😀 sees 😀 😀", "der Hund im"
    source_pieces, target_pieces = map(tokenizer.encode_as_pieces, (source, target))
    found = find(tokenizer, source)
    assert found is not None
    weights = np.zeros((len(target_pieces), len(source_pieces) + 1), dtype=np.float32)
    words = np.cumsum([piece.startswith("▁") for piece in target_pieces]) - 1
    for row, word in enumerate(words):
        starts = [k for k, piece in enumerate(source_pieces) if piece.startswith("▁")]
        weights[row, starts[[1, 2, 4][word]]] = 1
    copied = Copier(tokenizer, source_pieces, found).copy(tokenizer.encode([target])[0], weights)
    assert copied.text == "😀 der Hund 😀 im 😀 😀"
    assert copied.new_words == (0, 3, 5, 6)
    alignment = WordAlignment(((1, 0), (2, 1), (4, 2)), 7, 3).with_target_words(copied.new_words)
    assert alignment == WordAlignment(((1, 1), (2, 2), (4, 4)), 7, 7)


def test_a_span_is_copied_once(tokenizer: Tokenizer) -> None:
    text, spans = copy(tokenizer, "the 日本", "der Hund im Haus", [0, 1, 1, 1])
    assert (text.count("日本"), spans) == (1, ("日本",))


def translation(unknown: tuple[str, ...], copied: tuple[str, ...], text: str = "x") -> Translation:
    best = Candidate(text, pieces=("▁x", "</s>"), copied=copied)
    return Translation("日本 x", [best], unknown=unknown, unknown_share=0.5)


def test_warnings_tell_what_was_unknown_and_what_became_of_it() -> None:
    one = translation(("日本", "東京"), ("日本",))
    [warning] = warnings_of(one, 3, "yes")
    assert warning.startswith(
        "line 3: the run has no pieces for 50% of the characters: 日本 (copied); 東京 (not copied, "
        "since no word of the translation attends most to it"
    )
    assert "a model without attention" in warnings_of(translation(("x",), ()), 1, "impossible")[0]
    assert "as asked for" in warnings_of(translation(("x",), ()), 1, "no")[0]
    assert warnings_of(translation((), (), ""), 7, "yes") == [
        "line 7 is not blank, but its translation is empty"
    ]
    assert warnings_of(Translation("", [Candidate("")]), 7, "yes") == []


def test_a_summary_counts_all_lines_and_names_the_first() -> None:
    summary = Summary("yes")
    assert list(summary.warnings()) == []
    summary.add([translation(("日本",), ("日本",))] * 1500 + [translation((), (), "")], 1)
    unknown, empty = summary.warnings()
    assert unknown.startswith("lines 1, 2, 3, 4, 5 and 1,495 more: the run has no pieces for up to")
    assert "up to 50% of the characters of a line; all 1,500 unknown parts were copied;" in unknown
    assert empty == "line 1,501 is not blank, but its translation is empty"


def test_a_summary_has_the_greatest_share_of_all_lines() -> None:
    summary = Summary("yes")
    for number, share in enumerate((0.25, 0.75, 0.5), start=1):
        summary.add([replace(translation(("日本",), ()), unknown_share=share)], number)
    [warning] = summary.warnings()
    assert (
        "for up to 75% of the characters of a line; none of the 3 unknown parts was copied"
        in warning
    )


def test_a_summary_counts_lines_of_whose_kind_the_first_was_told_at_once() -> None:
    summary = Summary("yes")
    usual = translation((), ())
    long = replace(usual, is_too_long=True)
    summary.add([long, replace(usual, lacks_language=True)], 1)
    assert list(summary.warnings()) == []
    summary.add([long, replace(long, lacks_language=True)], 3)
    assert list(summary.warnings()) == [
        "lines 2 and 4 do not say which of the run's languages to translate into",
        "lines 1, 3 and 4 have more tokens than the model reads and were split into segments",
    ]


@pytest.fixture(scope="module")
def cased() -> dict[str, Tokenizer]:
    lines = [f"{each.capitalize()} and Anna." for each in LINES] * 20
    settings = {
        "keep": TokenizerSettings(vocabulary_size=120),
        "inline": TokenizerSettings(vocabulary_size=120, casing="inline"),
        "lowercase": TokenizerSettings(vocabulary_size=120, lowercase=True),
    }
    lines += ["ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    return {name: train_tokenizer(lines, each).tokenizer for name, each in settings.items()}


@pytest.mark.parametrize(
    ("line", "is_finer"),
    [
        ("THE DOG SEES THE CAT.", True),
        ("THE CAT SEES 3 😀 DOGS", True),
        ("The dog sees the cat.", False),
        ("THE DOG", False),  # may be a name
        ("THE DOG SEES the cat", False),
        ("A B C D E", False),  # as finely cut in lower case
        ("日本 123", False),
        ("", False),
    ],
)
def test_a_line_in_capitals_is_told_from_others_by_its_pieces(
    line: str, is_finer: bool, cased: dict[str, Tokenizer]
) -> None:
    assert is_cut_finer(line, cased["keep"]) == is_finer
    assert not is_cut_finer(line, cased["inline"].for_side("source"))
    assert not is_cut_finer(line, cased["lowercase"].for_side("source"))


def test_lines_in_capitals_are_warned_of_with_what_helps() -> None:
    loud = replace(translation((), ()), is_in_capitals=True)
    words = "in capitals, which the run has hardly seen; train with tokenizer.casing = inline"
    assert warnings_of(loud, 3, "yes")[0].startswith(f"line 3 is {words}")
    summary = Summary("yes")
    summary.add([loud], 1)
    assert next(summary.warnings()).startswith(f"line 1 is {words}")
    summary.add([loud], 2)
    assert next(summary.warnings()).startswith(f"lines 1 and 2 are {words}")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([(1, 1)], "line 1: 50% of the characters; the unknown part was copied;"),
        (
            [(1, 1), (1, 0)],
            "lines 1 and 2: up to 50% of the characters of a line; 1 of 2 unknown parts was "
            "copied, but not the other one, since",
        ),
        (
            [(3, 1)],
            "line 1: 50% of the characters; 1 of 3 unknown parts was copied, but not the other 2, "
            "since",
        ),
    ],
)
def test_a_summary_is_plain_english(lines: list[tuple[int, int]], words: str) -> None:
    summary = Summary("yes")
    summary.add([translation(("日",) * spans, ("日",) * copied) for spans, copied in lines], 1)
    [warning] = summary.warnings()
    assert warning.replace("the run has no pieces for ", "").startswith(words)


def test_only_white_space_is_blank() -> None:
    """A line of characters that leave no token is not blank, though nothing is searched for it."""
    blank = [Candidate("")]
    for line, is_empty in [("\ufffd", True), ("\x01", False), (" \t\u3000", False), ("", False)]:
        assert Translation(line, blank).is_empty == is_empty
