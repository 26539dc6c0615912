"""Tensors that several processes hold a shard of each; see `training.sharding`."""

from typing import Any, cast

import torch
from torch import Tensor


def own_shard(tensor: Tensor) -> Tensor:
    """The shard of a tensor that this process holds, sharing its memory; whole if it is whole."""
    if not is_sharded(tensor):
        return tensor.detach()
    return cast(Tensor, cast(Any, tensor.detach()).to_local())


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process holds a part of the tensor's rows only: a DTensor of torch."""
    return hasattr(tensor, "to_local")


def first_row(tensor: Tensor) -> int:
    """The row of the whole tensor that this process' shard begins with."""
    if not is_sharded(tensor):
        return 0
    mesh = cast(Any, tensor).device_mesh
    rows = -(-tensor.size(0) // mesh.size())  # of every shard but the last ones, as torch.chunk
    return int(min(rows * mesh.get_local_rank(), tensor.size(0)))


class _WithoutEffect(torch.autograd.Function):
    """Returns its first input; the other gets a gradient of zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ignored: Tensor) -> Tensor:
        ctx.save_for_backward(ignored.new_empty(0))
        ctx.shape = ignored.shape
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        (like,) = ctx.saved_tensors
        return grad_outputs[0], like.new_zeros(ctx.shape)


def without_effect(x: Tensor, ignored: Tensor) -> Tensor:
    """x, unchanged, from a computation that `ignored` belongs to, with a gradient of zeros."""
    return cast(Tensor, _WithoutEffect.apply(x, ignored))  # type: ignore[no-untyped-call]
