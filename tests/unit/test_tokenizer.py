"""The promises of the tokenizer about its training, its files and its pipes."""

import math
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seq2seq_cli import symbols
from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.tokenization import learning
from seq2seq_cli.tokenization.language_tags import split_languages
from seq2seq_cli.tokenization.learning import automatic_vocabulary_size, train_tokenizer
from seq2seq_cli.tokenization.subwords import UnigramSampler
from seq2seq_cli.tokenization.tokenizer import Tokenizer

NOUNS = ["woman", "man", "dog", "reader", "Straße", "Übung"]
VERBS = ["sees", "reads", "likes", "finds"]
CORPUS = [f"the {a} {verb} the old {b} ." for a in NOUNS for verb in VERBS for b in NOUNS]


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return train_tokenizer(CORPUS, TokenizerSettings()).tokenizer


def train(*lines: str, size: int = 60, **settings: object) -> Tokenizer:
    """A tokenizer of the corpus and more lines."""
    chosen = TokenizerSettings(size, **settings)  # type: ignore[arg-type]
    return train_tokenizer([*CORPUS, *lines], chosen).tokenizer


# --- training


@pytest.mark.parametrize("model_type", ["unigram", "bpe", "char", "word"])
def test_separate_processes_train_the_same_bytes(model_type: str) -> None:
    script = (
        "import os, sys\n"
        "processors = sorted(os.sched_getaffinity(0))[: int(sys.argv[1])]\n"
        "os.sched_setaffinity(0, processors)\n"
        "from seq2seq_cli.tokenization.learning import train_tokenizer\n"
        "from seq2seq_cli.config.tokenizer import TokenizerSettings\n"
        f"trained = train_tokenizer({CORPUS!r}, TokenizerSettings(90, {model_type!r}))\n"
        "print(trained.tokenizer.sha256)"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script, processors],
            env={**os.environ, "PYTHONHASHSEED": processors},
            capture_output=True,
            text=True,
            check=True,
        )
        for processors in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64
    assert not runs[0].stderr


def test_control_symbols_have_their_ids_and_the_size_is_as_requested() -> None:
    found = train(size=35)
    assert len(found) == len(found.vocabulary) == 35
    assert found.vocabulary[:4] == list(symbols.PIECES.values())


@pytest.mark.parametrize("model_type", ["unigram", "bpe", "word"])
def test_a_vocabulary_too_large_is_reduced_and_the_notes_say_so(model_type: str) -> None:
    result = train_tokenizer(CORPUS, TokenizerSettings(30_000, model_type))  # type: ignore[arg-type]
    assert result.notes == [
        f"vocabulary size: reduced from 30,000 to {len(result.tokenizer)}; "
        "the text has no more pieces"
    ]


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_vocabulary_too_small_is_raised_and_the_notes_say_so(model_type: str) -> None:
    result = train_tokenizer(CORPUS, TokenizerSettings(8, model_type))  # type: ignore[arg-type]
    characters = {*"".join(CORPUS)} - {" "}
    assert len(result.tokenizer) == len(characters) + 1 + len(symbols.PIECES)  # 1: the space
    assert f"raised from 8 to {len(result.tokenizer)}" in result.notes[0]
    assert all(symbols.UNK not in ids for ids in result.tokenizer.encode(CORPUS))


def test_auto_notes_its_size_and_the_reason() -> None:
    result = train_tokenizer(CORPUS * 14, TokenizerSettings(), sides=2)
    assert "1,000 pieces for 1,008 sentences" in result.notes[0]
    assert "Sennrich & Zhang 2019" in result.notes[0]


@pytest.mark.parametrize(
    ("sentences", "size"),
    [
        (0, 500),
        (100, 500),
        (5_000, 2_000),
        (29_000, 4_000),
        (500_000, 8_000),
        (1_000_000, 8_000),
        (4_500_000, 32_000),
        (10**9, 32_000),
    ],
)
def test_automatic_sizes_go_through_the_published_points(sentences: int, size: int) -> None:
    assert automatic_vocabulary_size(sentences) == size


