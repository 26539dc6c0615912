"""What `seq2seq translate` can be asked for, and `seq2seq likelihood`, on a trained toy model."""

import json
import os
import threading

import pytest

LINES = b"one two .\n\nthree four five six .\n"
TRANSLATIONS = ["eins zwei .", "", "drei vier fünf sechs ."]


def records(done) -> list[dict]:
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_json_lines_hold_all_that_is_known_of_each_line(seq2seq, trained):
    arguments = ["--format", "jsonl", "--n-best", 2, "--alpha", 0.5]
    found = records(seq2seq("translate", trained, *arguments, stdin=LINES))
    assert [each["hypotheses"][0]["text"] for each in found] == TRANSLATIONS
    assert [each["source"] for each in found] == LINES.decode().split("\n")[:3]
    assert [each["line"] for each in found] == [1, 2, 3]
    for each in (found[0], found[2]):
        best, second = each["hypotheses"]
        assert best["score"] >= second["score"]
        assert best["text"] != second["text"]
        for hypothesis in (best, second):
            assert len(hypothesis["token_scores"]) == len(hypothesis["tokens"])
            assert hypothesis["tokens"][-1] == "</s>"
            total = sum(hypothesis["token_scores"])
            assert hypothesis["log_probability"] == pytest.approx(total)
            length = len(hypothesis["token_scores"])
            assert hypothesis["score"] == pytest.approx(total / ((5 + length) / 6) ** 0.5, rel=1e-4)


def test_tsv_has_a_row_for_each_rank(seq2seq, trained):
    done = seq2seq("translate", trained, "--format", "tsv", "--n-best", 2, stdin=LINES)
    rows = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [row[:2] for row in rows] == [["1", "1"], ["1", "2"], ["2", "1"], ["3", "1"], ["3", "2"]]
    assert [row[3] for row in rows if row[1] == "1"] == TRANSLATIONS


def test_a_word_is_aligned_with_its_translation(seq2seq, trained, tmp_path):
    """The toy language is translated word by word; a split line counts words on."""
    lines = LINES + b"one two three . " * 7 + b"\n"
    done = seq2seq("translate", trained, "--alignment", "pairs", folder=tmp_path, stdin=lines)
    assert done.code == 0
    aligned = (tmp_path / "pairs").read_text().split("\n")
    words = [line.split() for line in lines.decode().split("\n")]
    translated = [line.split() for line in done.stdout.decode().split("\n")]
    assert len(aligned) == 5
    assert aligned[1] == ""
    right = everything = 0
    for pairs, source, target in zip(aligned, words, translated, strict=True):
        for pair in pairs.split():
            i, j = map(int, pair.split("-"))
            assert i < len(source)
            assert j < len(target)
            right += i == j
            everything += 1
    assert everything >= 30
    # A tiny model looks about; by chance it would be right in one of five.
    assert right / everything > 0.4


def test_a_prefix_begins_its_translation(seq2seq, trained, tmp_path):
    (tmp_path / "begin").write_text("neun\n\nacht acht\n")
    done = seq2seq("translate", trained, "--prefix", "begin", folder=tmp_path, stdin=LINES)
    first, blank, third = done.stdout.decode().splitlines()
    assert (first.split()[0], blank, third.split()[:2]) == ("neun", "", ["acht", "acht"])
    short = seq2seq(
        "translate", trained, "--prefix", "begin", folder=tmp_path, stdin=LINES + b"one .\n"
    )
    assert short.code == 2
    assert "begin has 3 lines but standard input has 4" in short.stderr
    long = seq2seq("translate", trained, "--prefix", "begin", folder=tmp_path, stdin=b"one .\n")
    assert long.code == 2
    assert "begin has 3 lines but standard input has 1" in long.stderr
    (tmp_path / "source").write_bytes(LINES + b"one .\n")
    files = ["-i", "source", "-o", "out"]
    before = seq2seq("translate", trained, "--prefix", "begin", *files, folder=tmp_path)
    assert before.code == 2
    assert "begin has 3 lines but source has 4" in before.stderr
    assert not (tmp_path / "out").exists()


