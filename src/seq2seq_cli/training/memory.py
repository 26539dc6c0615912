"""How large a batch fits a device, and how to compute the same gradients in less memory."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.errors import says_out_of_memory
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.symbols import PAD
from seq2seq_cli.training.objective import Objective

USABLE = 0.4  # share of the free memory for saved tensors; the backward pass needs more on top
LEAST_TOKENS = 256
# Larger batches are not faster on any processor, and learn less from the same pairs.
MOST_TOKENS = {"cpu": 4096, "mps": 8192, "cuda": 32768}


def fitting_batch_tokens(
    model: TranslationModel, pairs: TokenPairs, objective: Objective, device: torch.device
) -> int:
    """Padded tokens of a batch, a power of two, whose saved tensors fit the memory that is free.

    Measures how many more bytes two copies of the longest pair save for the backward pass than one:
    a token of it saves most, and the bytes saved for the weights cancel out. Leaves random states
    as they are.
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
    """Bytes that a forward pass saves for the backward pass, each storage counted once."""
    sizes: dict[int, int] = {}
    held: list[Tensor] = []  # so that no address is used a second time

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        forward()
    return sum(sizes.values())


def free_memory(device: torch.device) -> int:
    """Bytes of memory that are free."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            available = next(line for line in file if line.startswith("MemAvailable:"))
        return 1024 * int(available.split()[1])
    except (OSError, StopIteration):  # not Linux: assume half of all memory
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means out of memory: CUDA has a type for it, a CPU only the message."""
    return isinstance(error, torch.OutOfMemoryError) or says_out_of_memory(error)


def release_memory(device: torch.device) -> None:
    """Free the device's unused cached memory, so that tensors of other shapes fit."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def computed_batches(
    batches: Sequence[Batch], config: TrainingConfig, device: torch.device, precision: torch.dtype
) -> list[Batch]:
    """The batches as they are computed: on a CPU in micro-batches that stay in its caches."""
    tokens = config.micro_batch_tokens
    if not tokens or device.type != "cpu":
        return list(batches)
    if config.r_drop:  # two passes at once
        tokens = max(1, tokens // 2)
    if precision == torch.float32:
        tokens = max(1, tokens // 2)
    return [micro for batch in batches for micro in micro_batches(batch, tokens)]


def micro_batches(batch: Batch, tokens: int) -> list[Batch]:
    """Split a batch into micro-batches of about equal rows and about `tokens` padded tokens.

    A micro-batch has at least one pair. The sum of their gradients is that of the whole batch.
    """
    length = max(batch.source.size(1), batch.target.size(1))
    count = round(
        len(batch.source) * length / tokens
    )  # the batch's budget does not count BOS and EOS
    return _split(batch, max(1, min(len(batch.source), count)))


def split_in_two(batch: Batch) -> list[Batch]:
    """Split a batch in two."""
    return _split(batch, 2)


def _split(batch: Batch, count: int) -> list[Batch]:
    if count == 1:
        return [batch]
    alignments = batch.alignment.tensor_split(count) if batch.alignment is not None else None
    pieces = []
    for i, (source, target) in enumerate(
        zip(batch.source.tensor_split(count), batch.target.tensor_split(count), strict=True)
    ):
        read = int((source != PAD).sum(dim=1).max())
        written = int((target != PAD).sum(dim=1).max())
        alignment = alignments[i][:, : written - 1, :read] if alignments is not None else None
        pieces.append(Batch(source[:, :read], target[:, :written], alignment))
    return pieces


def checkpoint_activations(model: TranslationModel) -> None:
    """Save only the inputs of layers, and compute the layers again in the backward pass.

    Less memory and the same gradients for about a third more time (Chen et al. 2016).
    """
    for layer in model.layers():
        layer.forward = _checkpointed(layer.forward)


def _checkpointed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        return checkpoint(forward, *inputs, use_reentrant=False)

    return run
