"""The files of a Hugging Face folder: settings, weights, and what its README says of itself.

Weights are mapped, in one file or in several that an index names. Pickled ones are read by
`torch.load(weights_only=True)` alone, which runs no code of the file.
"""

import json
import math
import mmap
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.arrays import Array
from seq2seq_cli.runs.stored_weights import NUMPY_TYPES, StoredWeight, WeightType

CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer_config.json", "special_tokens_map.json"
SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
MOST_JSON = 1 << 28  # bytes; the largest tokenizer.json of a translation model has 32 MB

LICENCE = re.compile(r"^licen[cs]e:[ \t]*(?:\n-[ \t]*)?[\"']?([^\s\"'\[\]]+)", re.MULTILINE)


def read_json(path: Path) -> dict[str, Any]:
    """Read an object from a JSON file. Raises InputError if it is missing or damaged."""
    try:
        require(
            path.stat().st_size <= MOST_JSON,
            f"{path} has {path.stat().st_size:,} bytes, more than any such file needs; copy the "
            "folder again",
        )
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path} is missing; copy the whole folder") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is damaged: it is not JSON; copy it again") from None
    require(isinstance(value, dict), f"{path} is damaged: it is not an object of JSON")
    return cast(dict[str, Any], value)


def read_json_if_there(path: Path) -> dict[str, Any]:
    """As `read_json`, and an empty object for a file that is missing."""
    return read_json(path) if path.exists() else {}


def licence_of(folder: Path) -> str:
    """The licence that the README's front matter names, or ""."""
    text = readme_of(folder)
    if not text.startswith("---"):
        return ""
    found = LICENCE.search(text.split("\n---", 1)[0])
    return found[1] if found else ""


def readme_of(folder: Path) -> str:
    """The text of the README, or ""."""
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


# Weights


def read_tensors(folder: Path) -> dict[str, StoredWeight]:
    """The tensors of a folder by name: of safetensors if there are any, otherwise pickled ones.

    Those of other types than F32, F16 and BF16 are left out.

    Raises InputError, with the file, for what is missing or damaged.
    """
    for name, read in ((SAFETENSORS, _safetensors), (PICKLE, _pickled)):
        index = folder / f"{name}.index.json"
        if (folder / name).exists():
            return read(folder / name)
        if index.exists():
            return _sharded(index, read)
    raise InputError(
        f"{folder} has no weights: neither {SAFETENSORS} nor {PICKLE}, nor an index of several "
        "such files; copy the whole folder"
    )


def _sharded(
    index: Path, read: Callable[[Path], dict[str, StoredWeight]]
) -> dict[str, StoredWeight]:
    """The tensors of the files that an index names."""
    where = read_json(index).get("weight_map")
    require(
        isinstance(where, dict) and all(isinstance(name, str) for name in where.values()),
        f"{index} is damaged: it does not say which file holds which tensor",
    )
    tensors: dict[str, StoredWeight] = {}
    for name in sorted(set(cast(dict[str, str], where).values())):
        require(
            Path(name).name == name and name not in (".", ".."),
            f'{index} names the file "{name}", which is not a file of its folder',
        )
        require(
            (index.parent / name).is_file(),
            f"{index.parent / name} is missing, which {index.name} names; copy the whole folder",
        )
        tensors.update(read(index.parent / name))
    missing = sorted(cast(dict[str, str], where).keys() - tensors.keys())
    require(
        not missing, f"{index}: {''.join(missing[:1])} is in none of its files; copy them again"
    )
    return tensors


def _safetensors(path: Path) -> dict[str, StoredWeight]:
    """The tensors of a safetensors file, mapped."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = 8 + int.from_bytes(_first_bytes(file), "little")
        require(
            8 < start <= size,
            f"{path} is damaged: its header would have {start - 8:,} bytes, and the file has "
            f"{size:,}; copy it again",
        )
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        header = json.loads(mapping[8:start])
        entries = {name: each for name, each in header.items() if name != "__metadata__"}
        return {
            name: _mapped(mapping, start, entry, f"{path}: {name}")
            for name, entry in entries.items()
            if entry["dtype"] in NUMPY_TYPES
        }
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path} is damaged: its header cannot be read; copy it again") from None


def _first_bytes(file: Any) -> bytes:
    file.seek(0)
    return cast(bytes, file.read(8))


def _mapped(mapping: mmap.mmap, start: int, entry: Mapping[str, Any], name: str) -> StoredWeight:
    """A tensor whose numbers lie in a mapped file; its place is checked against the file."""
    shape = tuple(int(each) for each in entry["shape"])
    first, last = (start + int(each) for each in entry["data_offsets"])
    dtype = cast(WeightType, entry["dtype"])
    kind = np.dtype(NUMPY_TYPES[dtype]).newbyteorder("<")
    count = math.prod(shape)
    require(
        start <= first <= last <= len(mapping)
        and last - first == count * kind.itemsize
        and min(shape, default=1) >= 0,
        f"{name} does not lie in the file as its header says; copy the file again",
    )

    def read() -> Array:
        array = np.frombuffer(mapping, kind, count, first).reshape(shape)
        return array.astype(kind.newbyteorder("="), copy=False)

    return StoredWeight(shape, dtype, read)


def _pickled(path: Path) -> dict[str, StoredWeight]:
    """The tensors of a file of `torch.save`."""
    import torch  # only such files need it

    def load(is_mapped: bool) -> Any:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)

    try:
        try:
            state = load(True)
        except RuntimeError:  # files of before PyTorch 1.6 cannot be mapped
            state = load(False)
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(
            f"{path} cannot be read as weights alone, and nothing else of it is run: {reason}"
        ) from None
    names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
    require(isinstance(state, dict), f"{path} holds a {type(state).__name__}, not weights by name")
    return dict(_of_torch(state, names))


def _of_torch(
    state: Mapping[Any, Any], names: Mapping[Any, str]
) -> Iterator[tuple[str, StoredWeight]]:
    import torch

    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor) or tensor.dtype not in names:
            continue

        def read(tensor: torch.Tensor = tensor) -> Array:
            tensor = tensor.detach()
            if tensor.dtype == torch.bfloat16:
                return tensor.contiguous().view(torch.int16).numpy().view(np.uint16)
            return tensor.numpy()

        yield (
            str(name),
            StoredWeight(tuple(tensor.shape), cast(WeightType, names[tensor.dtype]), read),
        )