def test_auto_takes_every_character_of_a_character_model() -> None:
    result = train_tokenizer(["漢字 かな"], TokenizerSettings(model_type="char"))
    assert result.tokenizer.decode(result.tokenizer.encode(["字漢 なか"])) == ["字漢 なか"]
    assert result.notes == ["vocabulary size: a piece for every character of the text"]


@pytest.mark.parametrize("long", ["x" * 100_000 + "QJ", "zu " * 40_000 + "QJ", "漢" * 5_000 + "QJ"])
def test_long_lines_are_learned_from_as_a_whole(long: str) -> None:
    assert symbols.UNK not in train(long).encode([long])[0]


def test_words_always_followed_by_a_space_become_pieces(trained: Tokenizer) -> None:
    assert trained.encode_as_pieces("the woman likes dog .") == [
        "▁the",
        "▁woman",
        "▁likes",
        "▁dog",
        "▁.",
    ]


def test_reflowed_text_keeps_every_word_in_its_order() -> None:
    lines = ["ab cde  ab cde\u3000"] * 1_000 + ["f" * 2_500, "", "漢字 ab"]
    reflowed = list(learning._reflow(lines))
    assert "".join("".join(reflowed).split()) == "".join("".join(lines).split())
    assert max(map(len, reflowed)) <= 1_000
    assert reflowed[:2] == ["ab", "cde"]


def test_the_seed_decides_which_of_too_many_lines_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "SAMPLED_CHARACTERS", 900)
    results = [train_tokenizer(CORPUS, TokenizerSettings(60, seed=seed)) for seed in (1, 1, 2)]
    assert re.fullmatch(
        r"learned from \d\d of 144 lines, drawn at random \(seed 1\)", results[0].notes[0]
    )
    same, again, other = (result.tokenizer.sha256 for result in results)
    assert same == again != other


@pytest.mark.parametrize("lines", [[], [""], ["", " \t", "\x00\u2028"]])
def test_text_without_words_is_an_error(lines: list[str]) -> None:
    with pytest.raises(InputError, match="no lines, or only blank ones"):
        train_tokenizer(lines, TokenizerSettings())


def test_settings_out_of_range_are_errors_that_say_what_is_allowed() -> None:
    with pytest.raises(InputError, match="vocabulary_size = 4: 5 to"):
        TokenizerSettings(4)
    with pytest.raises(InputError, match=r'coverage = 0.9: 0.98 to 1, or "auto" is'):
        TokenizerSettings(character_coverage=0.9)


def test_lowercase_folds_text() -> None:
    found = train(lowercase=True)
    assert found.decode(found.encode(["THE Übung"])) == ["the übung"]


# --- text to ids and back


@pytest.mark.parametrize("space", list("\x00\t\r\n\x0b\x0c\x1c\x7f\x85\u2028\u2029\ufdd0\ud800"))
def test_characters_that_are_not_text_act_as_a_space(trained: Tokenizer, space: str) -> None:
    assert trained.encode([f"{space}the{space}{space}dog{space}"]) == trained.encode(["the dog"])


@pytest.mark.parametrize("name", symbols.PIECES.values())
def test_names_of_control_symbols_are_text(name: str) -> None:
    found = train(f"the {name} x{name}y", "U+2581 \u2581 in the text")
    [ids] = found.encode([f"x{name}y {name}"])
    assert min(ids) > max(symbols.PIECES)
    assert found.decode([ids]) == [f"x{name}y {name}"]


def test_lines_with_reserved_characters_are_learned_from() -> None:
    line = "Q\u2585J K\u2581W \u2581 ▁▂▃▄▅▆▇█"
    found = train(line, "Z\tY")
    assert found.decode(found.encode([line, "Z Y"])) == [line, "Z Y"]


def test_unknown_characters_are_shown_where_they_were(trained: Tokenizer) -> None:
    [ids] = trained.encode(["the 漢 d漢g"])
    assert ids.count(symbols.UNK) == 2
    assert trained.decode([ids]) == ["the ⁇ d⁇g"]
    assert "<unk>" in trained.encode_as_pieces("漢")


