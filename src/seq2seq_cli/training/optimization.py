"""The optimizer, and the learning rate as a function of the update alone."""

import math

import torch
from torch import Tensor, nn

from seq2seq_cli.config.training import TrainingConfig


def learning_rate(config: TrainingConfig, update: int, end: int = 0) -> float:
    """The learning rate of an update, counted from 1: a linear warm-up, then the schedule.

    inverse-sqrt: Vaswani 2017; linear, down to zero at the update `end`, or else at max_updates:
    Defazio 2023; cosine, down to zero at max_updates: Loshchilov and Hutter 2017.
    """
    warmup = config.warmup_updates
    if update < warmup:
        return config.learning_rate * update / warmup
    if config.schedule == "inverse-sqrt":
        return config.learning_rate * math.sqrt(max(warmup, 1) / update)
    if config.schedule == "linear":
        end = end or config.max_updates
        # An update later, or the last one would be for nothing.
        return config.learning_rate * max(0.0, (end + 1 - update) / max(1, end + 1 - warmup))
    if config.schedule == "cosine":
        progress = (update - warmup) / max(1, config.max_updates - warmup)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.learning_rate


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) without weight decay of biases and norms.

    Frozen parameters are left out.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.dim() >= 2]
    vectors = [p for p in trained if p.dim() < 2]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by name, as `exp_avg/encoder.weight`."""
    return {
        f"{key}/{name}": value
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Restore what `optimizer_tensors` returned, on the device of each parameter.

    A fused optimizer refuses state on another device, the number of its steps included.
    """
    parameters = dict(model.named_parameters())
    for full_name, value in tensors.items():
        key, name = full_name.split("/", 1)
        parameter = parameters[name]
        optimizer.state[parameter][key] = value.to(parameter.device)
