"""A prefix may end within a word: all pieces are allowed that agree with its characters."""

from collections.abc import Iterator

import pytest

from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.search import ForcedPrefix
from seq2seq_cli.symbols import EOS
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation.spelling import LONGEST_WORD, Speller, piece_bytes

WORDS = [
    "Laura",
    "hofft",
    "hofft sehr",
    "hof",
    "hoffen",
    "Hof",
    "der",
    "Hofhund",
    "können",
    "日本語",
]
LINES = [f"{one} {other}" for one in WORDS for other in WORDS]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(LINES * 3, TokenizerSettings(vocabulary_size=60)).tokenizer


def ways(prefix: ForcedPrefix, state: int = 0) -> Iterator[tuple[int, ...]]:
    """All sequences of tokens that make up a prefix."""
    if state == prefix.end:
        yield ()
        return
    for token, after in zip(*prefix.moves[state], strict=True):
        for rest in ways(prefix, after):
            yield (token, *rest)


def spelled(tokenizer: Tokenizer, line: str) -> ForcedPrefix:
    return Speller(tokenizer).prefix(line, tokenizer.encode([line])[0])


@pytest.mark.parametrize("line", ["Laura hof", "h", "hoff", "Laura", "der 日", "kön", "日本語"])
def test_all_ways_to_go_on_with_a_word_begin_with_the_prefix(
    line: str, tokenizer: Tokenizer
) -> None:
    prefix = spelled(tokenizer, line)
    found = list(ways(prefix))
    assert len(found) == len(set(found))
    assert prefix.tokens == tuple(tokenizer.encode([line])[0])
    assert prefix.tokens in found
    assert prefix.longest == max(map(len, found))
    for tokens in found:
        assert tokenizer.decode([tokens])[0].startswith(line.rstrip())
        assert prefix.length_in([*tokens, tokens[0]]) == len(tokens)


@pytest.mark.parametrize("line", ["Laura hof", "h", "hoff", "kön"])
def test_every_piece_that_agrees_is_allowed(line: str, tokenizer: Tokenizer) -> None:
    """As found by trying all pieces, up to the number of tokens that a prefix has at most."""
    prefix = spelled(tokenizer, line)
    fixed = tuple(tokenizer.encode([line.rpartition(" ")[0]])[0])
    text = "▁" + line.rpartition(" ")[2]
    pieces = list(enumerate(tokenizer.vocabulary))[4:]

    def tried(rest: str) -> Iterator[tuple[int, ...]]:
        for number, piece in pieces:
            if piece.startswith(rest):
                yield (number,)
            elif rest.startswith(piece):
                yield from ((number, *more) for more in tried(rest.removeprefix(piece)))

    assert sorted(ways(prefix)) == sorted(fixed + more for more in tried(text))


def test_a_word_that_was_cut_can_be_one_piece(tokenizer: Tokenizer) -> None:
    [whole] = tokenizer.pieces_to_ids(["▁hofft"])
    assert any(way[-1] == whole for way in ways(spelled(tokenizer, "Laura hof")))


@pytest.mark.parametrize("line", ["Laura hof ", "hof\u00a0", "der\t"])
def test_a_prefix_that_ends_with_a_space_consists_of_whole_words(
    line: str, tokenizer: Tokenizer
) -> None:
    [tokens] = tokenizer.encode([line])
    prefix = spelled(tokenizer, line)
    assert (prefix.tokens, prefix.longest) == (tuple(tokens), len(tokens))
    found = {way[: len(tokens)] for way in ways(prefix)}
    assert found == {tuple(tokens)}
    assert prefix.length_in([*tokens, tokens[0]]) == len(tokens)
    assert prefix.within([*tokens, EOS]).moves[-1].tokens[0] == EOS
    assert prefix.within(tokens[:1]).complete == len(tokens)


def test_no_piece_goes_on_with_a_whole_word(tokenizer: Tokenizer) -> None:
    """The next one begins a word, is no part of one, or is the end."""
    follow = spelled(tokenizer, "Laura hof ").moves[-1].tokens
    pieces = set(tokenizer.ids_to_pieces(follow))
    assert {"</s>", "▁hofft", "▁", "本"} <= pieces
    assert not pieces & {"f", "ft", "ö"}
    no_end = spelled(tokenizer, "Laura hof ").without(EOS).moves[-1].tokens
    assert set(follow) - set(no_end) == {EOS}
    in_bytes = Speller(Bytes()).prefix("ä ", (6,)).moves[-1].tokens  # type: ignore[arg-type]
    assert in_bytes == (EOS, 4, 6)
    marked = train_tokenizer(
        [f"{line}, {line.upper()}." for line in LINES],
        TokenizerSettings(vocabulary_size=90, casing="inline"),
    ).tokenizer
    pieces = set(marked.ids_to_pieces(spelled(marked, "hof ").moves[-1].tokens))
    assert {",", "."} <= pieces
    assert not pieces & {"⇧", "⇪"}


def test_a_blank_prefix_leaves_a_translation_free(tokenizer: Tokenizer) -> None:
    assert not spelled(tokenizer, "")
    assert not spelled(tokenizer, "  ")


class Bytes:
    """A vocabulary with a piece for each byte, and one for ä."""

    def __init__(self) -> None:
        self.tags: dict[str, int] = {}
        self.vocabulary = ["<pad>", "<unk>", "<s>", "</s>", "▁", "ä", "▁ä"]
        self.vocabulary += [f"<0x{byte:02X}>" for byte in range(256)]

    def ids_to_pieces(self, ids: tuple[int, ...]) -> list[str]:
        return [self.vocabulary[number] for number in ids]


def test_characters_may_be_spelled_in_bytes() -> None:
    tokenizer = Bytes()
    speller = Speller(tokenizer)  # type: ignore[arg-type]
    prefix = speller.prefix("ä", (6,))
    found = {tuple(tokenizer.ids_to_pieces(way)) for way in ways(prefix)}
    assert {("▁ä",), ("▁", "ä"), ("▁", "<0xC3>", "<0xA4>")} <= found
    assert all(b"".join(map(piece_bytes, way)) == "▁ä".encode() for way in found)


def test_no_tag_of_a_language_spells_a_prefix() -> None:
    settings = TokenizerSettings(languages=("de",))
    tagged = train_tokenizer(["<2de> a<2 a <2", "<2de> <2a"] * 9, settings).tokenizer
    prefix = spelled(tagged, "a<2")
    assert prefix.tokens in set(ways(prefix))
    assert not {token for way in ways(prefix) for token in way} & set(tagged.tags.values())


def test_only_the_end_of_a_long_text_without_spaces_may_be_spelled_otherwise() -> None:
    tokens = (6, *[5] * 99)  # ä, each of 2 bytes
    prefix = Speller(Bytes()).prefix("ä" * 100, tokens)  # type: ignore[arg-type]
    fixed = len(tokens) - LONGEST_WORD // 2
    assert [moves.tokens for moves in prefix.moves[:fixed]] == [(each,) for each in tokens[:fixed]]
    assert len(prefix.moves[fixed].tokens) == 2


def test_ways_that_use_a_piece_outside_a_list_are_left_out(tokenizer: Tokenizer) -> None:
    prefix = spelled(tokenizer, "Laura hof")
    found = set(ways(prefix))
    usable = set(prefix.tokens) | set(tokenizer.pieces_to_ids(["▁hofft"]))
    assert set(ways(prefix.within(usable))) == {way for way in found if usable.issuperset(way)}