def test_a_prefix_may_end_within_a_word(seq2seq, trained, tmp_path):
    """Its characters come, and what follows them completes the word as the model would."""
    whole = seq2seq("translate", trained, folder=tmp_path, stdin=LINES)
    lines = whole.stdout.decode().splitlines()
    for cut in (1, 2):
        begun = [line[:cut] if line else "" for line in lines]
        (tmp_path / "begin").write_text("".join(f"{line}\n" for line in begun))
        done = seq2seq("translate", trained, "--prefix", "begin", folder=tmp_path, stdin=LINES)
        assert done.stdout.decode().splitlines() == lines
    (tmp_path / "begin").write_text("".join(f"{line[:2]} \n" for line in lines))  # whole words
    done = seq2seq("translate", trained, "--prefix", "begin", folder=tmp_path, stdin=LINES)
    wholes = [line[:2] for line in lines]
    found = done.stdout.decode().splitlines()
    assert any(len(line) > 2 for line in lines)
    for line, whole in zip(found, wholes, strict=True):
        assert line.startswith(whole)
        assert not line[len(whole) : len(whole) + 1].isalnum()


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (
            "eins\n\nein 日本\n",
            "begin, line 3: the run has no pieces for some of its characters (日, 本);",
        ),
        ("eins " * 500 + "\n\n\n", "begin, line 1 has 500 tokens; up to 12 are allowed"),
    ],
    ids=["unknown", "long"],
)
def test_a_prefix_that_no_translation_can_have_is_refused(
    seq2seq, trained, tmp_path, prefix, message
):
    (tmp_path / "begin").write_text(prefix)
    done = seq2seq("translate", trained, "--prefix", "begin", folder=tmp_path, stdin=LINES)
    assert (done.code, done.stdout) == (2, b"")
    assert message in done.stderr


def test_pipes_are_read_once_and_not_to_count_their_lines(seq2seq, trained, tmp_path):
    for name, text in (("source", LINES), ("begin", b"neun\n\nacht acht\n")):
        os.mkfifo(tmp_path / name)
        path = tmp_path / name
        threading.Thread(target=path.write_bytes, args=[text], daemon=True).start()
    done = seq2seq("translate", trained, "-i", "source", "--prefix", "begin", folder=tmp_path)
    assert done.code == 0, done.stderr
    assert done.stdout.decode().splitlines()[0].startswith("neun ")


def test_alignments_do_not_mix_with_translations(seq2seq, trained):
    done = seq2seq("translate", trained, "--alignment", "-", stdin=LINES)
    assert (done.code, done.stdout) == (2, b"")
    assert "standard output is given for two outputs" in done.stderr


def test_draws_repeat_whatever_the_batch(seq2seq, trained):
    arguments = ["--sample", "--temperature", 2, "--format", "tsv", "--n-best", 3]
    many = LINES * 20
    together = seq2seq("translate", trained, *arguments, stdin=many)
    alone = seq2seq("translate", trained, *arguments, "--batch-tokens", 1, stdin=many)
    assert together.code == 0
    texts = [line.split(b"\t")[3] for line in together.stdout.splitlines()]
    assert texts == [line.split(b"\t")[3] for line in alone.stdout.splitlines()]
    assert len(set(texts)) > 20


@pytest.mark.parametrize(
    "arguments",
    [["--workers", 3, "--batch-tokens", 8], ["--precision", "int8"], ["--shortlist"]],
    ids=str,
)
def test_what_makes_it_faster_leaves_the_translations_as_they_are(seq2seq, trained, arguments):
    done = seq2seq("translate", trained, *arguments, stdin=LINES * 30)
    assert done.code == 0, done.stderr
    assert done.stdout.decode().splitlines() == TRANSLATIONS * 30


def test_runs_that_share_their_tokenizer_vote(seq2seq, trained):
    done = seq2seq("translate", trained, trained, "--weights", "2,1", stdin=LINES)
    assert done.stdout.decode().splitlines() == TRANSLATIONS


def spelled(piece: str) -> list[str]:
    """A word in characters; EOS as it is."""
    return [piece] if piece == "</s>" else ["▁", *piece.removeprefix("▁")]


