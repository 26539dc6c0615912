"""Safetensors files that carry the hash of their tensors, and the way from and to a module."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from seq2seq_cli.errors import InputError
from seq2seq_cli.runs import arrays
from seq2seq_cli.runs.arrays import LABEL, label_of, opened
from seq2seq_cli.text import replace_file


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names and bytes of tensors."""
    return arrays.digest(
        {
            name: tensor.contiguous().view(-1).view(torch.uint8).numpy().data
            for name, tensor in tensors.items()
        }
    )


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], model_settings: Mapping[str, Any] | None = None
) -> None:
    """Write tensors in one step, labelled with their hash and the settings of the model, if given.

    There is one label instead of two because safetensors writes metadata in random order, and equal
    runs should be equal files.
    """
    label = json.dumps({"sha256": digest(tensors), "model": model_settings})
    replace_file(path, safetensors_bytes(dict(tensors), metadata={LABEL: label}))


def read_label(path: Path) -> dict[str, Any]:
    """The label that `save_tensors` wrote: "sha256" and "model".

    Raises InputError if the file is damaged or was written by another program.
    """
    with opened(path, "pt") as (file, _):
        return label_of(file, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors. Raises InputError if the file is missing, damaged or not what was written."""
    return load_with_label(path)[0]


def load_with_label(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and their label, both of the same file even if it is replaced meanwhile.

    Raises InputError as `load_tensors` does.
    """
    with opened(path, "pt") as (file, _):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        label = label_of(file, path)
        if digest(tensors) != label["sha256"]:
            raise InputError(arrays.damaged(path))
    return tensors, label


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model by name, on the CPU; a shared one appears once."""
    return {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a model. Raises InputError where a name or a shape does not fit.

    `path` is the file that the tensors came from, for messages.
    """
    parameters = dict(model.named_parameters())
    arrays.check_shapes(
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        {name: tuple(parameter.shape) for name, parameter in parameters.items()},
        path,
    )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
