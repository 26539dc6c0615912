"""A foreign vocabulary in our order cuts and joins text as it did, and comes out as it went in."""

import io
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from seq2seq_cli.config.models import Vocabulary
from seq2seq_cli.config.tokenizer import ModelType, TokenizerSettings
from seq2seq_cli.errors import InputError
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import BOS, NEVER, UNK
from seq2seq_cli.tokenization.exported_vocabulary import (
    HUGGINGFACE_MARIAN,
    MARIAN_SPM,
    export_vocabulary,
)
from seq2seq_cli.tokenization.foreign_vocabulary import (
    ZEROS,
    ForeignVocabulary,
    ImportedVocabulary,
    import_vocabularies,
    piece_names,
)
from seq2seq_cli.tokenization.learning import train_tokenizer
from seq2seq_cli.tokenization.text_form import SIDES
from seq2seq_cli.tokenization.tokenizer import Tokenizer

HOSTILE = [
    *"\x00\x01\x02\x07\x08\t\x0b\x0c\x1b\x7f\x85\xa0\xad",
    *"\u200b\u200c\u200d\u200e\u202e\u2028\u2029\u2060\ufeff\u3000\ufdd0\ufdd4\uffff\U0010ffff",
    *"▁▅⇧⇪⁇�",
    *"éèñüßİıﬁ①²½ªＡｂ",
    *"e\u0301\u0308\u0327",
    *"العربيةלשוןไทยहिन्दी",
    *"中文汉字かなカナ한국어",
    *"😀👍🏽👨‍👩‍👧🇩🇪",
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    "<0x41>",
    "<0xE2>",
    "__source__",
    "▁the",
    "<2de>",
    "⁇",
    "  ",
    "\t ",
    "▁▁",
]
WORDS = ["the", "a", "man", "house", "sleeps", "committee", "approved", "das", "Haus", "größer"]


def hostile_lines(count: int, seed: int) -> list[str]:
    """Lines of words, single characters and what looks like pieces, some of them long."""
    draw = random.Random(seed)
    lines = ["", " ", "▁", "a\u0301" * 50, "x" * 3000, "the " * 1500]
    while len(lines) < count:
        size = draw.choice((1, 2, 5, 10, 30))
        parts = []
        for _ in range(size):
            kind = draw.random()
            if kind < 0.5:
                parts.append(draw.choice(WORDS))
            elif kind < 0.85:
                parts.append(draw.choice(HOSTILE))
            else:
                parts.append(
                    chr(draw.choice((draw.randrange(32, 0xD800), draw.randrange(0x1F000, 0x1FB00))))
                )
        lines.append(draw.choice(("", " ")).join(parts))
    return lines


def learned(kind: str, *, seed: int, size: int, **options: object) -> bytes:
    """A SentencePiece model of made-up words, with Marian's ids of symbols."""
    draw = random.Random(seed)
    letters = "abcdefghiklmnoprstuwäöüéß中文العربية"
    words = ["".join(draw.choices(letters, k=draw.randrange(2, 8))) for _ in range(300)]
    lines = [" ".join(draw.choices([*words, *WORDS], k=12)) for _ in range(500)]
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type=kind,
        vocab_size=size,
        hard_vocab_limit=False,
        minloglevel=4,
        num_threads=1,
        **{"eos_id": 0, "unk_id": 1, "bos_id": -1, **options},
    )
    return model.getvalue()


KINDS = {
    "unigram": {"kind": "unigram", "size": 500},
    "unigram, bytes": {
        "kind": "unigram",
        "size": 700,
        "byte_fallback": True,
        "character_coverage": 0.98,
        "user_defined_symbols": ["__source__", "__target__"],
    },
    "bpe": {"kind": "bpe", "size": 500, "normalization_rule_name": "nfkc"},
    "bpe, bytes": {
        "kind": "bpe",
        "size": 700,
        "byte_fallback": True,
        "character_coverage": 0.98,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
    },
}


