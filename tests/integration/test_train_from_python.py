"""Whatever `seq2seq train` does, two Python functions do."""

from pathlib import Path

import pytest
import torch

from seq2seq_cli.training.run import train_run
from seq2seq_cli.training.settings import merge_settings

TEXTS = {
    "source": "train.en",
    "target": "train.de",
    "valid_source": "valid.en",
    "valid_target": "valid.de",
}


def test_a_run_trained_from_python_is_the_one_that_the_command_trains(train, monkeypatch):
    command = train(max_updates=4, warmup_updates=2, validate_every=2)
    done = command("--set", "model.dropout=0.25")
    assert done.code == 0, done.stderr
    monkeypatch.chdir(command.folder)
    config = merge_settings(
        {"data": TEXTS, "model": {"dropout": 0.25}}, file=Path("tiny.toml"), warn=pytest.fail
    )
    train_run(config, Path("python"), device=torch.device("cpu"), warn=pytest.fail)
    for name in ("config.toml", "model.safetensors"):
        assert Path("python", name).read_bytes() == (command.run / name).read_bytes()


def test_settings_without_effect_are_named_to_python_too():
    warnings: list[str] = []
    given = {"training": {"freeze": ["encoder"]}, "tokenizer": {"seed": 2}}
    given["data"] = TEXTS | {"source_tokenizer": "a.model", "target_tokenizer": "a.model"}
    merge_settings(given, warn=warnings.append)
    assert [each.split(":")[0] for each in warnings] == [
        "tokenizer.seed has no effect",
        "training.freeze without --init-from leaves these weights as they were drawn at random",
    ]
