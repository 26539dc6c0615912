"""Data that is surely a mistake is refused unless it is accepted, and other faults are counted."""

import pytest

from tests.integration.conftest import number_words


def test_repetitions_are_counted_and_the_most_frequent_pair_is_shown(train):
    command = train(max_updates=1, warmup_updates=0)
    sentences = ["three four five", "three four five six seven", "one nine two"]
    translations = ["drei vier fünf", "drei vier fünf sechs sieben", "eins neun zwei"]
    (command.folder / "dup.en").write_text("\n".join([*sentences, *sentences[:1] * 5]) + "\n")
    (command.folder / "dup.de").write_text(
        "\n".join([*translations, *translations[:1] * 4, "vier drei fünf"]) + "\n"
    )
    done = command(files={"--source": "dup.en", "--target": "dup.de"})
    assert done.code == 0, done.stderr
    assert "  4 pairs repeat an earlier one; most often, 5 times, there is " in done.stderr
    assert '"three four five" with "drei vier fünf"\n' in done.stderr
    assert "  1 pair repeats an earlier source with another target" in done.stderr
    assert "warning: 50% of the training pairs repeat others; 4 different ones are" in done.stderr


TRAINED_ON = {"--valid-source": "part.en", "--valid-target": "part.de"}
MISTAKES = {
    "the same file twice": (
        {"--target": "train.en"},
        "all 300 training pairs have the same text on both sides, train.en and train.en",
    ),
    "the same content": (
        {"--target": "copy.de"},
        "all 300 training pairs have the same text on both sides, train.en and copy.de",
    ),
    "of validation": (
        {"--valid-target": "copy.valid"},
        "all 20 validation pairs have the same text on both sides, valid.en and copy.valid",
    ),
    "validation within training": (
        TRAINED_ON,
        "all 40 validation pairs are among the training pairs, so that validation cannot",
    ),
}
STREAM = ["--set", "data.stream=true"]


@pytest.mark.parametrize("options", [[], STREAM], ids=["stored", "stream"])
@pytest.mark.parametrize("name", MISTAKES)
def test_a_sure_mistake_is_refused_unless_it_is_accepted(name, options, train):
    files, message = MISTAKES[name]
    command = train(max_updates=2)
    for language in ("en", "de"):
        lines = (command.folder / f"train.{language}").read_text().splitlines(keepends=True)
        (command.folder / f"part.{language}").write_text("".join(lines[100:140]))
    for copy, text in (("copy.de", "train.en"), ("copy.valid", "valid.en")):
        (command.folder / copy).write_text((command.folder / text).read_text())
    done = command(*options, files=files)
    assert done.code == 2
    assert f"seq2seq: error: {message}" in done.stderr
    assert "If this is meant, add --accept-data to train with it" in done.stderr
    assert not command.run.exists()
    accepted = command(*options, "--accept-data", files=files)
    assert accepted.code == 0, accepted.stderr
    assert message in accepted.stderr.partition("warning: ")[2]
    again = command(*options, "--max-updates", 3, files=files)  # a run that was accepted continues
    assert again.code == 0, again.stderr


def test_one_corpus_of_copies_among_others_is_no_mistake(train):
    """Copied text of the target language is a known way to use it (Currey et al. 2017)."""
    command = train(max_updates=1, warmup_updates=0)
    german = (command.folder / "train.de").read_text().splitlines(keepends=True)
    (command.folder / "copy.de").write_text("".join(german[:100]))
    done = command("--source", "copy.de", "--target", "copy.de")
    assert done.code == 0, done.stderr
    same = sum(1 for line in german[:100]) + sum(1 for line in german if line.strip() == ".")
    assert f"  {same} pairs have the same text on both sides" in done.stderr
    assert "teaches the model to copy" not in done.stderr

    (command.folder / "copy.en").write_text((command.folder / "train.en").read_text())
    done = command("--restart", "--source", "train.en", "--target", "copy.en")
    assert done.code == 0, done.stderr
    assert "of the training pairs have the same text on both sides, which teaches" in done.stderr


def test_some_validation_pairs_among_the_training_pairs_are_counted(train):
    command = train(max_updates=1, warmup_updates=0)
    known = (command.folder / "train.en").read_text().splitlines()
    long = [row for row, line in enumerate(known) if len(line.split()) > 8][:4]
    held_out = number_words(7, 300)
    rows = [row for row, line in enumerate(held_out[0]) if len(line.split()) > 8][:16]
    for side, language in enumerate(("en", "de")):
        lines = (command.folder / f"train.{language}").read_text().splitlines()
        valid = [held_out[side][row] for row in rows] + [lines[row] for row in long]
        (command.folder / f"valid.{language}").write_text("".join(f"{x}\n" for x in valid))
    done = command()
    assert done.code == 0, done.stderr
    counts = "validation pairs: 20, of which 4 are training pairs too, and 4 have the source of a"
    assert f'{counts} training pair; one is "{known[long[0]]}"' in done.stderr.replace("…", "")
    assert "warning" not in done.stderr

    for language in ("en", "de"):
        lines = (command.folder / f"train.{language}").read_text().splitlines()
        valid = (command.folder / f"valid.{language}").read_text().splitlines()[:4]
        mixed = valid + [lines[row] for row in long]
        (command.folder / f"valid.{language}").write_text("".join(f"{x}\n" for x in mixed))
    done = command("--restart")
    assert "50% of the validation pairs are among the training pairs" in done.stderr


def test_a_language_tag_does_not_hide_that_the_sides_are_the_same(train):
    files = {"--target": "de=copy.de", "--valid-target": "de=valid.de"}
    command = train(max_updates=1, warmup_updates=0)
    (command.folder / "copy.de").write_text((command.folder / "train.en").read_text())
    done = command(files=files)
    assert done.code == 2
    assert "all 281 training pairs have the same text on both sides" in done.stderr  # tags are long
