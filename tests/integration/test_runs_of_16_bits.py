"""A run whose weights are stored in 16 bits is the run of the same numbers in 32 bits."""

import dataclasses
import filecmp
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from seq2seq_cli.interop.foreign_model import StoredWeight, widened
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.stored_weights import save_stored_weights

SOURCES = b"one two three .\nnine\nseven seven zero four two .\nfive one\n"
KINDS = ["float16", "bfloat16"]


def narrowed(array: np.ndarray, kind: str) -> np.ndarray:
    """The numbers as they are stored in this type."""
    if kind == "float16":
        return array.astype(np.float16)
    return torch.from_numpy(array).bfloat16().view(torch.int16).numpy().view(np.uint16)


def write_runs(run: Path, folder: Path, kind: str) -> tuple[Path, Path]:
    """Copies of a run to translate with: in 16 bits, and the same numbers in 32 bits."""
    source = RunFolder(run)
    plain, settings = source.load_plain_model(), dataclasses.asdict(source.load_config().model)
    half = {name: narrowed(np.array(array), kind) for name, array in plain.arrays.items()}
    wide = {name: widened(array) for name, array in half.items()}
    for name, arrays in (("half", half), ("wide", wide)):
        shutil.copytree(run, folder / name, ignore=shutil.ignore_patterns("training", "packed"))
        weights = {each: StoredWeight.of(array) for each, array in arrays.items()}
        save_stored_weights(folder / name / "model.safetensors", weights, settings)
    return folder / "half", folder / "wide"


@pytest.fixture(scope="module", params=KINDS)
def runs(
    trained: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Path, Path]:
    return write_runs(trained, tmp_path_factory.mktemp("runs"), request.param)


@pytest.mark.parametrize("kernels", ["", "off"])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_it_writes_the_same_bytes(runs, seq2seq, kernels, precision):
    options = ("--beam", "4", "--precision", precision, "--format", "jsonl", "--n-best", "2")
    environment = {"SEQ2SEQ_NATIVE": kernels}
    half, wide = (
        seq2seq("translate", run, *options, stdin=SOURCES, environment=environment) for run in runs
    )
    assert half.code == 0, half.stderr
    assert half.stdout.count(b"\n") == 4
    assert half.stdout == wide.stdout


def test_info_says_how_it_is_stored(runs, seq2seq):
    half, wide = (seq2seq("info", run, "--format", "json") for run in runs)
    (kind,) = json.loads(half.stdout)["bytes"]
    assert kind in KINDS
    count = json.loads(half.stdout)["parameters"]
    assert json.loads(half.stdout)["bytes"] == {kind: 2 * count}
    assert json.loads(wide.stdout)["bytes"] == {"float32": 4 * count}
    assert f"stored as        {kind}: {2 * count / 1e6:,.1f} MB\n" in (
        seq2seq("info", runs[0]).stdout.decode()
    )


def test_fine_tuning_and_averages_continue_in_32_bits(runs, train, seq2seq):
    written = []
    for run in runs:
        command = train(max_updates=2, validate_every=2)
        shutil.rmtree(command.run, ignore_errors=True)
        done = command("--init-from", run)
        assert done.code == 0, done.stderr
        average = command.folder / f"average-{run.name}"
        done = seq2seq("average", run, run, "-o", average)
        assert done.code == 0, done.stderr
        written.append(
            [(each / "model.safetensors").read_bytes() for each in (command.run, average)]
        )
    assert written[0] == written[1]


@pytest.mark.parametrize("quantization", ["float32", "float16", "int8"])
def test_it_is_exported_as_the_same_numbers(runs, tmp_path, seq2seq, quantization):
    for run in runs:
        options = ("--quantization", quantization)
        done = seq2seq("export", run, tmp_path / run.name, *options)
        assert done.code == 0, done.stderr
    files = sorted(path.name for path in (tmp_path / "half").iterdir())
    assert "model.bin" in files
    same, *_ = filecmp.cmpfiles(tmp_path / "half", tmp_path / "wide", files, shallow=False)
    assert set(files) - set(same) <= {"README.md"}
