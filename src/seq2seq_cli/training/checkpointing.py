"""Tensors of the training state: optimizer and moving average, by name."""

import torch
from torch import Tensor, nn

from seq2seq_cli.training.averaging import MovingAverage
from seq2seq_cli.training.optimization import load_optimizer_tensors, optimizer_tensors

AVERAGE = "average/"
RANDOM = "random/"  # states of random numbers, which checkpoints of older versions hold


def training_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, moving_average: MovingAverage | None
) -> dict[str, Tensor]:
    """All tensors beside the weights that training needs to continue, on the CPU.

    The moving average is named `average/WEIGHT`, the optimizer's tensors `KEY/WEIGHT`. There are no
    random states: each micro-batch is drawn for by a seed of its own.
    """
    tensors = optimizer_tensors(model, optimizer)
    if moving_average is not None:
        tensors |= {f"{AVERAGE}{name}": w for name, w in moving_average.tensors().items()}
    return {name: tensor.cpu() for name, tensor in tensors.items()}


def restore_training_tensors(
    tensors: dict[str, Tensor],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    moving_average: MovingAverage | None,
) -> None:
    """Restore what `training_tensors` returned."""
    averaged = {
        name.removeprefix(AVERAGE): tensor
        for name, tensor in tensors.items()
        if name.startswith(AVERAGE)
    }
    others = {n: tensor for n, tensor in tensors.items() if not n.startswith((AVERAGE, RANDOM))}
    load_optimizer_tensors(model, optimizer, others)
    if moving_average is not None:
        moving_average.load(averaged)
