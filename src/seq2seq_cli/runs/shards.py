"""Tensors of a checkpoint in shards, by torch.distributed.checkpoint: each process writes its own.

They are safetensors files, by torch's storage for these: its usual one has a pickled index, which
is never read here. `shards.json` holds the hash of each file. Any number of processes can read
them, one too.
"""

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from seq2seq_cli.data.contents import file_sha256
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.whole_files import replace_file

INDEX = "shards.json"
FILE_BYTES = 64 << 20  # of tensors in a file; as much is copied while it is written


def save_shards(folder: Path, tensors: Mapping[str, Tensor], rank: int) -> dict[str, str]:
    """Write what this process holds of tensors; all processes call it together.

    Returns the names of the files that it wrote, with their hashes. Raises OSError.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(
        str(folder), fqn_to_index_mapping=_files(tensors), save_distributed=True
    )
    with _faults_named(folder):
        save(dict(tensors), storage_writer=writer)
    own = sorted(folder.glob(f"shard-{rank + 1:05d}-*.safetensors"))
    return {path.name: file_sha256(path) for path in own}


def _files(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """The number of the file of each tensor, from 1 on: the same in all processes."""
    numbers, number, size = dict[str, int](), 1, 0
    for name, tensor in tensors.items():
        bytes_ = tensor.numel() * tensor.element_size()
        if size and size + bytes_ > FILE_BYTES:
            number, size = number + 1, 0
        numbers[name] = number
        size += bytes_
    return numbers


def save_index(folder: Path, hashes: Sequence[Mapping[str, str]]) -> None:
    """Complete a folder of shards: write the hashes of the files of all processes."""
    every = {name: sha256 for each in hashes for name, sha256 in each.items()}
    replace_file(folder / INDEX, json.dumps({"sha256": every}, indent=1).encode())


def check_shards(folder: Path, rank: int = 0, count: int = 1) -> dict[str, tuple[int, ...]]:
    """Compare files with their hashes, of `count` processes each a share of them.

    Returns the shape of each whole tensor. Raises InputError unless all files are there, as they
    were written, and their tensors are whole.
    """
    path = folder / INDEX
    try:
        hashes = dict(json.loads(path.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); --restart begins again") from None
    found = sorted(each.name for each in folder.iterdir() if each.name != INDEX)
    if found != sorted(hashes):
        different = ", ".join(sorted({*found} ^ {*hashes}))
        raise InputError(
            f"{folder} is damaged: it lacks files, or has others than were written: {different}; "
            "--restart begins again"
        )
    for name in found[rank::count]:
        if file_sha256(folder / name) != hashes[name]:
            raise InputError(
                f"{folder / name} is damaged: it does not have the hash it was saved with"
            )
    return _shapes(folder)


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of whole tensors. Raises InputError where shards do not make up a whole one."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    with _faults_named(folder):
        entries = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    shapes = {}
    for name, entry in entries.items():
        assert isinstance(entry, TensorStorageMetadata)
        size = tuple(entry.size)
        if sum(math.prod(chunk.sizes) for chunk in entry.chunks) != math.prod(size):
            raise InputError(f"{folder} is damaged: it does not hold all of {name}")
        shapes[name] = size
    return shapes


def load_shards(folder: Path, into: Mapping[str, Tensor]) -> None:
    """Read what this process holds of tensors, into these; all processes call it together.

    Raises InputError for files that `check_shards` would refuse.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    with _faults_named(folder):
        load(dict(into), storage_reader=HuggingFaceStorageReader(str(folder)))


def load_whole(folder: Path) -> dict[str, Tensor]:
    """Read whole tensors, in one process. Raises InputError if they are missing or damaged."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    tensors = {name: torch.zeros(shape) for name, shape in check_shards(folder).items()}
    with _faults_named(folder):
        load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    return tensors


@contextmanager
def _faults_named(folder: Path) -> Iterator[None]:
    """Raise an OSError of any process as such, and what is wrong with files as InputError."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that files are read by one process, as is meant
            yield
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values()]
        for cause in causes:
            if isinstance(cause, OSError | Seq2seqError):
                raise cause from None
        raise InputError(f"{folder} is damaged: {causes[0]}") from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} is damaged: {error}") from None
