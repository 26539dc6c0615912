"""Models that outgrow a device: each process holds a shard of every tensor, by torch's FSDP2.

Weights, gradients, the optimizer's tensors and moving averages are sharded by rows. A layer's
weights are gathered before its forward pass and again before its backward pass, and its gradients
are added up and divided right after it (Zhao et al. 2023, "PyTorch FSDP"; Rajbhandari et al. 2020,
"ZeRO"). So all processes compute each layer together: they have equally many micro-batches in an
update, and layers that dropout skips are computed without effect.

A layer computes on plain tensors, so that kernels and fused functions see none that are sharded.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from seq2seq_cli.data.batch import Batch
from seq2seq_cli.devices import return_memory
from seq2seq_cli.errors import InputError
from seq2seq_cli.models import TranslationModel, Vocabulary
from seq2seq_cli.models.shards import is_sharded
from seq2seq_cli.training.distributed import losses_noticed
from seq2seq_cli.training.micro_batch import MicroBatch, enough_pieces


def shard(model: TranslationModel, device: torch.device, exchange_precision: torch.dtype) -> None:
    """Divide the weights of a model, the same in all processes, among these.

    They are moved to the device shard by shard. Gradients are added up in `exchange_precision`.
    Raises InputError on a device that torch cannot shard on.
    """
    if device.type not in ("cpu", "cuda"):
        raise InputError(
            f"training.shard = true: torch shards models on CPUs and on CUDA devices, not on "
            f"{device.type}; give --device, or leave it out"
        )
    # Imported only if needed: this takes a second.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import (
        FSDPModule,
        MixedPrecisionPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )

    # It is said of outputs that are views, which nothing here changes in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
    world_size = torch.distributed.get_world_size()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    hooks = {
        name: getattr(parameter, "_post_accumulate_grad_hooks", None)
        for name, parameter in model.named_parameters()
    }
    with losses_noticed():
        mesh = init_device_mesh(device.type, (world_size,))
        precision = MixedPrecisionPolicy(reduce_dtype=exchange_precision)
        for module in [*model.units(), model]:
            if any(True for _ in module.parameters()):
                fully_shard(module, mesh=mesh, mp_policy=precision)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # gradients are sums
            module.set_force_sum_reduction_for_comms(True)  # gloo does not scale them
    for name, parameter in model.named_parameters():
        for hook in (hooks[name] or {}).values():
            cast(Any, parameter).register_post_accumulate_grad_hook(hook)
    register_fsdp_forward_method(model, "hidden")
    model.in_step = True


def share_in_step(batches: Sequence[Batch], rank: int, world_size: int) -> list[MicroBatch]:
    """The micro-batches of an update that a process computes, as many as every other process.

    They are the same as without sharding. Those that are computed at a time are of similar size;
    a process for which none is left in the last step computes a pair that does not count.
    """
    pieces = enough_pieces(batches, world_size)
    pieces.sort(key=lambda piece: (-piece.size, piece.path))
    share = pieces[rank::world_size]
    if len(share) < -(-len(pieces) // world_size):
        share.append(replace(pieces[-1], batch=pieces[-1].batch.first_pair(), counts=False))
    return share


def whole_tensor(tensor: Tensor) -> Tensor:
    """Gather a sharded tensor from all processes, on the CPU; a whole one is only copied there."""
    if is_sharded(tensor):
        with losses_noticed():
            tensor = cast(Any, tensor.detach()).full_tensor()
    return tensor.detach().cpu()


def shard_of(whole: Tensor | None, like: Tensor) -> Tensor:
    """The own shard of a tensor that rank 0 has, divided as `like` is, on its device."""
    from torch.distributed.tensor import distribute_tensor

    sharded = cast(Any, like)
    if whole is None:  # only its shape counts
        whole = torch.empty(like.shape, dtype=like.dtype)
    with losses_noticed():
        found = distribute_tensor(
            whole.to(like.device), sharded.device_mesh, sharded.placements, src_data_rank=0
        )
    return found.to_local()


@contextmanager
def whole_model(model: TranslationModel) -> Iterator[TranslationModel]:
    """A copy of a sharded model that is whole, in evaluation mode, on its device in a block."""
    return_memory()  # of what was whole in training
    source, target = model.source_embedding, model.target_embedding
    vocabulary = Vocabulary(source.num_embeddings, target.num_embeddings, source is target)
    with torch.device("meta"):  # without weights, and without drawing any
        whole = type(model).__mro__[2](model.config, vocabulary)
    device = next(model.parameters()).device
    for name, parameter in model.named_parameters():
        _assign(whole, name, nn.Parameter(whole_tensor(parameter).to(device), requires_grad=False))
    yield whole.eval()


def _assign(model: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Replace a parameter wherever a model has it."""
    old = model.get_parameter(name)
    for module in model.modules():
        for own, each in list(module._parameters.items()):
            if each is old:
                setattr(module, own, parameter)
