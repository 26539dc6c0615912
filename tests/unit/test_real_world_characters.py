"""What becomes of the characters of real text: words in 85 languages, and what bug reports name."""

import io
import random
import unicodedata
from pathlib import Path

import pytest
import sentencepiece

from seq2seq_cli import symbols
from seq2seq_cli.config.tokenizer import ModelType, Normalization, TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.subwords import UnigramSampler
from seq2seq_cli.tokenization.text_form import SIDES, Side, TextForm, plain
from seq2seq_cli.tokenization.tokenizer import Tokenizer

TABLE = Path(__file__).parents[2] / "recipes" / "bench" / "words.tsv"
WORDS = dict(line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines())
FAMILY = "👨\u200d👩\u200d👧"


@pytest.fixture(scope="module", params=["unigram", "bpe", "char", "word"])
def model_type(request: pytest.FixtureRequest) -> ModelType:
    return request.param


@pytest.fixture(scope="module")
def tokenizer(model_type: ModelType) -> Tokenizer:
    settings = TokenizerSettings(4_000, model_type)
    return train_tokenizer(WORDS.values(), settings).tokenizer


# Training text can be written


def test_text_of_every_language_is_written_as_it_was_trained_on(tokenizer: Tokenizer) -> None:
    assert len(WORDS) >= 80
    texts = list(WORDS.values())
    assert dict(zip(WORDS, tokenizer.decode(tokenizer.encode(texts)), strict=True)) == WORDS
    for text in texts:
        assert plain(text) == text
    assert not any(symbols.UNK in ids for ids in tokenizer.encode(texts))


@pytest.mark.parametrize(
    "text",
    [
        "现在，我吃书。",
        "می‌روم",
        "1½",
        "10² m²",
        "10\u00a0000",
        "a\u3000b",
        FAMILY,
        "▁▂▃",
        "e\u0301é",
    ],
)
def test_characters_that_normal_forms_change_stay(text: str) -> None:
    found = train_tokenizer([text, "10 m 102 m2 11⁄2"], TokenizerSettings()).tokenizer
    pieces = found.encode_as_pieces(text)
    assert found.decode_pieces(pieces) == text
    assert pieces != found.encode_as_pieces("10 m 102 m2 11⁄2")


def test_a_setting_that_changes_the_target_says_so_once_with_an_example() -> None:
    lines = ["现在，我吃书。", "你好", "我，你"]
    changing = TokenizerSettings(target_normalization="nfkc", lowercase="target")
    assert train_tokenizer(lines, changing).notes[0] == (
        '2 lines of the target cannot be written as they are: "现在，我吃书。" becomes '
        '"现在,我吃书。" (tokenizer.target_normalization = nfkc and tokenizer.lowercase)'
    )
    for settings in (TokenizerSettings(), TokenizerSettings(source_normalization="nmt_nfkc")):
        assert "cannot be written" not in " ".join(train_tokenizer(lines, settings).notes)


# The source is normalised more


@pytest.mark.parametrize(
    ("noisy", "clean"),
    [
        ("cafe\u0301", "café"),
        ("\u1112\u1161\u11ab", "한"),
        ("ＡＢＣ１２３！", "ABC123!"),
        ("ﬁne oﬀice", "fine office"),
        ("10\u00a0000", "10 000"),
        ("a\u3000b\u2009c", "a b c"),
        ("ﻻ", "لا"),
        ("m²", "m2"),
    ],
)
def test_variants_of_source_text_are_the_same_to_a_model(noisy: str, clean: str) -> None:
    found = train_tokenizer([clean], TokenizerSettings()).tokenizer
    source = found.for_side("source")
    assert source.encode([noisy]) == source.encode([clean]) == found.encode([clean])
    assert found.encode([noisy]) != found.encode([clean])
    assert symbols.UNK not in source.encode([noisy])[0]


@pytest.mark.parametrize("text", ["می‌روم", FAMILY, "so\u00adft", "क्\u200dष"])
def test_invisible_characters_of_source_text_stay(text: str) -> None:
    source = train_tokenizer([text], TokenizerSettings()).tokenizer.for_side("source")
    assert source.decode(source.encode([text])) == [text]


