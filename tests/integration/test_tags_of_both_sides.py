"""Models in which each side begins with the tag of its own language, as in M2M-100 and NLLB."""

import itertools
import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from seq2seq_cli.evaluation.hidden_states import StateReader, hidden_states
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.search import SearchOptions
from seq2seq_cli.search.torch_predictor import TorchPredictor
from seq2seq_cli.translation import TranslationSettings, Translator
from tests.integration.test_languages import SETTINGS, sentences, share_right, write

HELD_OUT = 40
OUTPUTS = ("whole", "killed")
SET = ("--set",)
LETTERS = {"one": "une", "two": "deux", "three": "trois", "four": "quatre", "five": "cinq"}
LETTERS["six"] = "sis"
WAYS = {  # to place tags, and the updates to learn
    "behind EOS": ([*SET, "data.language_tags=both-source-last"], 350),
    "without EOS": ([*SET, "data.language_tags=both", *SET, "data.source_eos=false"], 40),
}
LANGUAGES = ("en", "fr")  # which are said as they are, or backwards


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with words of two languages, as they are and backwards."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "settings.toml").write_text(SETTINGS)
    english = sentences()
    french = [[LETTERS[word] for word in words] for words in english]
    for name, part in (("valid", slice(HELD_OUT)), ("train", slice(HELD_OUT, None))):
        for language, lines in (("en", english[part]), ("fr", french[part])):
            write(folder / f"{name}.{language}", lines)
            write(folder / f"{name}.{language}.back", [words[::-1] for words in lines])
    return folder


@pytest.fixture(scope="module", params=WAYS)
def folder(request: pytest.FixtureRequest, seq2seq, corpus: Path) -> Path:
    """The same folder, with a run."""
    options, updates = WAYS[request.param]
    done = seq2seq(*command(*options, "--restart", updates=updates), folder=corpus)
    assert done.code == 0, done.stderr
    return corpus


def texts(name: str) -> tuple[list[str], list[str]]:
    """Marked sources and targets: each language as it is, and backwards."""
    sources = [f"{language}={name}.{language}" for language in LANGUAGES for _ in range(2)]
    targets = itertools.chain.from_iterable(
        (f"same={name}.{language}", f"back={name}.{language}.back") for language in LANGUAGES
    )
    return sources, list(targets)


def command(*options: str, output: str = "run", updates: int = 6) -> list[str]:
    source, target = texts("train")
    valid_source, valid_target = texts("valid")
    return [
        *("train", "--config", "settings.toml", "--output", output, *options),
        *(
            "--set",
            f"training.max_updates={updates}",
            "--set",
            f"training.validate_every={updates}",
        ),
        *("--source", *source, "--target", *target),
        *("--valid-source", *valid_source, "--valid-target", *valid_target),
    ]


def test_hidden_states_stand_at_what_the_model_reads(folder):
    """Whatever tags are there, words are those of the line, and spans where they are in it."""
    reader = StateReader.load(
        folder / "run", TranslationSettings(device="cpu", target_language="back")
    )
    lines = ["<2back> <2en> one  two", "<2back> <2fr> six"]
    for line, states in zip(
        lines, hidden_states(reader, [(line, None) for line in lines]), strict=True
    ):
        assert len(states.source_pieces) == len(states.source_word_indices)
        words = line.split()[2:]
        for piece, index, (start, end) in zip(
            states.source_pieces, states.source_word_indices, states.source_spans, strict=True
        ):
            is_word = piece.strip("▁") in words
            assert is_word == (index >= 0)
            if is_word:
                assert states.source_words[index] == line[start:end].strip() == piece.strip("▁")
        assert states.source_words == words
        assert states.target_pieces[:2] == ["<s>", "<2back>"]
        assert states.target_word_indices[:2] == [-1, -1]


