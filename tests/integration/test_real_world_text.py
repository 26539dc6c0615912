"""Commands on text as people have it, by subject."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from seq2seq_cli.runs.layout import WEIGHTS
from seq2seq_cli.tokenization.protobuf import FORMS_FIELD, raw_fields

# Characters


def test_a_run_writes_what_it_was_trained_on_and_says_if_a_setting_prevents_it(train):
    """Chinese punctuation, which NFKC replaces, on the target side."""
    for option, written in ((), True), (("--set", "tokenizer.target_normalization=nfkc"), False):
        command = train(max_updates=1, validate_every=1)
        for name in ("train.de", "valid.de"):
            path = command.folder / name
            path.write_text(path.read_text().replace(" ", "，").replace("\n", "。½\n"))
        done = command(*option, "--restart")
        assert done.code == 0, done.stderr
        text = (command.folder / "train.de").read_text()
        model = command.run / "tokenizer.model"
        pieces = command.seq2seq("tokenizer", "encode", model, stdin=text.encode()).stdout
        again = command.seq2seq("tokenizer", "decode", model, stdin=pieces).stdout
        assert (again.decode() == text) == written
        said = done.stderr.count(" lines of the target cannot be written as they are")
        assert said == (not written), done.stderr


def test_an_alignment_counts_the_words_of_the_source_as_it_is(seq2seq, trained, tmp_path):
    (tmp_path / "in.en").write_text("one\u00a0two three\u00a0. four\n")
    links = tmp_path / "links"
    done = seq2seq("translate", trained, "-i", tmp_path / "in.en", "--alignment", links)
    assert (done.code, done.stdout.decode()) == (0, "eins zwei drei . vier\n"), done.stderr
    found = [tuple(map(int, link.split("-"))) for link in links.read_text().split()]
    assert {source for source, _ in found} <= {0, 1, 2}
    assert {target for _, target in found} == {0, 1, 2, 3, 4}


def test_a_run_of_before_keeps_its_tokenizer_and_continues(train):
    command = train(max_updates=2, validate_every=2)
    done = command()
    assert done.code == 0, done.stderr
    # As older versions wrote them: a tokenizer without what it does to text, and fewer settings.
    path, settings = command.run / "tokenizer.model", command.run / "config.toml"
    model = path.read_bytes()
    old = b"".join(raw for field, raw in raw_fields(model) if field != FORMS_FIELD)
    path.write_bytes(old)
    text = settings.read_text().replace(*(hashlib.sha256(m).hexdigest() for m in (model, old)))
    for key in ("source_normalization", "target_normalization", "byte_fallback", "casing"):
        text = re.sub(rf"^{key} = .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(user_symbols|split_digits) = .*\n", "", text, flags=re.MULTILINE)
    settings.write_text(text.replace('character_coverage = "auto"', "character_coverage = 1.0"))
    resumed = command("--max-updates", "4")
    assert resumed.code == 0, resumed.stderr
    assert path.read_bytes() == old
    assert 'source_normalization = "nmt_nfkc"' in settings.read_text()


# Scores


def test_validation_of_chinese_counts_characters_and_a_resumed_run_keeps_its_tokenizer(train):
    command = train(max_updates=2, validate_every=2)
    for name in ("train.de", "valid.de"):
        path = command.folder / name
        text = path.read_text().replace(" ", "")
        path.write_text(text.translate({letter: 0x4E00 + letter for letter in range(97, 123)}))
    done = command()
    assert done.code == 0, done.stderr
    assert "validation: BLEU with the tokenizer zh, by the script of the targets" in done.stderr
    assert "|tok:zh|" in done.stderr
    settings = command.run / "config.toml"
    assert 'bleu_tokenize = "zh"' in settings.read_text()
    resumed = command("--max-updates", "4")
    assert (resumed.code, "|tok:zh|" in resumed.stderr) == (0, True), resumed.stderr
    # A run folder from before the setting was there goes on as it was validated: with 13a.
    settings.write_text(settings.read_text().replace('bleu_tokenize = "zh"\n', ""))
    old = command("--max-updates", "6")
    assert (old.code, "|tok:13a|" in old.stderr) == (0, True), old.stderr


# Unknown characters


def test_unknown_text_is_copied_and_said_once_and_for_each_line(seq2seq, trained):
    lines = ["one 日本語 three .", "two four", "😀", ""]
    stdin = "".join(f"{line}\n" for line in lines).encode()
    done = seq2seq("translate", trained, stdin=stdin)
    assert done.code == 0, done.stderr
    text = done.stdout.decode().split("\n")
    assert (text[2], text[3]) == ("😀", "")
    assert text[0].count("日本語") == 1
    assert done.stderr.count("warning") == 1
    assert "lines 1 and 3: the run has no pieces for up to 100% of the characters" in done.stderr
    assert "; both unknown parts were copied; --format jsonl" in done.stderr
    kept = seq2seq("translate", trained, "--unknown", "keep", stdin=stdin)
    assert "日本語" not in kept.stdout.decode()
    assert "neither unknown part was copied, as asked for" in kept.stderr
    asked = seq2seq("translate", trained, "--format", "jsonl", stdin=stdin)
    warnings = [json.loads(line)["warnings"] for line in asked.stdout.splitlines()]
    assert "25% of the characters: 日本語 (copied)" in warnings[0][0]
    assert warnings[1] == []


def test_a_model_without_attention_says_that_it_cannot_copy(seq2seq, train):
    command = train("rnn", max_updates=1)
    assert command().code == 0
    done = seq2seq("translate", command.run, stdin="one 日本語\n".encode())
    assert (
        "the unknown part was not copied, since a model without attention does not tell"
        in done.stderr
    )


def test_an_empty_translation_of_a_line_with_text_is_named(seq2seq, trained):
    shortest = ["--max-ratio", "0", "--max-extra", "0"]
    done = seq2seq("translate", trained, *shortest, stdin=b"one two\n\n")
    assert done.stdout == b"\n\n"
    assert "line 1 is not blank, but its translation is empty" in done.stderr


def test_a_line_of_control_characters_alone_is_blank(seq2seq, trained):
    """Tokenizers read them as spaces, so nothing of the line was lost that a warning could name."""
    done = seq2seq("translate", trained, stdin=b"\x01\x02\n \t\n\none .\n")
    assert done.stdout == b"\n\n\neins .\n"
    assert done.stderr == ""


# Tables

PAIRS = [("one two .", "eins zwei ."), ("three .", "drei ."), ("four, five .", "vier, fünf .")]


def test_every_command_reads_a_column_of_a_table(seq2seq, trained, tmp_path):
    rows = [("en", "de"), *PAIRS]
    (tmp_path / "t.csv").write_text("".join(f'"{one}","{other}"\n' for one, other in rows))
    (tmp_path / "lines").write_text("".join(f"{one}\n" for one, _ in PAIRS))
    (tmp_path / "lines.de").write_text("".join(f"{other}\n" for _, other in PAIRS))
    for arguments, plain in [
        (("translate", trained, "-i", "t.csv:en"), ("translate", trained, "-i", "lines")),
        (
            ("likelihood", trained, "--source", "t.csv:en", "--target", "t.csv:de"),
            ("likelihood", trained, "--source", "lines", "--target", "lines.de"),
        ),
        (
            ("score", "-r", "t.csv:de", "--hypothesis", "t.csv:en"),
            ("score", "-r", "lines.de", "--hypothesis", "lines"),
        ),
        (
            ("tokenizer", "encode", trained / "tokenizer.model", "-i", "t.csv:en"),
            ("tokenizer", "encode", trained / "tokenizer.model", "-i", "lines"),
        ),
        (
            ("inspect", "attention", trained, "-i", "t.csv:en", "--target", "t.csv:de"),
            ("inspect", "attention", trained, "-i", "lines", "--target", "lines.de"),
        ),
    ]:
        done, expected = (seq2seq(*map(str, each), folder=tmp_path) for each in (arguments, plain))
        assert (done.code, done.stdout) == (expected.code, expected.stdout), arguments
        assert done.code == 0, done.stderr
    first = seq2seq("translate", trained, "-i", "lines", "--format", "tsv", folder=tmp_path)
    scored = seq2seq(
        "score", "-r", "t.csv:de", "--hypothesis", "-:4", stdin=first.stdout, folder=tmp_path
    )
    assert scored.stdout.startswith(b"BLEU "), scored.stderr


def test_whole_rows_from_a_pipe_are_refused_with_how_to_read_a_column(seq2seq, trained):
    rows = b"1\tone .\n2\ttwo .\n3\tsix .\n"
    done = seq2seq("translate", trained, stdin=rows)
    assert (done.code, done.stdout) == (2, b"")
    assert "standard input is a table with 2 columns, not lines of text; read one" in done.stderr
    assert "as in -:1 or -:2" in done.stderr
    done = seq2seq("translate", trained, "-i", "-:2", stdin=rows)
    assert (done.code, done.stdout) == (0, b"eins .\nzwei .\nsechs .\n")


def test_a_row_of_a_table_in_a_pipe_is_answered_before_the_next_is_given(seq2seq, trained):
    process = seq2seq.start("translate", trained, "-i", "-:2")
    for line, answer in [(b"1\tone .\n", b"eins .\n"), (b"2\ttwo .\n", b"zwei .\n")]:
        process.stdin.write(line)
        assert process.stdout.readline() == answer
    process.finish()


def test_training_reads_tables_and_refuses_their_rows_as_text(train):
    command = train(max_updates=2)
    for name in ("train", "valid"):
        en, de = (
            (command.folder / f"{name}.{side}").read_text().splitlines() for side in ("en", "de")
        )
        rows = [f'"{one}";"{other}"' for one, other in zip(en, de, strict=True)]
        (command.folder / f"{name}.csv").write_text("\n".join(["en;de", *rows, ""]))
        (command.folder / f"{name}.txt").write_text("\n".join([*rows, ""]))
    options = ("--source", "--target", "--valid-source", "--valid-target")
    columns = ("train.csv:en", "train.csv:de", "valid.csv:en", "valid.csv:de")
    done = command(files=dict(zip(options, columns, strict=True)))
    assert done.code == 0, done.stderr
    weights = (command.run / WEIGHTS).read_bytes()
    assert command("--restart").code == 0
    assert (command.run / WEIGHTS).read_bytes() == weights
    rows = ("train.txt", "train.txt", "valid.txt", "valid.txt")
    refused = command("--restart", files=dict(zip(options, rows, strict=True)))
    assert refused.code == 2
    assert "valid.txt is a table with quoted cells (CSV), not lines of text" in refused.stderr


# Encodings


def test_training_reads_utf16_and_names_the_encoding_of_others(train):
    command = train(max_updates=2)
    german = command.folder / "train.de"
    text = german.read_text()
    assert command().code == 0
    weights = (command.run / WEIGHTS).read_bytes()
    german.write_text(text, encoding="utf-16")
    assert command("--restart").code == 0
    assert (command.run / WEIGHTS).read_bytes() == weights
    german.write_text(text, encoding="cp1252")
    refused = command("--restart")
    assert refused.code == 2
    assert "train.de is not UTF-8: " in refused.stderr
    assert "read it with --encoding cp" in refused.stderr
    done = command("--restart", "--encoding", "cp1252")
    assert done.code == 0, done.stderr
    assert (command.run / WEIGHTS).read_bytes() == weights


def test_a_pipe_in_utf16_is_translated(seq2seq, trained):
    done = seq2seq("translate", trained, stdin="one .\nfive .\n".encode("utf-16"))
    assert (done.code, done.stdout.decode(), done.stderr) == (0, "eins .\nfünf .\n", "")


# Sentences

TWO = "one two three . four five six ."  # the end of a sentence has a space before it
ANSWER = "eins zwei drei . vier fünf sechs ."
RECORDED = re.compile("several_sentences = .*")


@pytest.fixture
def single(run_copy: Path) -> Path:
    """A run that says that it was trained on one sentence a line; the toy corpus has several."""
    settings = run_copy / "config.toml"
    text, count = RECORDED.subn("several_sentences = 0.0", settings.read_text())
    assert count == 1
    settings.write_text(text)
    return run_copy


def test_lines_of_several_sentences_are_as_many_lines_and_none_is_lost(seq2seq, single):
    lines = [TWO, "", "seven eight .", f"{TWO} {TWO}", "one ."]
    done = seq2seq("translate", single, stdin="\n".join(lines).encode())
    expected = [ANSWER, "", "sieben acht .", f"{ANSWER} {ANSWER}", "eins ."]
    assert done.stdout.decode().splitlines() == expected
    assert done.stderr == (
        "seq2seq: warning: line 1 has 2 sentences; the model was trained on one sentence a line, "
        "so the sentences of a line are translated one by one from here on (--split-sentences off: "
        "as a whole)\n"
    )


def test_a_line_of_several_sentences_is_described_as_a_whole(seq2seq, single, tmp_path):
    pairs = tmp_path / "pairs"
    options = ("--format", "jsonl", "--n-best", "4", "--alignment", pairs)
    done = seq2seq("translate", single, *options, stdin=f"{TWO}\none .\n".encode())
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["warnings"] == ["line 1 has 2 sentences, translated one by one"]
    assert second["warnings"] == []
    best = first["hypotheses"][0]
    assert best["text"] == ANSWER
    assert best["tokens"].count("</s>") == 2
    assert best["log_probability"] == pytest.approx(sum(best["token_scores"]))
    assert len({tuple(each["tokens"]) for each in first["hypotheses"]}) == 4
    scores = [each["score"] for each in first["hypotheses"]]
    assert scores == sorted(scores, reverse=True)
    links = [link.split("-") for link in pairs.read_text().splitlines()[0].split()]
    assert [int(target) for _, target in links] == list(range(8))
    assert {int(source) // 4 for source, target in links if int(target) >= 4} == {1}


def test_a_prefix_belongs_to_the_first_sentence(seq2seq, single, tmp_path):
    prefixes = tmp_path / "prefixes"
    prefixes.write_text("acht\n")
    done = seq2seq("translate", single, "--prefix", prefixes, stdin=f"{TWO}\n".encode())
    translated = done.stdout.decode()
    assert translated.startswith("acht")
    assert translated.endswith("vier fünf sechs .\n")
    prefixes.write_text("acht . Neun\n")
    whole = seq2seq("translate", single, "--prefix", prefixes, stdin=f"{TWO}\n".encode())
    assert "sentences" not in whole.stderr


def test_runs_of_before_and_runs_of_joined_sentences_translate_whole_lines(seq2seq, single):
    settings = single / "config.toml"
    recorded = settings.read_text()
    assert "[corpus]\nseveral_sentences = 0.0\n" in recorded

    def splits(text: str, *options: str) -> bool:
        settings.write_text(text)
        done = seq2seq("translate", single, "--format", "jsonl", *options, stdin=TWO.encode())
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)["hypotheses"][0]["tokens"].count("</s>") == 2

    before = recorded.replace("[corpus]\nseveral_sentences = 0.0\n", "")
    several = recorded.replace("several_sentences = 0.0", "several_sentences = 0.3")
    joined = recorded.replace("join_sentences = 0.0", "join_sentences = 0.2")
    assert splits(recorded)
    assert not splits(recorded, "--split-sentences", "off")
    for text in (before, several, joined):
        assert not splits(text)
        assert splits(text, "--split-sentences", "on")
