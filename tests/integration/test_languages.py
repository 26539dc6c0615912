"""One model for several target languages: the tag of a line, or an option, chooses."""

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

WORDS = ["one", "two", "three", "four", "five", "six"]
LANGUAGES: dict[str, Callable[[list[str]], list[str]]] = {
    "same": lambda words: words,
    "back": lambda words: words[::-1],
}
HELD_OUT = 60
SETTINGS = """
[model]
architecture = "transformer"
width = 32
encoder_layers = 2
decoder_layers = 2
heads = 2
feed_forward = 64
dropout = 0.0
[tokenizer]
model_type = "word"
[data]
max_length = 8
[training]
batch_tokens = 400
learning_rate = 0.005
warmup_updates = 50
schedule = "cosine"
label_smoothing = 0.0
max_updates = 500
validate_every = 500
"""
MARKED = [f"{language}=train.{language}" for language in LANGUAGES]
MARKED_VALID = [f"{language}=valid.{language}" for language in LANGUAGES]
TRAIN = {
    "--config": ["settings.toml"],
    "--source": ["train", "train"],
    "--target": MARKED,
    "--valid-source": ["valid", "valid"],
    "--valid-target": MARKED_VALID,
    "--output": ["run"],
}


def command(options: dict[str, list[str]]) -> list[str]:
    """`train` with TRAIN's options and others."""
    return ["train", *itertools.chain.from_iterable((k, *v) for k, v in (TRAIN | options).items())]


def sentences() -> list[list[str]]:
    """All sequences of one to four words, in a random order."""
    found = [[*words] for n in range(1, 5) for words in itertools.product(WORDS, repeat=n)]
    random.Random(1).shuffle(found)
    return found


def write(path: Path, lines: list[list[str]]) -> None:
    path.write_text("".join(" ".join(words) + "\n" for words in lines))


@pytest.fixture(scope="module")
def folder(seq2seq, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was trained to say what it reads, or to say it backwards."""
    folder = tmp_path_factory.mktemp("languages")
    (folder / "settings.toml").write_text(SETTINGS)
    for name, lines in (("valid", sentences()[:HELD_OUT]), ("train", sentences()[HELD_OUT:])):
        write(folder / name, lines)
        for language, translate in LANGUAGES.items():
            write(folder / f"{name}.{language}", [translate(words) for words in lines])
    done = seq2seq(*command({}), folder=folder)
    assert done.code == 0, done.stderr
    return folder


def share_right(stdout: bytes, expected: list[str]) -> float:
    found = stdout.decode().splitlines()
    return sum(a == b for a, b in zip(found, expected, strict=True)) / len(expected)


def test_a_model_obeys_the_language_that_is_asked_for(folder, seq2seq):
    text = (folder / "valid").read_text().splitlines()
    for language in LANGUAGES:
        expected = (folder / f"valid.{language}").read_text().splitlines()
        asked = seq2seq(
            *("translate", "run", "--target-language", language),
            stdin="".join(f"{line}\n" for line in text).encode(),
            folder=folder,
        )
        assert share_right(asked.stdout, expected) >= 0.9
        other = next(name for name in LANGUAGES if name != language)
        tagged = seq2seq(  # what a line says counts for more
            *("translate", "run", "--target-language", other),
            stdin="".join(f"<2{language}> {line}\n" for line in text).encode(),
            folder=folder,
        )
        assert tagged.stdout == asked.stdout
        assert (asked.stderr, tagged.stderr) == ("", "")


def test_blank_long_and_untagged_lines_have_a_language_too(folder, seq2seq):
    long = "one two three four. " * 3
    done = seq2seq(
        *("translate", "run", "--target-language", "same", "--format", "jsonl"),
        stdin=f"\n<2back>\n{long}\none two\n".encode(),
        folder=folder,
    )
    blank, only_tag, split, short = map(json.loads, done.stdout.splitlines())
    assert blank["hypotheses"][0]["text"] == only_tag["hypotheses"][0]["text"] == ""
    assert "line 3 has 3 sentences" in done.stderr
    assert "translation is empty" not in done.stderr
    assert split["hypotheses"][0]["tokens"].count("</s>") == 3
    assert "which language to translate into" not in done.stderr
    assert split["line"] == 3
    assert short["hypotheses"][0]["text"] == "one two"
    assert all(source < 2 for source, _ in short["hypotheses"][0]["alignment"])
    untagged = seq2seq("translate", "run", stdin=b"one two\n", folder=folder)
    assert (
        "line 1 does not say which language to translate into; begin it with <2same>"
        in untagged.stderr
    )
    assert untagged.stdout.count(b"\n") == 1
    unknown = seq2seq("translate", "run", stdin=b"<2fr> one two\n", folder=folder)
    assert "line 1 asks for fr, which the run does not translate into" in unknown.stderr


def test_likelihood_is_of_a_language(folder, seq2seq):
    (folder / "asked").write_text("one two three\n")
    (folder / "tagged").write_text("<2back> one two three\n")

    def likelihood(source: str, *arguments: str) -> float:
        done = seq2seq(
            *("likelihood", "run", "--source", source, *arguments),
            stdin=b"three two one\n",
            folder=folder,
        )
        assert "which language to translate into" not in done.stderr
        return float(done.stdout.split()[0])

    right = likelihood("asked", "--target-language", "back")
    assert right == likelihood("tagged")
    assert right > likelihood("asked", "--target-language", "same") + 1


CHARACTERS = {"--source-tokenizer": ["char"], "--target-tokenizer": ["char"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["translate", "run", "--target-language", "fr"],
            "--target-language fr: run translates into same, back",
        ),
        (
            command({"--target": ["train.same", "back=train.back"]}),
            "some targets are marked with their language, as in de=train.de, and others are not",
        ),
        (
            command({"--source": ["en=train", "train"], "--output": ["new"]}),
            "en=train: mark the target with its language",
        ),
        (
            command({"--valid-target": ["valid.same", "valid.back"]}),
            "in same, back, those of the validation text in none; mark them alike",
        ),
        (
            command({"--source": ["train"], "--output": ["new"]}),
            "targets in back and same need a source each",
        ),
        (
            command({"--output": ["new"], **CHARACTERS}),
            "the source tokenizer has no symbol <2same>; learn one with",
        ),
    ],
    ids=["unknown", "half", "source", "valid", "one source", "tokenizer"],
)
def test_languages_that_do_not_fit_are_refused(arguments, message, folder, seq2seq):
    if not (folder / "char").exists():
        options = ["--output", "char", "--model-type", "char"]
        assert seq2seq("tokenizer", "train", "train", *options, folder=folder).code == 0
    done = seq2seq(*arguments, folder=folder)
    assert done.code == 2
    assert message in done.stderr