def test_both_languages_are_chosen_by_options_or_by_two_tags(folder, seq2seq, request):
    text = (folder / "valid.fr").read_text()
    is_trained = "behind EOS" in request.node.callspec.id
    for into, end in (("same", ""), ("back", ".back")):
        expected = (folder / f"valid.fr{end}").read_text().splitlines()
        languages = ("--source-language", "fr", "--target-language", into)
        asked = seq2seq("translate", "run", *languages, stdin=text.encode(), folder=folder)
        if is_trained:
            assert asked.stderr == ""
            assert share_right(asked.stdout, expected) >= 0.5
        tagged = "".join(f"<2{into}> >>fr<< {line}\n" for line in text.splitlines())
        other = ("--source-language", "en", "--target-language", "same")
        lines = seq2seq("translate", "run", *other, stdin=tagged.encode(), folder=folder)
        assert lines.stdout == asked.stdout


def test_the_forced_tag_is_neither_text_nor_token_nor_score(folder, seq2seq):
    languages = ("--source-language", "en", "--target-language", "back", "--split-sentences", "on")
    text = "one two three.\n\none two. three four.\none 日 two\n"
    done = seq2seq(
        *("translate", "run", *languages, "--format", "jsonl", "--beam", "4", "--n-best", "3"),
        stdin=text.encode(),
        folder=folder,
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == 4
    for record in records:
        for found in record["hypotheses"]:
            assert not any("<2" in token for token in found["tokens"])
            assert "<2" not in found["text"]
            assert len(found["tokens"]) == len(found["token_scores"])
            assert all(source < 4 for source, _ in found["alignment"])
    assert records[2]["hypotheses"][0]["tokens"].count("</s>") == 2
    (folder / "source").write_text(text)
    (folder / "pieces").write_text(
        "".join(" ".join(record["hypotheses"][0]["tokens"]) + "\n" for record in records)
    )
    scored = seq2seq(
        *("likelihood", "run", "--source", "source", "--target", "pieces", "--pieces"),
        *languages[:4],
        folder=folder,
    )
    for index in (0, 3):
        found = records[index]["hypotheses"][0]["log_probability"]
        assert float(scored.stdout.decode().splitlines()[index].split()[0]) == pytest.approx(
            found, abs=2e-4
        )


def test_prefixes_follow_the_tag(folder, seq2seq):
    (folder / "prefix").write_text("four four \n")
    done = seq2seq(
        *("translate", "run", "--source-language", "en", "--target-language", "back"),
        *("--prefix", "prefix"),
        stdin=b"one two three\n",
        folder=folder,
    )
    assert done.stdout.decode().startswith("four four")


def test_kernels_and_pytorch_find_the_same(folder):
    model = RunFolder(folder / "run").load_plain_model()
    lines = (folder / "valid.en").read_text().splitlines()[:20]
    for search in (
        SearchOptions(beam=3, n_best=3),
        SearchOptions(sample=True, n_best=2),
        SearchOptions(beam=2, coverage_penalty=0.3, no_repeat_ngram=1),
    ):
        settings = TranslationSettings(search, target_language="back", source_language="en")
        kernels = Translator.load(folder / "run", settings)
        torch = TorchPredictor([model.in_torch()], captures_attention=search.coverage_penalty > 0)
        found = kernels.translate(lines)
        expected = replace(kernels, predictor=torch).translate(lines)
        for one, other in zip(found, expected, strict=True):
            assert [each.text for each in one.candidates] == [
                each.text for each in other.candidates
            ]
            assert [each.score for each in one.candidates] == pytest.approx(
                [each.score for each in other.candidates], abs=1e-4
            )
            if search.length_penalty == "none":
                assert one.candidates[0].score == pytest.approx(one.candidates[0].log_probability)


def test_attention_is_shown_by_the_tokens_of_the_line(folder, seq2seq):
    done = seq2seq("inspect", "attention", "run", stdin=b"<2back> <2en> one two\n", folder=folder)
    assert done.code == 0, done.stderr
    columns = done.stdout.decode().splitlines()[:5]
    assert "".join(line[5:6] for line in columns).strip() == "<2en>"


def test_lines_without_their_languages_are_named(folder, seq2seq):
    done = seq2seq(
        *("translate", "run", "--target-language", "back"), stdin=b"one two\n", folder=folder
    )
    assert "line 1 does not say which language it is in; give --source-language" in done.stderr
    done = seq2seq(
        *("translate", "run", "--source-language", "en"), stdin=b"one two\n", folder=folder
    )
    assert "line 1 does not say which language to translate into" in done.stderr
    for option in ("--source-language", "--target-language"):
        done = seq2seq("translate", "run", option, "de", stdin=b"one\n", folder=folder)
        assert done.code == 2
        assert f"{option} de: run translates" in done.stderr


def test_a_killed_training_ends_with_the_same_bytes(corpus, seq2seq):
    options = [
        *("--cache", "cache", "--set", "training.checkpoint_every=2"),
        *("--set", "data.language_tags=both-source-last", "--set", "data.join_sentences=0.5"),
        *("--set", "training.word_dropout=0.2"),
    ]
    assert seq2seq(*command(*options, output="whole"), folder=corpus).code == 0
    arguments = command(*options, output="killed")
    assert seq2seq(*arguments, folder=corpus, writes=40).code == -signal.SIGKILL
    assert seq2seq(*arguments, folder=corpus).code == 0
    whole, killed = ((corpus / name / "model.safetensors").read_bytes() for name in OUTPUTS)
    assert whole == killed


def test_a_run_that_begins_from_another_reads_tags_as_that_one_does(folder, seq2seq):
    options = ("--init-from", "run", "--restart")
    done = seq2seq(*command(*options, output="tuned", updates=2), folder=folder)
    assert done.code == 0, done.stderr
    before, after = (RunFolder(folder / name).load_config().data for name in ("run", "tuned"))
    assert (after.source_eos, after.language_tags) == (before.source_eos, before.language_tags)


def test_one_language_of_all_sources_needs_no_marks(corpus, seq2seq):
    arguments = command("--set", "data.language_tags=both", output="one", updates=2)
    unmarked = [each.removeprefix("en=").removeprefix("fr=") for each in arguments]
    done = seq2seq(*unmarked, "--set", "data.source_language=en", folder=corpus)
    assert done.code == 0, done.stderr
    assert set(RunFolder(corpus / "one").load_tokenizers().source.tags) == {"same", "back", "en"}
    done = seq2seq("translate", "one", "--target-language", "back", stdin=b"one\n", folder=corpus)
    assert "does not say" not in done.stderr


def test_a_run_that_begins_from_another_learns_a_new_language(folder, seq2seq):
    """Its tag begins as the mean of the others, and is forced as they are."""
    more = ("--source", "en=train.en", "--target", "de=train.fr")
    options = ("--init-from", "run", "--restart", "--add-language", "de", *more)
    done = seq2seq(*command(*options, output="tuned", updates=2), folder=folder)
    assert done.code == 0, done.stderr
    assert "1 new as the mean of the pieces" in done.stderr
    before, after = (RunFolder(folder / name).load_tokenizers() for name in ("run", "tuned"))
    for old, new in ((before.source, after.source), (before.target, after.target)):
        assert new.vocabulary == [*old.vocabulary, "<2de>"]
    languages = ("--source-language", "en", "--target-language", "de")
    done = seq2seq("translate", "tuned", *languages, stdin=b"one two\n", folder=folder)
    assert done.code == 0, done.stderr
    assert b"<2de>" not in done.stdout


def test_unmarked_sides_are_refused(corpus, seq2seq):
    both = ["--set", "data.language_tags=both"]
    arguments = command(*both, output="new")
    unmarked = [each.removeprefix("en=").removeprefix("fr=") for each in arguments]
    done = seq2seq(*unmarked, folder=corpus)
    assert done.code == 2
    assert "needs the language of each source" in done.stderr
    unmarked = [each.removeprefix("same=").removeprefix("back=") for each in arguments]
    done = seq2seq(*unmarked, folder=corpus)
    assert done.code == 2
    assert "begins targets with the tag of their language; mark them" in done.stderr
