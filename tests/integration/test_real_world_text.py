"""Commands on text as people have it, by subject."""

import json

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
    assert "lines 1, 3: the run has no pieces for up to 100% of the characters" in done.stderr
    assert "2 spans: 2 copied" in done.stderr
    kept = seq2seq("translate", trained, "--unknown", "keep", stdin=stdin)
    assert "日本語" not in kept.stdout.decode()
    assert "2 spans: 2 not copied, as asked for" in kept.stderr
    asked = seq2seq("translate", trained, "--format", "jsonl", stdin=stdin)
    warnings = [json.loads(line)["warnings"] for line in asked.stdout.splitlines()]
    assert "25% of the characters: 日本語 (copied)" in warnings[0][0]
    assert warnings[1] == []


def test_a_model_without_attention_says_that_it_cannot_copy(seq2seq, train):
    command = train("rnn", max_updates=1)
    assert command().code == 0
    done = seq2seq("translate", command.run, stdin="one 日本語\n".encode())
    assert "1 not copied, since a model without attention does not tell" in done.stderr


def test_an_empty_translation_of_a_line_with_text_is_named(seq2seq, trained):
    shortest = ["--max-ratio", "0", "--max-extra", "0"]
    done = seq2seq("translate", trained, *shortest, stdin=b"one two\n\n")
    assert done.stdout == b"\n\n"
    assert "line 1: not blank, but the translation is empty" in done.stderr
