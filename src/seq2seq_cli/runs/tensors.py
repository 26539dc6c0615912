"""Safetensors files that carry the hash of their tensors, and the way from and to a module."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from seq2seq_cli.errors import InputError
from seq2seq_cli.text import replace_file

LABEL = "seq2seq"  # the one metadata entry of our files, JSON


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names and bytes of tensors."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        sha.update(name.encode())
        sha.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


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
    with _opened(path) as file:
        return _label(file, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors. Raises InputError if the file is missing, damaged or not what was written."""
    return load_with_label(path)[0]


def load_with_label(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and their label, both of the same file even if it is replaced meanwhile.

    Raises InputError as `load_tensors` does.
    """
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        label = _label(file, path)
        if digest(tensors) != label["sha256"]:
            raise InputError(
                f"{path} is damaged: its weights do not have the hash it was saved with"
            )
    return tensors, label


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file. Raises InputError if it is missing, or damaged where it is read.

    `safe_open` opens its path twice, for the header and for the tensors, and a training may replace
    the file in between; so the path it gets is that of a file which is open already.
    """
    try:
        with path.open("rb") as stream:
            same = Path(f"/dev/fd/{stream.fileno()}")
            with safe_open(same if same.exists() else path, framework="pt") as file:
                yield file
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from None


def _label(file: Any, path: Path) -> dict[str, Any]:
    """The label of an open file. Raises InputError if another program wrote it."""
    try:
        label = json.loads((file.metadata() or {})[LABEL])
        return {"sha256": str(label["sha256"]), "model": label["model"]}
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path} carries no hash of its weights; it was written by another program"
        ) from None


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model by name, on the CPU; a shared one appears once."""
    return {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a model. Raises InputError where a name or a shape does not fit.

    `path` is the file that the tensors came from, for messages.
    """
    parameters = dict(model.named_parameters())
    for name in sorted(parameters.keys() ^ tensors.keys()):
        fault = "lacks" if name in parameters else "has an unknown"
        raise InputError(f"{path} does not fit config.toml: it {fault} tensor {name}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != tensors[name].shape:
                raise InputError(
                    f"{path} does not fit config.toml: {name} is {list(tensors[name].shape)}, "
                    f"{list(parameter.shape)} by the settings"
                )
            parameter.copy_(tensors[name])
