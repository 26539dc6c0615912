"""One function decides between kernels and PyTorch, for every operation of a training step."""

from pathlib import Path

import pytest
import torch

import seq2seq_cli
from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.dispatch import engine

ROOT = Path(seq2seq_cli.__file__).parent
QUESTIONS = ("is_compiling(", "multiplies_bfloat16(", "training.library(")


def test_only_the_dispatcher_asks_for_kernels() -> None:
    asking = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if any(question in path.read_text(encoding="utf-8") for question in QUESTIONS)
    }
    assert asking == {"kernels/autograd/dispatch.py", "kernels/training/products.py"}


def test_only_operations_call_training_kernels() -> None:
    calling = {
        path.relative_to(ROOT).parts[:2]
        for path in ROOT.rglob("*.py")
        if "from seq2seq_cli.kernels import training" in path.read_text(encoding="utf-8")
    }
    assert calling == {("kernels", "autograd")}


@pytest.mark.usefixtures("_with_and_without_kernels")
def test_kernels_compute_what_they_support() -> None:
    x = torch.zeros(2, 32)
    has_kernels = training.library() is not None
    computed = "kernel" if has_kernels else "cpu"
    assert engine(x) == engine(x.bfloat16()) == engine(x, x) == computed
    assert engine(x.double()) == engine(x, x.bfloat16()) == "cpu"
    assert engine(x.to("meta")) == engine(x, x.to("meta")) == "torch"
    assert engine(x, products=(32,)) == engine(x.bfloat16(), products=(40,)) == "cpu"
    multiplied = "kernel" if has_kernels and training.multiplies_bfloat16() else "cpu"
    assert engine(x.bfloat16(), products=(64, 32)) == multiplied