def test_words_are_those_of_the_text_as_it_is_whatever_normalisation_divides() -> None:
    line = "seit 10\u00a0000 Jahren ﷺ"
    source = train_tokenizer([line] * 3, TokenizerSettings(80)).tokenizer.for_side("source")
    words = source.word_indices(line)
    assert [*dict.fromkeys(words)] == [0, 1, 2, 3]
    assert source.divides_words(line)
    assert not source.divides_words(" seit  1000 Jahren ")


# Case


@pytest.mark.parametrize(
    "words",
    [
        ("STRASSE", "straße", "STRAẞE", "Straße", "strasse"),
        ("İSTANBUL", "istanbul", "İstanbul", "I\u0307stanbul", "ISTANBUL"),
        ("ΟΔΥΣΣΕΥΣ", "Οδυσσευς", "οδυσσευσ"),
        ("ŐR", "o\u030br", "ŐR".lower()),
        ("ЁЖ", "ёж", "е\u0308ж"),
        ("ǆep", "ǅep", "ǄEP"),
        ("ﬃ", "FFI"),
    ],
)
def test_lowercase_makes_all_cases_of_a_word_one(words: tuple[str, ...]) -> None:
    settings = TokenizerSettings(lowercase=True, target_normalization="nfkc")
    found = train_tokenizer(words, settings).tokenizer
    for side in (found, found.for_side("source")):
        assert len({tuple(side.encode([word])[0]) for word in words}) == 1
        assert symbols.UNK not in side.encode([words[0]])[0]


def test_case_is_folded_on_one_side_alone() -> None:
    lines = ["Die Straße", "the STREET"]
    found = train_tokenizer(lines, TokenizerSettings(lowercase="source")).tokenizer
    assert found.decode(found.encode(lines)) == lines
    source = found.for_side("source")
    assert source.decode(source.encode(lines)) == ["die strasse", "the street"]


CAPITALS = [
    "Don't go to McDonald's in NEW YORK, 'Twas said: B2B, COVID-19 and iPhone!",
    "STRASSE Straße straße ẞ, Élan É E\u0301cole, İstanbul ILIK, ǅep ǄEP, ŉ",
    "Jean-Luc’s DON’T ⇧⇪ I A.B. ΟΔΟΣ Οδός οδός ПРИВЕТ Мир ჯ ᲗᲑᲘᲚᲘᲡᲘ ﬁn ﬁN",
]


@pytest.mark.parametrize("side", SIDES)
def test_inline_casing_loses_nothing(side: Side) -> None:
    lines = [*WORDS.values(), *CAPITALS, *map(str.upper, CAPITALS), *map(str.title, CAPITALS)]
    settings = TokenizerSettings(casing="inline", source_normalization="identity")
    found = train_tokenizer(lines, settings).tokenizer.for_side(side)
    assert found.decode(found.encode(lines)) == lines
    assert found.form.is_faithful


def test_a_word_has_the_same_pieces_in_any_case_with_inline_casing() -> None:
    lines = ["hello Hello HELLO iPhone don't", "DON'T Hello, world"]
    found = train_tokenizer(lines * 3, TokenizerSettings(60, casing="inline")).tokenizer
    [small, title, upper] = [found.encode_as_pieces(word) for word in ("hello", "Hello", "HELLO")]
    assert (title, upper) == ([*small, "⇧"], [*small, "⇪"])
    assert found.encode_as_pieces("DON'T") == [*found.encode_as_pieces("don't"), "⇪"]
    assert not {"⇧", "⇪"} & set(found.encode_as_pieces("iPhone"))
    # A model may put marks anywhere: they never show.
    assert found.decode_pieces(["⇪", *small, "⇧", "⇧", "▁", "⇪"]) == "Hello"


def test_bytes_spell_what_has_no_piece_and_come_back() -> None:
    settings = TokenizerSettings(700, byte_fallback="on", character_coverage=0.98)
    found = train_tokenizer([*WORDS.values()] * 2, settings).tokenizer
    lines = [*WORDS.values(), "日本語 😀 𓂀 ❤\ufe0f", "\U0010ffff"]
    ids = found.encode(lines)
    assert not any(symbols.UNK in each for each in ids)
    assert found.decode(ids) == lines
    assert sum("<0x" in piece for line in lines for piece in found.encode_as_pieces(line)) > 50