def test_control_ids_leave_no_trace(trained: Tokenizer) -> None:
    [ids] = trained.encode(["the dog ."])
    padded = [symbols.BOS, *ids, symbols.EOS, symbols.PAD, symbols.PAD]
    assert trained.decode([padded, [], [symbols.EOS]]) == ["the dog .", "", ""]
    assert trained.decode([]) == trained.encode([]) == []


def test_pieces_come_back_and_an_unknown_one_is_an_error(trained: Tokenizer) -> None:
    assert trained.decode_pieces(trained.encode_as_pieces("the old dog .")) == "the old dog ."
    with pytest.raises(InputError, match='"foo" is not a piece of this vocabulary'):
        trained.decode_pieces(["foo"])


def test_the_number_of_threads_changes_nothing(trained: Tokenizer) -> None:
    assert trained.encode(CORPUS, threads=1) == trained.encode(CORPUS, threads=2)


# --- files


def test_a_saved_model_loads_as_it_was(tmp_path: Path, trained: Tokenizer) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(trained.model)
    loaded = Tokenizer.load(path)
    assert loaded.sha256 == trained.sha256 == Tokenizer.from_bytes(trained.model).sha256
    assert loaded.encode(CORPUS) == trained.encode(CORPUS)


def test_a_damaged_model_is_an_error_that_names_the_file(
    tmp_path: Path, trained: Tokenizer, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.model"
    pieces_end = trained.model.rindex(b"identity")
    cuts = [*range(pieces_end), *range(pieces_end, len(trained.model), 9_973)]
    damaged = [trained.model[:cut] for cut in cuts]
    for model in [*damaged, b"garbage", b"\x00" * 100, os.urandom(1_000)]:
        path.write_bytes(model)
        with pytest.raises(InputError, match=r"broken\.model is not a SentencePiece model"):
            Tokenizer.load(path)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_and_a_directory_are_errors(tmp_path: Path, trained: Tokenizer) -> None:
    (tmp_path / "joint.model").write_bytes(trained.model)
    with pytest.raises(InputError, match=r"no such file; did you mean .*joint\.model"):
        Tokenizer.load(tmp_path / "jiont.model")
    with pytest.raises(InputError, match=r"is a directory.*did you mean .*joint\.model"):
        Tokenizer.load(tmp_path)


# --- commands


def run(*words: object, lines: str = "") -> str:
    """Run `seq2seq tokenizer` in this process; returns its stdout."""
    from seq2seq_cli.cli.tokenizer import app

    result = CliRunner().invoke(app, [str(word) for word in words], input=lines)
    if isinstance(result.exception, Seq2seqError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.en"
    path.write_text("".join(f"{line}\n" for line in CORPUS), encoding="utf-8")
    return path


@pytest.fixture
def model(tmp_path: Path, trained: Tokenizer) -> Path:
    path = tmp_path / "en.model"
    path.write_bytes(trained.model)
    return path


@pytest.mark.parametrize("ids", [[], ["--ids"]])
def test_pipes_write_a_line_for_each_line(model: Path, ids: list[str]) -> None:
    lines = ["the dog .", "", "the\x00\u2028man\x0c", " ", "the old man .", "漢"]
    encoded = run("encode", model, *ids, lines="\n".join(lines))
    assert encoded.count("\n") == len(lines)
    assert run("decode", model, *ids, lines=encoded) == "the dog .\n\nthe man\n\nthe old man .\n⁇\n"


def test_a_line_is_encoded_as_either_side_reads_it(corpus: Path, tmp_path: Path) -> None:
    model = tmp_path / "sides.model"
    run("train", corpus, "-o", model, "--target-normalization", "nfc", "--casing", "inline")
    plain, wide = (
        run("encode", model, "--side", "source", lines=f"{x}\n") for x in ("dog", "ｄｏｇ")
    )
    assert plain == wide != run("encode", model, lines="ｄｏｇ\n")
    assert run("encode", model, lines="U\u0308bung\n") == run("encode", model, lines="Übung\n")
    assert run("encode", model, lines="DOG\n") == plain.replace("\n", " ⇪\n")


def test_pipes_read_and_write_files(model: Path, corpus: Path, tmp_path: Path) -> None:
    pieces = tmp_path / "pieces"
    assert run("encode", model, "-i", corpus, "-o", pieces) == ""
    assert run("decode", model, "-i", pieces) == corpus.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="is both input and output"):
        run("decode", model, "-i", pieces, "-o", pieces)


def test_a_single_line_is_answered_while_the_pipe_stays_open(model: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "seq2seq_cli", "tokenizer", "encode", model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("the dog .\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("▁the")


@pytest.mark.parametrize("bad", ["9999", "-1", "1.5", "x", "1_0"])
def test_an_invalid_id_is_an_error_that_names_the_line(model: Path, bad: str) -> None:
    with pytest.raises(InputError, match=rf'standard input, line 2: "{bad}" is not an id'):
        run("decode", model, "--ids", lines=f"4 5\n6 {bad}\n")


def test_an_unknown_piece_is_an_error_that_names_the_line(model: Path) -> None:
    with pytest.raises(InputError, match='standard input, line 3: "foo" is not a piece'):
        run("decode", model, lines="▁the\n\n▁the foo\n")


def test_train_overwrites_only_by_force(corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.model"
    run("train", corpus, corpus, "-o", output, "--vocab-size", 50, "--model-type", "bpe")
    first = output.read_bytes()
    assert len(Tokenizer.load(output)) == 50
    assert corpus.name.encode() not in first  # nor any other path: the bytes depend on the text
    with pytest.raises(InputError, match="exists; choose another --output, or add --force"):
        run("train", corpus, "-o", output)
    assert output.read_bytes() == first
    run("train", corpus, "-o", output, "--force")
    assert output.read_bytes() != first


def test_train_checks_that_it_can_write_its_output(corpus: Path, tmp_path: Path) -> None:
    for output, message in [
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "x.model", "does not exist"),
        (corpus, "is both a text to learn from and the --output"),
    ]:
        with pytest.raises(InputError, match=message):
            run("train", corpus, "-o", output, "--force")


def test_train_names_the_allowed_values_of_an_option(corpus: Path, tmp_path: Path) -> None:
    output = ("-o", tmp_path / "x.model")
    with pytest.raises(InputError, match='"many": a whole number or "auto" is allowed'):
        run("train", corpus, *output, "--vocab-size", "many")
    with pytest.raises(InputError, match='did you mean "unigram"'):
        run("train", corpus, *output, "--model-type", "unigramm")


def test_help_shows_the_defaults_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from seq2seq_cli.cli.tokenizer import app

    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 240)  # read once, when it is imported
    shown = CliRunner().invoke(app, ["train", "--help"], env={"NO_COLOR": "1"}).output
    settings = TokenizerSettings()
    for default in (
        settings.vocabulary_size,
        settings.model_type,
        f"{settings.character_coverage}: 1, or 0.9995 with bytes",
        f"{settings.byte_fallback}: from 8,000 pieces",
        settings.casing,
        settings.seed,
    ):
        assert f"[default: ({default})]" in shown


def test_the_command_imports_sentencepiece_only_when_it_runs() -> None:
    script = "import sys, seq2seq_cli.cli.tokenizer; sys.exit('sentencepiece' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_sampled_tokens_are_other_segmentations_of_the_same_text(model_type: str) -> None:
    found = train(model_type=model_type)
    ids = found.encode(CORPUS)
    sampler = found.word_sampler(0.2)
    drawn = [found.resample(each, sampler, random.Random(5)) for each in ids]
    assert drawn != ids
    assert found.decode(drawn) == found.decode(ids)
    assert drawn == [found.resample(each, sampler, random.Random(5)) for each in ids]
    assert drawn != [found.resample(each, sampler, random.Random(6)) for each in ids]
    unknown = [symbols.UNK, *ids[0], symbols.UNK, *ids[1]]
    again = found.resample(unknown, sampler, random.Random(5))
    assert found.decode([again]) == found.decode([unknown])


def test_merges_are_skipped_with_their_probability() -> None:
    found = train(model_type="bpe")
    ids = found.encode(CORPUS)
    none, all_ = found.word_sampler(0.0), found.word_sampler(1.0)
    assert [found.resample(each, none, random.Random(1)) for each in ids] == ids
    letters = found.ids_to_pieces(found.resample(ids[0], all_, random.Random(1)))
    assert {len(piece) for piece in letters} == {1}


def test_segmentations_are_drawn_by_the_probabilities_of_their_pieces() -> None:
    ids = {"ab": 4, "a": 5, "b": 6, "abc": 7, "c": 8, "bc": 9}
    scores = {"ab": -1.0, "a": -2.0, "b": -2.5, "abc": -4.0, "c": -1.5, "bc": -3.0}
    alpha = 0.5
    segmentations = [("ab", "c"), ("a", "b", "c"), ("abc",), ("a", "bc")]
    weights = [math.exp(alpha * sum(scores[piece] for piece in each)) for each in segmentations]
    sampler, generator = UnigramSampler(ids, scores, alpha), random.Random(1)
    drawn = Counter(tuple(sampler.sample("abc", generator) or ()) for _ in range(20_000))
    for each, weight in zip(segmentations, weights, strict=True):
        share = drawn[tuple(ids[piece] for piece in each)] / 20_000
        assert share == pytest.approx(weight / sum(weights), abs=0.015)
    assert sampler.sample("abd", generator) is None


def test_tokenizers_with_one_segmentation_cannot_sample() -> None:
    for model_type in ("char", "word"):
        with pytest.raises(InputError, match=f"type {model_type} cannot; unigram and bpe can"):
            train(model_type=model_type).word_sampler(0.1)


def test_a_tag_is_one_symbol_at_the_beginning_of_a_line_and_text_elsewhere() -> None:
    tagged = [f"<2de> {line}" for line in CORPUS]
    found = train_tokenizer(tagged, TokenizerSettings(80, languages=("de", "pt-BR"))).tokenizer
    assert set(found.tags) == {"de", "pt-BR"}
    plain, with_tag = found.encode(CORPUS), found.encode(tagged)
    assert with_tag == [[found.tags["de"], *ids] for ids in plain]
    assert found.decode(with_tag) == found.decode(plain)
    [other] = found.encode([" <2pt-BR>  the dog"])
    assert other[0] == found.tags["pt-BR"]
    for form in (">>de<< {}", " >>de<<{}"):  # of OPUS-MT
        assert found.encode([form.format(line) for line in CORPUS]) == with_tag
    assert split_languages("<2de> >>en<< <2x> a") == ("de", "en", "<2x> a")
    assert split_languages("<2de> <2en> a", {"de"}, {"fr"}) == ("de", "", "<2en> a")
    assert split_languages("<2de> a", {"fr"}) == ("", "", "<2de> a")
    for line in ("the <2de> dog", "<2fr> dog", "<2de>dog"):
        assert not set(found.encode([line])[0]) & set(found.tags.values())
    assert found.encode(["<2de>", "<2de> \x00", ""]) == [[], [], []]
    sampler = found.word_sampler(0.2)
    assert found.resample(with_tag[0], sampler, random.Random(1))[0] == found.tags["de"]
    with pytest.raises(InputError, match=r'tokenizer\.languages has "a b"'):
        TokenizerSettings(languages=("a b",))


def test_train_learns_from_columns_as_from_files(corpus: Path, tmp_path: Path) -> None:
    lines = corpus.read_text(encoding="utf-8").splitlines()
    table = tmp_path / "corpus.tsv"
    table.write_text("".join(f"{number}\t{line}\n" for number, line in enumerate(lines)))
    models = [tmp_path / name for name in ("files.model", "columns.model")]
    for text, model in zip((corpus, f"{table}:2"), models, strict=True):
        run("train", text, "-o", model, "--model-type", "char")
    assert models[0].read_bytes() == models[1].read_bytes()
