"""How many tokens of a batch fit a device, and less memory for the same gradients."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seq2seq_cli.data.batch import Batch
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.symbols import PAD
from seq2seq_cli.training.objective import Objective

USABLE = 0.4  # share of the free memory that a batch may keep; backward needs some more on top
LEAST_TOKENS = 256
# More tokens a batch make no processor faster, and learn less from as many pairs.
MOST_TOKENS = {"cpu": 4096, "mps": 8192, "cuda": 32768}


def fitting_batch_tokens(
    model: TranslationModel, pairs: TokenPairs, objective: Objective, device: torch.device
) -> int:
    """Padded tokens of a batch, a power of two, whose tensors fit what memory is free now.

    Measured is the longest pair, of whose tokens most is kept: by how much more is kept of two of
    them than of one, since of the weights some is kept too. Changes no random state.
    """
    longest = int((pairs.source.lengths + pairs.target.lengths).argmax())
    length = 1 + max(int(pairs.source.lengths[longest]), int(pairs.target.lengths[longest]))
    model.to(device)
    with torch.random.fork_rng():
        one, two = (
            saved_bytes(partial(objective, model, pairs.batch([longest] * count).to(device)))
            for count in (1, 2)
        )
    affordable = int(USABLE * free_memory(device) * length / max(1, two - one))
    most = MOST_TOKENS.get(device.type, MOST_TOKENS["cpu"])
    return min(most, 1 << max(affordable, LEAST_TOKENS).bit_length() - 1)


def saved_bytes(forward: Callable[[], object]) -> int:
    """Bytes that a forward pass keeps for the gradients, each storage counted once."""
    sizes: dict[int, int] = {}
    held: list[Tensor] = []  # or a storage's address could be given out again

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return sum(sizes.values())


def free_memory(device: torch.device) -> int:
    """Bytes that may still be taken."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            available = next(line for line in file if line.startswith("MemAvailable:"))
        return 1024 * int(available.split()[1])
    except (OSError, StopIteration):  # no Linux: half of all there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short: CUDA's has a type, a CPU's only words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "not enough memory", "can't allocate")
    )


def release_memory(device: torch.device) -> None:
    """Give the device's unused memory back, so that other shapes find room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def micro_batches(batch: Batch, tokens: int) -> list[Batch]:
    """A batch in parts of about as many rows, of some `tokens` padded tokens or a single pair.

    They hold the same pairs, and so, added up, their gradients are the same.
    """
    length = max(batch.source.size(1), batch.target.size(1))
    count = round(len(batch.source) * length / tokens)  # BOS and EOS are beyond the batch's budget
    return _split(batch, max(1, min(len(batch.source), count)))


def split_in_two(batch: Batch) -> list[Batch]:
    """A batch in two parts."""
    return _split(batch, 2)


def _split(batch: Batch, count: int) -> list[Batch]:
    if count == 1:
        return [batch]
    alignments = batch.alignment.tensor_split(count) if batch.alignment is not None else None
    parts = []
    for i, (source, target) in enumerate(
        zip(batch.source.tensor_split(count), batch.target.tensor_split(count), strict=True)
    ):
        read = int((source != PAD).sum(dim=1).max())
        written = int((target != PAD).sum(dim=1).max())
        alignment = alignments[i][:, : written - 1, :read] if alignments is not None else None
        parts.append(Batch(source[:, :read], target[:, :written], alignment))
    return parts


def recompute_layers(model: TranslationModel) -> None:
    """Let the layers of a model be computed again when gradients are, and keep only their inputs.

    As Chen et al. 2016: memory for some third more time, with the same gradients.
    """
    for layer in model.layers():
        layer.forward = _recomputed(layer.forward)


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        return checkpoint(forward, *inputs, use_reentrant=False)

    return run