def test_broken_bytes_are_shown_as_such_and_never_break_a_line() -> None:
    found = train_tokenizer(["hello"] * 3, TokenizerSettings(300, byte_fallback="on")).tokenizer
    hello = found.encode(["hello"])[0]
    byte = {number: found.vocabulary.index(f"<0x{number:02X}>") for number in range(256)}
    cut = [byte[0xE6], byte[0xBC], *hello, byte[0xF0], byte[0xFF], byte[0xED], byte[0xA0]]
    [text] = found.decode([cut])
    assert set(text) == {*"hello", "\ufffd"} | ({" "} & set(text))
    for number in range(256):
        [text] = found.decode([[*hello, byte[number], *hello]])
        assert text.isprintable()
        text.encode()


def test_bytes_are_used_where_they_take_little_of_the_vocabulary() -> None:
    lines = [*WORDS.values()]
    for size, choice, has_bytes in [
        (500, "auto", False),
        (8_255, "auto", False),
        (8_256, "auto", True),
        (8_256, "off", False),
        (600, "on", True),
        ("auto", "auto", False),
    ]:
        settings = TokenizerSettings(size, byte_fallback=choice)  # type: ignore[arg-type]
        found = train_tokenizer(lines, settings).tokenizer
        assert ("<0x00>" in found.vocabulary) == has_bytes
    with pytest.raises(InputError, match="whole words are unknown"):
        TokenizerSettings(model_type="word", byte_fallback="on")


def test_bytes_and_symbols_are_not_cut_at_random() -> None:
    settings = TokenizerSettings(
        3_000, byte_fallback="on", user_symbols=("<sep>",), casing="inline", character_coverage=0.98
    )
    lines = [f"{line} <sep> Sep <0x41> 0 x" for line in WORDS.values()]
    found = train_tokenizer(lines * 2, settings).tokenizer
    sampler = found.word_sampler(0.1)
    ids = found.encode(lines)
    drawn = [found.resample(each, sampler, random.Random(1)) for each in ids]
    assert drawn != ids
    assert found.decode(drawn) == found.decode(ids) == lines
    sep = found.vocabulary.index("<sep>")
    assert all(each.count(sep) == 1 for each in drawn)


def test_symbols_of_the_user_stay_one_piece_whatever_is_done_to_text() -> None:
    names = ("<Sep>", "①", "@-@", "PERSON_1", 'a,b"c')
    settings = TokenizerSettings(
        user_symbols=names, lowercase=True, source_normalization="nfkc", target_normalization="nfkc"
    )
    found = train_tokenizer(["Text ② <sep> person_1 a,b"], settings).tokenizer
    for side in (found, found.for_side("source")):
        for name in names:
            assert name in side.encode_as_pieces(f"Text{name}②")
            assert side.decode(side.encode([f"Text {name} ②"])) == [f"text {name} 2"]
    inline = TokenizerSettings(user_symbols=("NAME",), casing="inline")
    found = train_tokenizer(["Text NAME NAMES text"], inline).tokenizer
    assert found.decode(found.encode(["NAME NAMES Text"])) == ["NAME NAMES Text"]
    assert found.encode_as_pieces("NAME")[-1] == "NAME"


def test_of_symbols_that_begin_alike_the_longest_is_found() -> None:
    assert TextForm("nfkc", symbols=("x", "x①")).read("x① x②") == "x① x2"


@pytest.mark.parametrize("symbol", ["", "a b", "<s>", "▁x", "x\n", "⇧"])
def test_symbols_that_cannot_be_are_refused(symbol: str) -> None:
    with pytest.raises(
        InputError,
        match=r"(?s)tokenizer\.user_symbols has .* \(--symbol\) consists of",
    ):
        TokenizerSettings(user_symbols=(symbol,))


def test_digits_can_be_pieces_by_themselves() -> None:
    lines = ["the year 2024", "the 2024 of 2024", "in 2024"] * 9
    for split, pieces in ((True, ["▁", "2", "0", "2", "4"]), (False, ["▁2024"])):
        found = train_tokenizer(lines, TokenizerSettings(80, split_digits=split)).tokenizer
        assert found.encode_as_pieces("2024") == pieces


