"""Commands on text as people have it, by subject."""


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
