"""Several processes that hold a shard of a model each train as one that holds all of it."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from seq2seq_cli.runs.arrays import load_arrays
from seq2seq_cli.runs.checkpoints import SHARDS
from tests.integration.conftest import Command
from tests.integration.test_processes import assert_same_training, finish, reports, start
from tests.integration.test_resume import without_times

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


def tensors(folder: Path) -> dict[str, list[bytes]]:
    """The bytes of all tensors below a folder, by name; shards by the process that wrote them."""
    found: dict[str, list[bytes]] = {}
    for path in sorted(folder.rglob("*.safetensors")):
        for name, array in load_plain(path).items():
            found.setdefault(name, []).append(array)
    return found


def load_plain(path: Path) -> dict[str, bytes]:
    from safetensors.numpy import load_file

    return {name: array.tobytes() for name, array in load_file(path).items()}


def state(run: Path) -> dict[str, object]:
    (path,) = run.glob("training/update-*/state.json")
    return without_times(json.loads(path.read_text()))


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