@pytest.mark.parametrize("normalization", ["identity", "nfc", "nfkc", "nmt_nfkc"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_exports_say_in_python_what_is_done_to_the_source(
    normalization: Normalization, lowercase: bool
) -> None:
    form = TextForm(normalization, lowercase)
    for text in [*WORDS.values(), *CAPITALS]:
        line = text
        for expression in form.as_python("line"):
            line = eval(
                expression,
                {"line": line, "unicodedata": unicodedata, "sentencepiece": sentencepiece},
            )
        assert plain(form.restore(form.read(text))) == plain(line)


# Models of other tools, and of before


def spm_train(**options: object) -> bytes:
    """A model as spm_train makes it from the words."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*WORDS.values()] * 2),
        model_writer=model,
        hard_vocab_limit=False,
        minloglevel=4,
        **{"vocab_size": 2_500, **options},
    )
    return model.getvalue()


T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
MARIAN = {"pad_id": -1, "eos_id": 0, "unk_id": 1, "bos_id": -1, "byte_fallback": True}
NAMES = {"unk_piece": "[UNK]", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}
USER = {"user_defined_symbols": ["<sep>", "@@", "½"], "control_symbols": ["<mask>"]}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model_type": "bpe"},
        {"model_type": "char"},
        {"model_type": "word"},
        T5,
        MARIAN,
        NAMES,
        MARIAN | {"model_type": "bpe"} | USER | NAMES,
        {"pad_id": 3, "byte_fallback": True, "character_coverage": 0.98} | USER,
        {"pad_id": 3, "bos_id": -1, "normalization_rule_name": "identity"},
        {"add_dummy_prefix": False, "remove_extra_whitespaces": False},
    ],
    ids=str,
)
def test_any_sentencepiece_model_cuts_as_it_did(options: dict[str, object]) -> None:
    model = spm_train(**options)
    original = sentencepiece.SentencePieceProcessor(model_proto=model)
    found = Tokenizer(model)
    assert found.vocabulary[:4] == list(symbols.PIECES.values())
    assert len(set(found.vocabulary)) == len(found)
    renamed = {original.unk_id(): "<unk>"}
    lines = [*WORDS.values(), "a <sep> b@@c ½ <mask> <s> </s> <pad> <unk>", "Ω漢 😀", ""]
    for line in lines:
        ids = original.encode(line.replace("\u2581", " "))
        pieces = [renamed.get(number) or original.id_to_piece(number) for number in ids]
        assert found.encode_as_pieces(line) == pieces
        if original.unk_id() not in ids:
            assert found.decode(found.encode([line])) == [original.decode(ids).strip(" ")]
    assert Tokenizer(found.model).model == found.model
    score = original.get_score(original.piece_to_id(pieces_of(found)))
    again = sentencepiece.SentencePieceProcessor(model_proto=found.model)
    assert again.get_score(again.piece_to_id(pieces_of(found))) == score


def test_a_piece_with_the_name_of_a_missing_symbol_makes_way_for_it() -> None:
    found = Tokenizer(spm_train(**T5, user_defined_symbols=["<s>"]))
    assert found.vocabulary[:4] == list(symbols.PIECES.values())
    assert len(set(found.vocabulary)) == len(found)


def test_a_model_without_a_type_is_a_unigram_model_and_can_be_sampled() -> None:
    """The type that SentencePiece does not write since it is the usual one."""
    found = Tokenizer(spm_train())
    assert isinstance(found.word_sampler(0.1), UnigramSampler)


def pieces_of(tokenizer: Tokenizer) -> str:
    """The last piece of a vocabulary."""
    return tokenizer.vocabulary[-1]


def test_a_model_that_normalises_by_rules_of_its_own_does_so_as_before() -> None:
    model = spm_train(normalization_rule_name="nmt_nfkc_cf", pad_id=0, unk_id=1, bos_id=2, eos_id=3)
    found = Tokenizer(model)
    assert found.model == model
    original = sentencepiece.SentencePieceProcessor(model_proto=model)
    for side in (found, found.for_side("source")):
        assert side.encode([*WORDS.values()]) == original.encode([*WORDS.values()])
    assert found.decode(found.encode(["می‌روم，▁½"])) == ["می روم, 1⁄2"]
