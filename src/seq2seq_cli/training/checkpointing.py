"""Tensors of the training state: optimizer, moving average and random states, by name."""

import torch
from torch import Tensor, nn

from seq2seq_cli.training.averaging import MovingAverage
from seq2seq_cli.training.optimization import load_optimizer_tensors, optimizer_tensors


def training_tensors(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    moving_average: MovingAverage | None,
    device: torch.device,
) -> dict[str, Tensor]:
    """All tensors beside the weights that training needs to continue, on the CPU.

    Random states are named `random/DEVICE`, the moving average `average/WEIGHT`, and the
    optimizer's tensors `KEY/WEIGHT`.
    """
    tensors = optimizer_tensors(model, optimizer)
    if moving_average is not None:
        tensors |= {f"average/{name}": w for name, w in moving_average.tensors().items()}
    tensors["random/cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        tensors["random/mps"] = torch.mps.get_rng_state()
    return {name: tensor.cpu() for name, tensor in tensors.items()}


def restore_training_tensors(
    tensors: dict[str, Tensor],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    moving_average: MovingAverage | None,
    device: torch.device,
) -> None:
    """Restore what `training_tensors` returned. Random states of other devices are left out."""
    random = {name: value for name, value in tensors.items() if name.startswith("random/")}
    averaged = {name: value for name, value in tensors.items() if name.startswith("average/")}
    rest = {name: value for name, value in tensors.items() if name not in random | averaged}
    load_optimizer_tensors(model, optimizer, rest)
    if moving_average is not None:
        moving_average.load({name.removeprefix("average/"): w for name, w in averaged.items()})
    torch.set_rng_state(random["random/cpu"])
    if device.type == "cuda" and "random/cuda" in random:
        torch.cuda.set_rng_state(random["random/cuda"], device)
    elif device.type == "mps" and "random/mps" in random:
        torch.mps.set_rng_state(random["random/mps"])
