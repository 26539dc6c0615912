"""Safetensors files that carry the hash of their tensors, and the way from and to a module."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from seq2seq_cli.errors import InputError
from seq2seq_cli.models.shards import own_shard
from seq2seq_cli.runs import arrays
from seq2seq_cli.runs.arrays import LABEL, label_of, opened
from seq2seq_cli.whole_files import replace_file, replacing_file


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


def save_one_by_one(
    path: Path,
    shapes: Mapping[str, Sequence[int]],
    tensors: Iterable[tuple[str, Tensor]],
    model_settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the bytes that `save_tensors` does, of float32 tensors that come one after the other.

    They come sorted by name, with these shapes, so that there is never more than one in memory.
    """
    sha = hashlib.sha256()
    names = sorted(shapes)
    with replacing_file(path) as stream:
        stream.write(_header({name: shapes[name] for name in names}, "0" * 64, model_settings))
        for name, (found, tensor) in zip(names, tensors, strict=True):
            if found != name or list(tensor.shape) != list(shapes[name]):
                raise ValueError(f"{found} {list(tensor.shape)} came for {name} {shapes[name]}")
            data = tensor.float().contiguous().view(-1).view(torch.uint8).numpy().data
            sha.update(name.encode())
            sha.update(data)
            stream.write(data)
        stream.seek(0)
        stream.write(_header(shapes, sha.hexdigest(), model_settings))


def _header(
    shapes: Mapping[str, Sequence[int]], sha256: str, model_settings: Mapping[str, Any] | None
) -> bytes:
    """The beginning of a safetensors file with float32 tensors, sorted by name."""
    label = json.dumps({"sha256": sha256, "model": model_settings})
    entries: dict[str, Any] = {"__metadata__": {LABEL: label}}
    end = 0
    for name in sorted(shapes):
        first, end = end, end + 4 * math.prod(shapes[name])
        entries[name] = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [first, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


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


def load_one_by_one(path: Path, names: Iterable[str]) -> Iterator[Tensor | None]:
    """Read these tensors one after the other, None for one that is not there.

    The file is compared with its hash first. Raises InputError as `load_tensors` does.
    """
    found, _ = arrays.load_arrays(path)
    for name in names:
        yield torch.tensor(found[name]) if name in found else None


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model by name, on the CPU; a shared one appears once.

    Of one that is sharded, the shards that this process holds.
    """
    return {name: own_shard(p).cpu().contiguous() for name, p in model.named_parameters()}


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a model. Raises InputError where a name or a shape does not fit.

    `path` is the file that the tensors came from, for messages. A sharded model takes the shards
    that this process holds.
    """
    parameters = {name: own_shard(p) for name, p in model.named_parameters()}
    arrays.check_shapes(
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        {name: tuple(parameter.shape) for name, parameter in parameters.items()},
        path,
    )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
