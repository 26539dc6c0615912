"""`seq2seq average`: the mean of weights is a run like others; other weights are refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from seq2seq_cli.runs.tensors import load_tensors

SETTINGS = {"average": "none", "average_every": 10, "average_count": 3, "validate_every": 25}


def kept(run: Path, update: int) -> Path:
    return run / f"training/weights/update-{update:08d}.safetensors"


def assert_mean(run: Path, files: list[Path]) -> None:
    """The weights in a run folder are the mean of those in files, tensor by tensor."""
    found = load_tensors(run / "model.safetensors")
    parts = [load_tensors(file) for file in files]
    for name, tensor in found.items():
        mean = torch.stack([part[name] for part in parts]).mean(dim=0)
        torch.testing.assert_close(tensor, mean, rtol=1e-6, atol=1e-7)
        assert not torch.equal(tensor, parts[0][name])


@pytest.fixture
def run(train) -> Path:
    """Saved weights of updates 30, 40 and 50, not validated, and of 25 and 50, validated."""
    command = train(**SETTINGS, max_updates=50)
    done = command()
    assert done.code == 0, done.stderr
    return command.run


def test_weights_are_saved_at_an_interval_and_averaged(seq2seq, run):
    for options, updates in (
        (["--last", 2], [40, 50]),
        (["--updates", "50,30"], [30, 50]),
        ([], sorted(int(file.stem[7:]) for file in (run / "training/weights").iterdir())),
    ):
        shutil.rmtree(run.parent / "mean", ignore_errors=True)
        done = seq2seq("average", "run", "--output", "mean", *options, folder=run.parent)
        assert done.code == 0, done.stderr
        assert done.stderr.count("update-") == len(updates)
        assert_mean(run.parent / "mean", [kept(run, update) for update in updates])
    assert {30, 40, 50} <= set(updates) <= {25, 30, 40, 50}


def test_training_ends_in_the_average_of_the_last_ones_if_that_is_best(train):
    settings = SETTINGS | {"average": "last", "max_updates": 110, "learning_rate": 0.05}
    done = (command := train(**settings))()
    assert "the average of updates 90, 100, 110: loss " in done.stderr
    state = json.loads(next(command.run.glob("training/update-*/state.json")).read_text())
    assert state["snapshots"] == [90, 100, 110]


def test_an_average_stands_alone_and_is_not_trained_further(seq2seq, run):
    folder = run.parent
    assert seq2seq("average", "run", "--output", "new/mean", folder=folder).code == 0
    shutil.rmtree(run)
    mean = folder / "new" / "mean"
    assert {path.name for path in mean.iterdir()} == {
        *("config.toml", "tokenizer.model", "model.safetensors", "metrics.jsonl"),
        "shortlist.safetensors",
    }
    done = seq2seq("translate", mean, "--shortlist", stdin=b"one two .\n\n")
    assert (done.code, done.stdout.count(b"\n")) == (0, 2)
    again = ["train", "--config", mean / "config.toml", "--output", mean]
    done = seq2seq(*again, "--max-updates", 90, folder=folder)
    assert done.code == 2
    assert "holds a model but no checkpoint to continue from" in done.stderr
    assert seq2seq(*again, "--restart", folder=folder).code == 0


def test_the_best_validated_are_averaged_and_runs_with_runs(seq2seq, train):
    command = train(validate_every=10, average_count=3)
    assert command().code == 0
    state = json.loads((command.run / "training/update-00000040/state.json").read_text())
    best = sorted(state["saved_weights"], key=lambda entry: -entry["value"])[:2]
    done = seq2seq("average", "run", "-o", "best", "--best", 2, folder=command.folder)
    assert done.code == 0, done.stderr
    assert "other random weights" not in done.stderr
    assert_mean(command.folder / "best", [kept(command.run, entry["update"]) for entry in best])

    assert command("--output", "other", "--seed", 7).code == 0
    done = seq2seq("average", "run", "other", "-o", "both", folder=command.folder)
    assert done.code == 0, done.stderr
    assert "run and other began with other random weights" in done.stderr
    models = [command.folder / name / "model.safetensors" for name in ("run", "other")]
    assert_mean(command.folder / "both", models)
    assert "run/model.safetensors" in (command.folder / "both/metrics.jsonl").read_text()


def test_runs_that_differ_only_in_what_training_uses_are_averaged(seq2seq, train):
    command = train(max_updates=5)
    assert command().code == 0
    assert command("--output", "other", "--set", "model.activation_dropout=0.4").code == 0
    done = seq2seq("average", "run", "other", "-o", "both", folder=command.folder)
    assert done.code == 0, done.stderr
    models = [command.folder / name / "model.safetensors" for name in ("run", "other")]
    assert_mean(command.folder / "both", models)


def test_weights_that_cannot_be_averaged_are_refused_and_nothing_written(seq2seq, train, run):
    command = train(max_updates=1)
    assert command("--output", "narrow", "--set", "model.width=16").code == 0
    assert command("--output", "alone", "--set", "training.average=none").code == 0
    assert command("--output", "words", "--set", "data.joint_vocabulary=false").code == 0
    (command.folder / "others").mkdir()
    (command.folder / "others" / "notes").write_text("mine")
    shutil.rmtree(command.folder / "alone" / "training" / "weights")
    before = sorted(command.folder.rglob("*"))
    for arguments, message in (
        (["run", "narrow"], "different models: model.width is 32 and 16; only equal ones"),
        (["run", "words"], "run and words have different tokenizers"),
        (["alone"], "alone has no saved weights to average"),
        (["run", "--last", 9], "of saved weights (updates "),
        (["run", "--best", 9], "saved validated weights (updates "),
        (["run", "--updates", "35"], "run has no saved weights of update 35, but those of "),
        (["run", "--updates", "35,x"], "--updates 35,x: whole numbers separated by commas"),
        (["run", "--last", 1, "--best", 1], "exclude each other"),
        (["nothing"], "nothing: no such run folder"),
    ):
        done = seq2seq("average", *arguments, "--output", "mean", folder=command.folder)
        assert done.code == 2, done.stderr
        assert message in done.stderr
    done = seq2seq("average", "run", "--output", "others", folder=command.folder)
    assert (done.code, "others exists already" in done.stderr) == (2, True)
    assert sorted(command.folder.rglob("*")) == before
