"""Several processes that hold a shard of a model each train as one that holds all of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from seq2seq_cli.runs.checkpoints import SHARDS
from tests.integration.conftest import Command
from tests.integration.test_processes import (
    assert_same_training,
    finish,
    places,
    reports,
    start,
    weights,
)

# Three micro-batches an update, so that one of two processes has a step with none of its own.
SETTINGS = {"precision": "float32", "batch_tokens": 300, "micro_batch_tokens": 200}
SETTINGS |= {"max_updates": 8, "validate_every": 4, "checkpoint_every": 4, "ema_decay": 0.9}
SETTINGS |= {"average": "best", "average_count": 2, "learning_rate": 0.003, "warmup_updates": 2}
SHARD = ["--set", "training.shard=true"]


def trained(command: Command, count: int, name: str, *options: object) -> Path:
    """Train in so many processes, in a run folder of this name."""
    for done in finish(start(command, count, *options)):
        assert done.code == 0, done.stderr
    return command.run.rename(command.folder / name)


def tensors(folder: Path) -> dict[tuple[str, str], bytes]:
    """The bytes of all tensors below a folder; torch writes metadata of shards in random order."""
    return {
        (path.name, name): array.tobytes()
        for path in folder.rglob("*.safetensors")
        for name, array in load_file(path).items()
    }


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("transformer-regularised", {"r_drop": 2.0, "activation_checkpointing": True}),
        ("attention-rnn", {"freeze": ["encoder"]}),
        ("conv", {}),
        ("rnn", {"clip_norm": 0.1}),
    ],
)
def test_a_sharded_training_is_the_same_training(architecture, settings, train) -> None:
    command = train(architecture, **SETTINGS | settings)
    whole = trained(command, 2, "whole")
    sharded = trained(command, 2, "sharded", *SHARD)
    assert_same_training(whole, sharded, {"validation"})
    assert not list((whole / "training").rglob(SHARDS))
    assert list((sharded / "training").rglob(SHARDS))


GUIDED = ["data.alignments=train.align", "training.guided_alignment=0.5", "training.r_drop=2"]


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [("transformer-regularised", GUIDED), ("attention-rnn", ["model.copy_attention=true"])],
)
def test_losses_that_read_attention_are_the_same_in_shards(architecture, settings, train) -> None:
    command = train(architecture, **SETTINGS)
    lines = (command.folder / "train.en").read_text().splitlines()
    links = (" ".join(f"{k}-{k}" for k in range(len(line.split()))) for line in lines)
    (command.folder / "train.align").write_text("".join(f"{line}\n" for line in links))
    options = [part for each in settings for part in ("--set", each)]
    whole = trained(command, 2, "whole", *options)
    sharded = trained(command, 2, "sharded", *options, *SHARD)
    assert_same_training(whole, sharded, {"validation"})


def test_shards_are_continued_by_any_number_of_processes(train) -> None:
    command = train(**SETTINGS)
    unbroken = trained(command, 2, "unbroken", *SHARD)
    finish(start(command, 2, *SHARD, "--max-updates", 4))
    shutil.copytree(command.run, command.folder / "half")
    again = trained(command, 2, "again", *SHARD)
    assert (again / "model.safetensors").read_bytes() == (
        unbroken / "model.safetensors"
    ).read_bytes()
    assert tensors(again / "training") == tensors(unbroken / "training")
    # Shards of two, continued by one that writes whole files, and these by three in shards
    (command.folder / "half").rename(command.run)
    (alone,) = finish(start(command, 1, *SHARD, "--max-updates", 6))
    assert "training.shard has no effect" in alone.stderr
    assert "processes: 1, and 2 before" in alone.stderr
    assert not list(command.run.rglob(SHARDS))
    three = trained(command, 3, "three", *SHARD)
    assert len(list(three.rglob("shard-*.safetensors"))) == 3
    assert_same_training(unbroken, three, {"validation"})


def test_a_folder_that_a_process_does_not_see_is_an_error(train, tmp_path: Path) -> None:
    command = train(**SETTINGS)
    elsewhere = Command(command.seq2seq, tmp_path / "elsewhere")
    shutil.copytree(command.folder, elsewhere.folder)
    one, two = places(2)
    first, second = finish(
        [command.start(*SHARD, environment=one), elsewhere.start(*SHARD, environment=two)]
    )
    assert (first.code, second.code) == (2, 2)
    assert "process 1 does not see the run folder run" in first.stderr
    assert not command.run.exists()


def test_gradients_that_are_exchanged_in_bfloat16_differ_by_rounding(train) -> None:
    command = train("rnn", **SETTINGS)
    options = ["--set", "training.exchange_precision=bfloat16"]
    ways = {"float32": [], "bfloat16": options, "sharded": [*options, *SHARD]}
    found = {name: trained(command, 2, name, *more) for name, more in ways.items()}
    exact, *rounded = (weights(run) for run in found.values())
    for each in rounded:
        differences = {name: float(np.abs(each[name] - exact[name]).max()) for name in exact}
        assert 1e-7 < max(differences.values()) < 0.02
    exact_loss, *losses = (
        [line["loss"] for line in reports(run) if line["kind"] == "validation"]
        for run in found.values()
    )
    for loss in losses:
        assert loss == pytest.approx(exact_loss, abs=1e-2)