@pytest.fixture(scope="module", params=KINDS)
def models(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    """SentencePiece models of a source and a target, of one kind."""
    options = KINDS[request.param]
    return learned(seed=1, **options), learned(seed=2, **options)  # type: ignore[arg-type]


def loaded(model: bytes) -> SentencePieceProcessor:
    processor = SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return processor


def shuffled(pieces: Sequence[str], seed: int) -> list[str]:
    """Pieces as a list of a model has them: in any order."""
    pieces = sorted(set(pieces))
    random.Random(seed).shuffle(pieces)
    return pieces


def vocabulary(pieces: Sequence[str], model: bytes) -> ForeignVocabulary:
    ids = {piece: number for number, piece in enumerate(pieces)}
    return ForeignVocabulary(pieces, model, ids["</s>"], ids["<unk>"], ids.get("<pad>"))


def in_foreign_ids(tokenizer: Tokenizer, numbers: np.ndarray, lines: list[str]) -> list[list[int]]:
    return [[int(numbers[each]) for each in ids] for ids in tokenizer.encode(lines)]


def check_side(
    made: ImportedVocabulary, foreign: ForeignVocabulary, side: str, lines: list[str]
) -> None:
    """Check that a side cuts lines and joins ids as the foreign model does."""
    tokenizer: Tokenizer = getattr(made, side)
    numbers = getattr(made, f"{side}_rows").numbers
    cut = in_foreign_ids(tokenizer, numbers, lines)
    ids = {piece: number for number, piece in enumerate(foreign.pieces)}
    processor = loaded(foreign.model)
    for line, found in zip(lines, cut, strict=True):
        expected = [ids.get(piece, foreign.unk) for piece in processor.EncodeAsPieces(line)]
        assert found == expected, repr(line)
    spaces = tokenizer._collapses_spaces
    for line, ours in zip(lines, tokenizer.encode(lines), strict=True):
        known = [number for number in ours if number != UNK]
        pieces = [foreign.pieces[int(numbers[number])] for number in known]
        expected = processor.DecodePieces(pieces)
        written = tokenizer.decode([known])[0]
        if spaces:
            expected = " ".join(filter(None, expected.split(" ")))
        assert written == without_controls(expected, spaces), repr(line)
        assert len(tokenizer.spans(line)) == len(ours), repr(line)


def without_controls(line: str, collapses: bool) -> str:
    line = re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", line)
    return " ".join(filter(None, line.split(" "))) if collapses else line


def test_a_shuffled_joint_list_with_two_segmentations(models: tuple[bytes, bytes]) -> None:
    lost = set(random.Random(5).sample(piece_names(models[0])[10:], 30))
    given = {*piece_names(models[0]), *piece_names(models[1])} - lost
    pieces = [*shuffled([*given, ">>fra<<", ">>cmn_Hans<<", "in neither"], 3), "<pad>"]
    sides = [vocabulary(pieces, model) for model in models]
    made = import_vocabularies(*sides, start=len(pieces) - 1, joint=True)
    assert made.source.vocabulary == made.target.vocabulary
    assert len(made.source) == len(made.source_rows) == len(pieces) + 1  # BOS
    lines = hostile_lines(2000, 4)
    check_side(made, sides[0], "source", lines)
    check_side(made, sides[1], "target", lines)
    assert made.source.tags.keys() == {"fra", "cmn_Hans"}
    ids = np.random.default_rng(6).integers(len(pieces), size=(500, 12))
    ours = {int(number): index for index, number in enumerate(made.target_rows.numbers)}
    check_written(
        made.target, sides[1], [[each for each in row if each in ours] for row in ids], ours
    )


def check_written(
    tokenizer: Tokenizer,
    foreign: ForeignVocabulary,
    sentences: Sequence[Sequence[int]],
    ours: dict[int, int],
) -> None:
    """Check that any ids are joined as the foreign model does it, apart from symbols."""
    texts = {
        number: piece
        for number, piece in enumerate(foreign.pieces)
        if piece not in ("<unk>", "</s>", "<pad>", "<s>") and ">>" not in piece
    }
    sentences = [[each for each in sentence if each in texts] for sentence in sentences]
    written = tokenizer.decode([[ours[each] for each in sentence] for sentence in sentences])
    processor = loaded(foreign.model)
    for sentence, line in zip(sentences, written, strict=True):
        expected = processor.DecodePieces([texts[each] for each in sentence]).replace("▁", " ")
        found, expected = (without_controls(each, True) for each in (line, expected))
        assert found == expected, sentence


def test_separate_vocabularies_that_take_their_ids_from_the_models(
    models: tuple[bytes, bytes],
) -> None:
    sides = [ForeignVocabulary.of_model(model) for model in models]
    made = import_vocabularies(*sides, start=None, joint=False)
    assert len(made.target) == len(loaded(models[1])) + 2  # PAD and BOS
    assert list(made.target_rows.numbers[:4]) == [ZEROS, 1, ZEROS, 0]
    assert list(made.target_rows.never[:5]) == [True, False, True, False, False]
    lines = hostile_lines(300, 7)
    check_side(made, sides[0], "source", lines)
    check_side(made, sides[1], "target", lines)


def test_what_is_exported_is_what_was_imported(models: tuple[bytes, bytes]) -> None:
    lost = set(random.Random(5).sample(piece_names(models[0])[10:], 30))
    given = {*piece_names(models[0]), *piece_names(models[1])} - lost - {"</s>", "<unk>"}
    pieces = ["</s>", "<unk>", *shuffled([*given, ">>fra<<"], 3), "<pad>"]
    sides = [vocabulary(pieces, model) for model in models]
    made = import_vocabularies(*sides, start=len(pieces) - 1, joint=True)
    lines = hostile_lines(300, 8)
    for side, tokenizer, foreign in (
        ("source", made.source, sides[0]),
        ("target", made.target, sides[1]),
    ):
        out = export_vocabulary(tokenizer, side, HUGGINGFACE_MARIAN)
        assert out.pieces == pieces
        assert not out.rows.need_bias
        assert np.array_equal(
            made.source_rows.of(np.arange(len(pieces)))[out.rows.numbers], range(len(pieces))
        )
        before, after = loaded(foreign.model), loaded(out.model)
        for line in lines:
            assert after.EncodeAsPieces(line) == before.EncodeAsPieces(line), repr(line)
        cut = [before.EncodeAsPieces(line) for line in lines]
        assert [after.DecodePieces(each) for each in cut] == [
            before.DecodePieces(each) for each in cut
        ]


def test_ids_of_an_exported_model_are_those_of_the_rows(models: tuple[bytes, bytes]) -> None:
    sides = [ForeignVocabulary.of_model(model) for model in models]
    made = import_vocabularies(*sides, start=None, joint=False)
    out = export_vocabulary(made.target, "target", MARIAN_SPM)
    assert piece_names(out.model) == piece_names(models[1]) == out.pieces
    assert [loaded(out.model).eos_id(), loaded(out.model).unk_id()] == [0, 1]
    for line in hostile_lines(300, 9):
        assert loaded(out.model).Encode(line) == loaded(models[1]).Encode(line), repr(line)
    again = import_vocabularies(
        *[ForeignVocabulary.of_model(out.model)] * 2, start=None, joint=False
    )
    assert again.target.model == made.target.model


def test_rows_give_matrices_and_a_bias_in_our_order() -> None:
    model = learned("unigram", seed=1, size=100)
    names = piece_names(model)
    # NLLB's order: symbols of its own in front, pieces behind them, then codes of languages.
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *names[2:], "fra_Latn", "<mask>"]
    foreign = ForeignVocabulary(
        pieces, model, eos=2, unk=3, pad=1, bos=0, tags={len(pieces) - 2: "fra_Latn"}
    )
    made = import_vocabularies(foreign, foreign, start=2, joint=True)
    assert made.source.shares_vocabulary(made.target)
    assert list(made.source_rows.numbers[:6]) == [1, 3, 2, 2, 0, 4]
    matrix = np.random.default_rng(1).normal(size=(len(pieces), 3)).astype(np.float16)
    ours = made.source_rows.of(matrix)
    assert ours.dtype == np.float16
    assert np.array_equal(ours[BOS], matrix[2])
    tag = made.source.tags["fra_Latn"]
    assert made.source.vocabulary[tag] == "<2fra_Latn>"
    assert np.array_equal(ours[tag], matrix[-2])
    bias = made.target_rows.bias()
    assert [int(each) for each in np.flatnonzero(bias == np.float32(NEVER))] == [BOS]
    assert made.target.decode([[4, 5, 6, tag, tag + 1]])[0].endswith("<mask>")