def test_likelihood_is_what_translate_reports(seq2seq, trained, tmp_path):
    (tmp_path / "source").write_bytes(LINES)
    found = records(seq2seq("translate", trained, "--format", "jsonl", stdin=LINES))
    texts = "".join(f"{each['hypotheses'][0]['text']}\n" for each in found).encode()
    arguments = ["likelihood", trained, "--source", "source"]
    done = seq2seq(*arguments, "--format", "jsonl", folder=tmp_path, stdin=texts)
    for each, record in zip(found, records(done), strict=True):
        best = each["hypotheses"][0]
        assert record["tokens"] == best["tokens"]
        assert record["token_scores"] == pytest.approx(best["token_scores"], abs=1e-4)
        assert record["log_probability"] == pytest.approx(best["log_probability"], abs=1e-4)
    assert "3 pairs, " in done.stderr
    assert "perplexity " in done.stderr
    plain = seq2seq(*arguments, folder=tmp_path, stdin=texts).stdout.decode().splitlines()
    assert [float(line.split("\t")[0]) for line in plain] == pytest.approx(
        [record["log_probability"] for record in records(done)], abs=1e-5
    )
    for record in found:  # spelled in other pieces than the tokenizer would
        record["pieces"] = [p for each in record["hypotheses"][0]["tokens"] for p in spelled(each)]
    lines = "".join(f"{' '.join(record['pieces'])}\n" for record in found).encode()
    spelt = records(
        seq2seq(*arguments, "--pieces", "--format", "jsonl", folder=tmp_path, stdin=lines)
    )
    assert [each["tokens"] for each in spelt] == [record["pieces"] for record in found]
    assert spelt[0]["log_probability"] < found[0]["hypotheses"][0]["log_probability"] - 1
    fewer = seq2seq(*arguments, folder=tmp_path, stdin=b"eins zwei .\n")
    assert fewer.code == 2
    assert "source has 3 lines but standard input has 1" in fewer.stderr
    (tmp_path / "source").write_bytes(b"one " * 9000)
    huge = seq2seq(*arguments, folder=tmp_path, stdin=b"eins\n")
    assert huge.code == 2
    assert "line 1 has 9,001 tokens; up to 8,192 are allowed" in huge.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n-best", "2"], "--n-best is for --format tsv or jsonl"),
        (["--n-best", "9", "--format", "tsv"], "--n-best 9: 1 to 5 is allowed with --beam 5"),
        (["--top-k", "3"], "--top-k 3 is for sampling; add --sample"),
        (["--seed", "3"], "--seed 3 is for sampling; add --sample"),
        (["--max-extra", "-1"], "--max-extra -1: 0 to 1,000,000 is allowed"),
        (["--prefix", "-"], "standard input is given for two inputs; give a file"),
        (["--weights", "1,x"], "--weights 1,x: numbers separated by commas are allowed"),
        (
            ["--weights", "1,2"],
            "one number above 0 for each run is allowed, of a finite sum; runs: 1",
        ),
        (["--alignment", "no/file"], "no/file: cannot be written: no is not a writable directory"),
        (["--prefix", "lime.en"], "lime.en: no such file"),
        (["--min-ratio", "5"], "--min-ratio 5.0: 0 to 2.0 is allowed, with --max-ratio 2.0"),
        (["--alignment", "out"], "out is given for two outputs; write to another file"),
        (["--length-penalty", "none", "--alpha", "0.3"], "does nothing with --length-penalty none"),
        (
            ["--sample", "--coverage-penalty", "1"],
            "--coverage-penalty 1.0 ranks hypotheses of a beam",
        ),
        (["--repetition-penalty", "0"], "repetition-penalty 0.0: 1 to 100 is allowed"),
        (["--source-language", "klingon"], "source language klingon: a code of two or three"),
        (["--precision", "int4"], "Invalid value for '--precision'"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_are_refused_before_anything_is_written(
    seq2seq, trained, tmp_path, arguments, message
):
    done = seq2seq("translate", trained, *arguments, "-o", "out", folder=tmp_path, stdin=LINES)
    assert (done.code, done.stdout) == (2, b"")
    assert message in done.stderr
    assert "warning" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_needs_attention_is_refused_without_it(seq2seq, train, tmp_path):
    command = train("rnn")
    assert command().code == 0
    for arguments in (["--alignment", "pairs"], ["--coverage-penalty", "0.2"]):
        done = seq2seq("translate", command.run, *arguments, folder=tmp_path, stdin=LINES)
        assert done.code == 2
        assert "attention to the source" in done.stderr
    found = records(seq2seq("translate", command.run, "--format", "jsonl", stdin=LINES))
    assert found[0]["hypotheses"][0]["alignment"] is None


def test_runs_with_other_tokenizers_do_not_vote(seq2seq, trained, train):
    command = train("rnn", max_updates=5)
    (command.folder / "tiny.toml").write_text(
        (command.folder / "tiny.toml")
        .read_text()
        .replace("vocabulary_size = 60", 'model_type = "char"')
    )
    assert command().code == 0
    done = seq2seq("translate", trained, command.run, stdin=LINES)
    assert done.code == 2
    assert "have different source tokenizers" in done.stderr


@pytest.fixture(scope="module")
def exported(seq2seq, trained, tmp_path_factory):
    """A run in the format of CTranslate2."""
    pytest.importorskip("ctranslate2", reason="the extra bench is not installed")
    folder = tmp_path_factory.mktemp("exported")
    done = seq2seq("export", trained, "served", folder=folder)
    assert done.code == 0, done.stderr
    again = seq2seq("export", trained, "served", folder=folder)
    assert again.code == 2
    assert "served exists already" in again.stderr
    return folder / "served"


def test_an_exported_run_translates_alike(seq2seq, trained, exported):
    """The same texts, scores and, since the decoder has one layer, alignments."""
    import ctranslate2

    from seq2seq_cli.tokenization.tokenizer import Tokenizer

    options = ("--format", "jsonl", "--length-penalty", "power")
    found = [
        each
        for each in records(seq2seq("translate", trained, *options, stdin=LINES * 9))
        if each["source"]
    ]
    tokenizer = Tokenizer.load(exported / "tokenizer.model")
    engine = ctranslate2.Translator(str(exported), compute_type="float32")
    pieces = [tokenizer.encode_as_pieces(each["source"]) for each in found]
    theirs = engine.translate_batch(
        pieces, beam_size=5, min_decoding_length=0, return_scores=True, return_attention=True
    )
    for each, source, result in zip(found, pieces, theirs, strict=True):
        [ours] = each["hypotheses"]
        assert result.hypotheses[0] == ours["tokens"][:-1]
        # Without the control symbols, to which the run leaves some probability.
        assert result.scores[0] == pytest.approx(ours["score"], abs=0.01)
        [scored] = engine.score_batch([source], [result.hypotheses[0]])
        assert result.scores[0] == pytest.approx(
            sum(scored.log_probs) / len(ours["tokens"]), abs=1e-5
        )
        # Every word is one piece.
        most = [max(range(len(row)), key=row.__getitem__) for row in result.attention[0]]
        assert sorted((s, t) for t, s in enumerate(most)) == [tuple(p) for p in ours["alignment"]]


def test_the_example_in_an_exported_folder_translates_alike(seq2seq, trained, exported):
    """Its README names every control symbol that is never written, and holds a program."""
    readme = (exported / "README.md").read_text()
    assert all(f"`{piece}`" in readme for piece in ("<pad>", "<unk>", "<s>"))
    assert "$" not in readme
    program = readme.split("```python\n")[1].split("```")[0]
    names = {}
    exec(program.replace('Path("model")', f"Path({str(exported)!r})"), names)
    # Also a line that is normalised, and one with a character that has no piece.
    lines = [*LINES.decode().splitlines(), "ｏｎｅ two .", "one ☃ two ."]
    options = ("--length-penalty", "power", "--unknown", "keep")
    ours = seq2seq("translate", trained, *options, stdin="\n".join(lines).encode()).stdout
    assert [names["translate"](line) for line in lines] == ours.decode().splitlines()


def test_what_the_engine_cannot_hold_is_not_exported(seq2seq, train):
    command = train("rnn", max_updates=5)
    assert command().code == 0
    done = seq2seq("export", command.run, "served", folder=command.folder)
    assert done.code == 2
    assert 'model.architecture = "rnn" cannot be exported' in done.stderr
    assert not (command.folder / "served").exists()


def test_likelihood_warns_of_the_first_long_source_and_counts_them(seq2seq, trained, tmp_path):
    long = "one two three . " * 7
    (tmp_path / "source").write_text(f"{long}\none .\n{long}\n")
    done = seq2seq("likelihood", trained, "--source", tmp_path / "source", stdin=b"eins .\n" * 3)
    assert done.code == 0, done.stderr
    first, all_lines, _ = done.stderr.splitlines()
    assert "line 1 has " in first
    assert "lines 1 and 3 have more tokens than the model has learned to read, and" in all_lines
