"""Training that is killed, stopped or raised ends as if nothing had happened."""

import gzip
import hashlib
import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tensors import load_tensors
from seq2seq_cli.training.averaging import average
from tests.integration.conftest import write_corpus

# Dropout, accumulation, an average of the best weights; updates, checkpoints, validations and
# epochs that end at different updates.
KILLED = {"accumulate": 2, "checkpoint_every": 3, "validate_every": 7, "average_count": 3}

# All that has a state or draws random numbers.
REGULARISED = KILLED | {"average": "last", "average_every": 5, "ema_decay": 0.9}
REGULARISED |= {"r_drop": 2.0, "word_dropout": 0.1}

# No checkpoint but the first and those that a signal or the end asks for.
STOPPED = {"checkpoint_every": 1000, "validate_every": 50, "valid_beam": 5, "max_updates": 120}

Result = dict[str, object]


def result(run: Path) -> Result:
    """All that training leaves but the times it took: weights, optimizer and states."""
    found: Result = {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("*.safetensors"))
        if ".tmp" not in str(path.relative_to(run))
    }
    (state,) = run.glob("training/update-*/state.json")
    return {**found, **without_times(json.loads(state.read_text()))}


def without_times(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures but for those that depend on how fast the machine was."""
    return {
        name: without_times(value) if isinstance(value, dict) else value
        for name, value in figures.items()
        if name not in ("seconds", "tokens_per_second")
    }


def reports(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [without_times(record) for record in records]


def assert_once(lines: list[dict[str, Any]]) -> None:
    """No update is reported twice."""
    updates = [(line["kind"], line["update"]) for line in lines]
    assert len(updates) == len(set(updates))


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Every file with its bytes and when it was changed."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def last_update(run: Path) -> int:
    return max(int(path.name.removeprefix("update-")) for path in run.glob("training/update-*"))


def assert_loadable(run: Path) -> None:
    """Once a validation was reported there are whole weights to translate with."""
    folder = RunFolder(run)
    if (run / "metrics.jsonl").exists() and "validation" in (run / "metrics.jsonl").read_text():
        folder.load_model()
    elif folder.exists():
        folder.load_tokenizers()


@pytest.fixture(scope="session")
def known() -> dict[str, tuple[Result, list[tuple[str, int]]]]:
    return {}


@pytest.fixture
def unbroken(
    train: Callable[..., Any],
    known: dict[str, tuple[Result, list[tuple[str, int]]]],
) -> Callable[..., tuple[Result, list[tuple[str, int]]]]:
    """What a run without a break leaves: its result and its reports."""

    def make(architecture: str, **training: object) -> tuple[Result, list[tuple[str, int]]]:
        key = repr((architecture, training))
        if key not in known:
            command = train(architecture, **training)
            done = command()
            assert done.code == 0, done.stderr
            known[key] = result(command.run), reports(command.run)
            command.run.rename(command.folder / "unbroken")
        return known[key]

    return make


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [("transformer", KILLED), ("attention-rnn", KILLED), ("transformer-regularised", REGULARISED)],
    ids=["transformer", "attention-rnn", "regularised"],
)
def test_kills_at_random_moments_change_nothing(architecture, settings, train, unbroken):
    expected = unbroken(architecture, **settings)
    command = train(architecture, **settings)
    draw = random.Random(1)
    kills = 0
    while True:
        process = command.start()
        process.wait_for_stderr(b"device:")
        time.sleep(draw.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
        assert_loadable(command.run)
        if kills == 5:
            assert command().code == 0
            break
    assert kills >= 2
    assert (result(command.run), reports(command.run)) == expected


def test_kills_between_any_two_writes_change_nothing(train, unbroken):
    expected = unbroken("transformer", **KILLED)
    command = train("transformer", **KILLED)
    draw = random.Random(1)
    for _ in range(100):
        done = command(writes=draw.randint(0, 30))
        assert_loadable(command.run)
        if done.code == 0:
            break
        assert done.code == -signal.SIGKILL, done.stderr
    assert (result(command.run), reports(command.run)) == expected


def test_the_weights_saved_are_the_moving_average(train):
    command = train(ema_decay=0.9, validate_every=20, average="last", average_count=2)
    assert command().code == 0
    (checkpoint,) = command.run.glob("training/update-*")
    state = load_tensors(checkpoint / "optimizer.safetensors")
    last = load_tensors(command.run / "training/weights/update-00000040.safetensors")
    trained = load_tensors(checkpoint / "weights.safetensors")
    for name, tensor in last.items():
        assert torch.equal(tensor, state[f"average/{name}"])
        assert not torch.equal(tensor, trained[name])
    kept = [load_tensors(path) for path in command.run.glob("training/weights/*")]
    choices = [*kept, average(kept)]
    saved = load_tensors(command.run / "model.safetensors")
    assert any(all(torch.equal(one[name], saved[name]) for name in saved) for one in choices)


@pytest.mark.parametrize("writes", [1, 3, 5, 7])
def test_a_kill_while_the_run_folder_is_made_leaves_one_to_continue(writes, train):
    command = train(max_updates=1)
    killed = command(writes=writes)
    assert killed.code == -signal.SIGKILL, killed.stderr
    done = command()
    assert done.code == 0, done.stderr


@pytest.mark.parametrize(
    ("number", "where"),
    [
        (signal.SIGINT, "training"),
        (signal.SIGINT, "validation"),
        (signal.SIGTERM, "training"),
        (signal.SIGTERM, "validation"),
    ],
)
def test_a_signal_saves_first(number, where, train, unbroken, corpus):
    write_corpus(corpus, valid_lines=2000)  # so that a validation takes long enough to be met
    expected = unbroken("transformer", **STOPPED)
    command = train("transformer", **STOPPED)
    process = command.start()
    # The report of update 50 comes right before its validation, whose report comes after it.
    process.wait_for_stderr(b"update 50 " if where == "validation" else b"validation at update 50")
    time.sleep(0.02)
    process.send_signal(number)
    done = process.finish()
    assert done.code == 128 + number
    assert f"stopped by {number.name}, all saved; the same command continues" in done.stderr
    assert "Traceback" not in done.stderr
    update = last_update(command.run)
    assert update == 50 if where == "validation" else 50 < update < 100
    if where == "validation":  # which is done again, and again after a kill, but counts once
        process = command.start()
        process.wait_for_stderr(b"validation at update 50")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert command().code == 0
    assert (result(command.run), reports(command.run)) == expected


def test_a_finished_run_says_so_and_is_left_alone(train):
    command = train()
    assert command().code == 0
    before = contents(command.run)
    done = command()
    assert done.code == 0
    assert "finished since update 40: the limit of 40 updates was reached" in done.stderr
    assert contents(command.run) == before


def test_a_raised_limit_continues_as_if_it_had_been_that_high_from_the_start(train, unbroken):
    settings = {"checkpoint_every": 10, "validate_every": 20}
    expected, _ = unbroken("transformer", **settings, max_updates=70)
    command = train("transformer", **settings, max_updates=30)
    assert command().code == 0
    assert command("--max-updates", 70, writes=25).code == -signal.SIGKILL
    assert last_update(command.run) < 70
    assert command("--max-updates", 70).code == 0
    assert result(command.run) == expected
    assert_once(reports(command.run))


SCORED = {"stop_metric": "loss", "stop_score": 2.0, "max_updates": 500} | {
    "checkpoint_every": 7, "validate_every": 10
}  # fmt: skip


def test_a_training_that_ends_at_a_score_ends_there_after_kills_too(train, unbroken):
    expected, lines = unbroken("transformer", **SCORED)
    lines = [line for line in lines if line["kind"] != "final"]
    assert lines[-1]["kind"] == "validation"
    assert lines[-1]["loss"] <= 2.0 < lines[-2]["loss"]
    assert lines[-1]["update"] < 500
    command = train("transformer", **SCORED)
    assert command(writes=40).code == -signal.SIGKILL
    assert 0 < last_update(command.run) < lines[-1]["update"]
    done = command()
    assert done.code == 0, done.stderr
    reason = f"loss reached {lines[-1]['loss']:.2f}; the goal was 2"
    assert f"done: {reason}" in done.stderr
    assert (result(command.run), reports(command.run)) == (expected, lines)
    assert RunFolder(command.run).finished() == (lines[-1]["update"], reason)


def test_other_settings_are_refused_by_name_until_restart(train):
    command = train()
    assert command().code == 0
    before = contents(command.run)
    changed = ["--set", "model.dropout=0.3", "--set", "training.accumulate=2", "--seed", "7"]
    done = command(*changed)
    assert done.code == 2
    assert "model.dropout: 0.1 before, 0.3 now" in done.stderr
    assert "training.accumulate: 1 before, 2 now" in done.stderr
    assert "training.seed: 1 before, 7 now" in done.stderr
    assert done.stderr.count("before,") == 3
    assert contents(command.run) == before

    assert command(*changed, "--restart").code == 0
    assert "dropout = 0.3" in (command.run / "config.toml").read_text()
    assert_once(reports(command.run))
    assert command(*changed).code == 0


def test_a_refused_resumption_changes_nothing(train):
    command = train(checkpoint_every=10)
    assert command().code == 0
    (command.folder / "train.en").write_text("another text\n" * 20)
    (command.folder / "train.de").write_text("ein anderer Text\n" * 20)
    files = [path for path in command.run.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    assert command("--max-updates", 1000).code == 2
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", ["train.de", "valid.en"])
def test_other_data_in_the_same_files_is_refused(name, train):
    command = train(checkpoint_every=10)
    assert command(writes=40).code == -signal.SIGKILL
    lines = (command.folder / name).read_text().splitlines()
    (command.folder / name).write_text("".join(f"{line}\n" for line in reversed(lines)))
    before = result(command.run)
    done = command()
    assert done.code == 2
    assert "data is not what this run began with" in done.stderr
    assert result(command.run) == before


def test_restart_removes_nothing_before_the_new_run_can_begin(train):
    command = train()
    assert command().code == 0
    before = contents(command.run)
    (command.folder / "train.de").unlink()
    assert command("--restart").code == 2
    assert contents(command.run) == before


@pytest.mark.parametrize("name", ["training/notes.txt", "config.toml"])
@pytest.mark.parametrize("options", [[], ["--restart"]])
def test_a_folder_that_is_not_a_run_is_left_alone(options, name, train):
    command = train()
    (command.run / "training").mkdir(parents=True)
    (command.run / name).write_text("[mine]")
    done = command(*options)
    assert done.code == 2
    assert str(command.run.name) in done.stderr
    assert list(contents(command.run)) == [command.run / name]


@pytest.mark.parametrize("writes", [2, 5, 8, 11])
def test_a_kill_while_the_cache_is_filled_leaves_nothing_half_made(writes, train):
    command = train(max_updates=2)
    expected = command("--output", "other")
    assert expected.code == 0, expected.stderr
    cache = ["--cache", "run-cache"]  # so named, its writes are counted
    killed = command(*cache, writes=writes)
    assert killed.code == -signal.SIGKILL, killed.stderr
    for _ in range(2):
        done = command(*cache, "--restart")
        assert done.code == 0, done.stderr
        assert result(command.run) == result(command.folder / "other")
    assert not list(command.folder.glob("run-cache/.*"))


STREAM = ["--set", "data.stream=true", "--set", "data.stream_pairs=70"]
SAMPLED = ["--set", "data.subword_sampling=0.1"]
MIXED = ["--set", "data.temperature=4", "--weights", "2,1"]


@pytest.mark.parametrize(
    "options", [STREAM + SAMPLED, MIXED, SAMPLED], ids=["stream", "mixture", "sampled"]
)
def test_a_killed_training_on_what_changes_with_the_epoch_continues(options, train):
    command = train(checkpoint_every=5)
    for language in ("en", "de"):
        text = (command.folder / f"train.{language}").read_text()
        (command.folder / f"more.{language}").write_text("".join(text.splitlines(True)[:90]))
    for side, language in (("source", "en"), ("target", "de")):
        options = [*options, f"--{side}", f"more.{language}"]
    expected = command(*options, "--output", "unbroken")
    assert expected.code == 0, expected.stderr
    draw = random.Random(1)
    for _ in range(100):
        done = command(*options, writes=draw.randint(10, 30))
        if done.code == 0:
            break
        assert done.code == -signal.SIGKILL, done.stderr
    assert result(command.run) == result(command.folder / "unbroken")


ELSEWHERE = {
    "--source": "moved/corpus/train.en", "--target": "moved/corpus/train.de",
    "--valid-source": "moved/corpus/valid.en", "--valid-target": "moved/corpus/valid.de",
}  # fmt: skip


def move_corpus(folder: Path) -> None:
    """Move all text of the toy corpus into other folders."""
    (folder / "moved" / "corpus").mkdir(parents=True)
    for path in folder.glob("*.[ed][ne]"):
        path.rename(folder / "moved" / "corpus" / path.name)


def test_a_corpus_that_has_moved_continues_to_the_same_bytes(train, unbroken):
    expected = unbroken("transformer", **KILLED)
    command = train("transformer", **KILLED)
    assert command(writes=40).code == -signal.SIGKILL
    assert 0 < last_update(command.run) < 40
    move_corpus(command.folder)
    done = command(files=ELSEWHERE)
    assert done.code == 0, done.stderr
    assert (result(command.run), reports(command.run)) == expected
    assert "moved/corpus/train.en" in (command.run / "config.toml").read_text()


@pytest.mark.parametrize("name", ["train.de", "valid.en"])
def test_a_file_that_has_moved_and_changed_is_named(name, train):
    command = train()
    assert command().code == 0
    move_corpus(command.folder)
    path = command.folder / "moved" / "corpus" / name
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(reversed(lines)))
    before = contents(command.run)
    setting = {"train.de": "data.target", "valid.en": "data.valid_source"}[name]
    for options in ([], ["--max-updates", 60]):  # a finished run is compared too
        done = command(*options, files=ELSEWHERE)
        assert done.code == 2
        assert f"what has changed is moved/corpus/{name} ({setting}); give the" in done.stderr
        assert contents(command.run) == before


def test_a_finished_run_whose_corpus_has_moved_says_that_it_is_finished(train):
    command = train()
    assert command().code == 0
    move_corpus(command.folder)
    before = contents(command.run)
    done = command(files=ELSEWHERE)
    assert done.code == 0
    assert "finished since update 40: the limit of 40 updates was reached" in done.stderr
    assert contents(command.run) == before


def test_the_same_lines_in_another_file_are_the_same_data(train):
    """What counts are the pairs: they may be compressed, and lines may end otherwise."""
    command = train()
    assert command().code == 0
    text = (command.folder / "train.en").read_bytes()
    (command.folder / "packed.en.gz").write_bytes(gzip.compress(text.replace(b"\n", b"\r\n")))
    done = command("--max-updates", 60, files={"--source": "packed.en.gz"})
    assert done.code == 0, done.stderr
    assert "continuing from update 40" in done.stderr


def test_checkpoints_of_before_continue_from_elsewhere_without_naming_what_changed(train):
    command = train()
    assert command().code == 0
    (state,) = command.run.glob("training/update-*/state.json")
    older = json.loads(state.read_text())
    assert older.pop("files")
    state.write_text(json.dumps(older))
    move_corpus(command.folder)
    done = command("--max-updates", 60, files=ELSEWHERE)
    assert done.code == 0, done.stderr
    (state,) = command.run.glob("training/update-*/state.json")
    state.write_text(json.dumps({**json.loads(state.read_text()), "files": {}}))
    (command.folder / "moved/corpus/train.en").write_text("one\n" * 300)
    done = command("--max-updates", 80, files=ELSEWHERE)
    assert done.code == 2
    assert "the data is not what this run began with; give the same files" in done.stderr


def test_a_stream_that_changes_after_its_first_portion_continues_with_a_warning(train):
    """So that a broken part of it can be mended."""
    command = train()
    assert command(*STREAM).code == 0
    path = command.folder / "train.en"
    text = path.read_text()
    path.write_text(text + "one two\n")
    (command.folder / "train.de").open("a").write("eins zwei\n")
    done = command(*STREAM, "--max-updates", 60)
    assert done.code == 0, done.stderr
    assert "train.en (data.source), train.de (data.target): not what this run" in done.stderr
    path.write_text("one two\n" + text)
    done = command(*STREAM, "--max-updates", 80)
    assert done.code == 2
    assert "what has changed is train.en (data.source)" in done.stderr


def test_tokenizers_and_a_pretrained_run_may_move_too_but_not_change(train, trained):
    command = train()
    shutil.copytree(trained, command.folder / "origin")
    tokenizer = ["--source-tokenizer", "origin/tokenizer.model"]
    tokenizer += ["--target-tokenizer", "origin/tokenizer.model"]
    options = [*tokenizer, "--init-from", "origin"]
    assert command(*options).code == 0
    (command.folder / "origin").rename(command.folder / "moved")
    moved = [option.replace("origin", "moved") for option in options]
    done = command(*moved, "--max-updates", 60)
    assert done.code == 0, done.stderr

    done = command(*moved[:-1], "run", "--max-updates", 80)
    assert done.code == 2
    assert 'training.init_from = "run" is the run folder to write' in done.stderr
    assert command("--output", "other", "--set", "tokenizer.vocabulary_size=30").code == 0
    for number, message in (
        (-1, 'training.init_from = "other" does not hold the weights that run began with'),
        (1, 'data.source_tokenizer = "other/tokenizer.model" is not the tokenizer that run began'),
    ):
        changed = list(moved)
        changed[number] = "other/tokenizer.model" if number == 1 else "other"
        done = command(*changed, "--max-updates", 80)
        assert done.code == 2
        assert message in done.stderr


def test_without_a_checkpoint_the_paths_are_settings_like_others(train):
    command, writes = train(), 8
    while not (command.run / "config.toml").exists():
        writes += 1
        assert command(writes=writes).code == -signal.SIGKILL
    assert not list(command.run.glob("training/update-*"))
    move_corpus(command.folder)
    done = command(files=ELSEWHERE)
    assert done.code == 2
    assert 'data.source: ["train.en"] before, ["moved/corpus/train.en"] now' in done.stderr


def test_pairs_are_joined_alike_after_a_break(train: Callable[..., Any]) -> None:
    command = train(max_updates=24, checkpoint_every=7)
    joined = ("--set", "data.join_sentences=0.4", "--set", "data.subword_sampling=0.2")
    assert command(*joined).code == 0
    expected = result(command.run), reports(command.run)
    command.run.rename(command.folder / "unbroken")
    process = command.start(*joined)
    process.wait_for_stderr(b"device:")
    while not [*command.run.glob("training/update-*")]:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert command(*joined).code == 0
    assert (result(command.run), reports(command.run)) == expected