def test_ids_beyond_the_list_and_two_lists_for_one_matrix_are_refused() -> None:
    model = learned("unigram", seed=1, size=100)
    foreign = ForeignVocabulary.of_model(model)
    other = ForeignVocabulary(foreign.pieces[:-1], model, 0, 1)
    with pytest.raises(InputError, match="different models"):
        import_vocabularies(foreign, other, start=500, joint=False)
    with pytest.raises(InputError, match="different pieces"):
        import_vocabularies(foreign, other, start=None, joint=True)
    with pytest.raises(InputError, match="not a SentencePiece model"):
        ForeignVocabulary.of_model(model[: len(model) // 2])


def test_tokenizers_of_one_list_are_joint_with_two_segmentations(
    models: tuple[bytes, bytes], tmp_path: Path
) -> None:
    pieces = shuffled([*piece_names(models[0]), *piece_names(models[1])], 3)
    made = import_vocabularies(
        *[vocabulary(pieces, model) for model in models], start=None, joint=True
    )
    tokenizers = Tokenizers(made.source, made.target, made.joint)
    assert tokenizers.vocabulary == Vocabulary(len(made.source), len(made.source), True)
    tokenizers.save(tmp_path)
    hashes = {name: each.sha256 for name, each in tokenizers.files().items()}
    assert hashes.keys() == {"source.model", "target.model"}
    loaded = Tokenizers.load(tmp_path, hashes, joint=True)
    assert loaded.vocabulary == tokenizers.vocabulary
    # Runs that learned two matrices keep them, even if their pieces happen to be the same.
    assert not Tokenizers.load(tmp_path, hashes, joint=False).is_joint
    with pytest.raises(InputError, match="different pieces"):
        Tokenizers(Tokenizer(models[0]), Tokenizer(models[1]), joint=True)


def test_unknown_text_that_is_a_piece_of_the_other_side_has_its_id() -> None:
    source, target = (_of_letters(letters) for letters in ("abcde", "abcdß"))
    pieces = shuffled([*piece_names(source), *piece_names(target)], 3)
    made = import_vocabularies(
        *[vocabulary(pieces, model) for model in (source, target)], start=None, joint=True
    )
    lines = ["aßb", "ßß", "ß e", "eß", "e ß é", "abßcde ß"]
    check_side(made, vocabulary(pieces, source), "source", lines)
    assert "ß" in made.source.encode_as_pieces("aßb")
    assert "ß" not in made.source.encode_as_pieces("aßßb")  # one run of unknown text


def _of_letters(letters: str) -> bytes:
    draw, model = random.Random(1), io.BytesIO()
    lines = [" ".join("".join(draw.choices(letters, k=3)) for _ in range(9)) for _ in range(300)]
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=30, minloglevel=4
    )
    return model.getvalue()


@pytest.mark.parametrize(
    ("model_type", "options"),
    [
        ("unigram", {"byte_fallback": "on"}),
        ("bpe", {"source_normalization": "nmt_nfkc", "target_normalization": "nfkc"}),
        ("unigram", {"lowercase": "source", "languages": ("fr",), "user_symbols": ("<sep>",)}),
    ],
    ids=["bytes", "bpe", "lowercase"],
)
def test_a_tokenizer_of_ours_is_exported_with_its_rules_and_read_again(
    model_type: ModelType, options: dict[str, Any]
) -> None:
    words = ["ﬁne", "Ｈａｕｓ", "m²", *WORDS, "中文", "é", "e\u0301", "fort<sep>y"]
    draw = random.Random(1)
    texts = [" ".join(draw.choices(words, k=8)) for _ in range(300)]
    settings = TokenizerSettings(vocabulary_size=400, model_type=model_type, **options)
    ours = train_tokenizer(texts, settings).tokenizer
    lines = [line for line in hostile_lines(400, 3) if not re.search("[\ufdd0-\ufdef]", line)]
    plain = [line for line in texts if line.isprintable()]
    for side in SIDES:
        tokenizer = ours.for_side(side)
        out = export_vocabulary(tokenizer, side, MARIAN_SPM)
        exported = loaded(out.model)
        for line in plain:
            expected = tokenizer.encode([line])[0]
            found = [int(out.rows.numbers[each]) for each in exported.Encode(line)]
            assert found == expected or (out.notes and "ß" in line), line
        foreign = ForeignVocabulary.of_model(out.model)
        made = import_vocabularies(foreign, foreign, start=None, joint=True)
        again = getattr(made, side).for_side(side)
        ids = [int(number) for number in made.source_rows.numbers]
        for line in lines:
            found = [int(out.rows.numbers[ids[each]]) for each in again.encode([line])[0]]
            assert found == tokenizer.encode([line])[0], repr(line)
            known = [each for each in again.encode([line])[0] if each != UNK]
            before = [int(out.rows.numbers[ids[each]]) for each in known]
            assert again.decode([known]) == tokenizer.decode([before]), repr(line)
        if settings.languages:
            assert out.pieces[4 - 2] == ">>fr<<"
            assert again.tags == {"fr": again.tags["fr"]}


def test_marked_capitals_are_not_exported() -> None:
    settings = TokenizerSettings(vocabulary_size=60, casing="inline")
    ours = train_tokenizer(["Ab ab AB"] * 20, settings).tokenizer
    with pytest.raises(InputError, match="casing"):
        export_vocabulary(ours, "target", MARIAN_SPM)
