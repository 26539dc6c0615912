"""The one decision between kernels and PyTorch for the operations of a training step."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from seq2seq_cli.kernels import training

Engine = Literal["kernel", "cpu", "torch"]


def engine(*tensors: Tensor, products: Sequence[int] | None = None) -> Engine:
    """What computes an operation on these tensors.

    - "kernel": a kernel, for float32 or bfloat16 tensors of one dtype on a CPU
    - "cpu": PyTorch, by the operations that are fastest on a CPU, where no kernel takes the tensors
    - "torch": PyTorch's own operation, on other devices, and while torch.compile traces a layer: it
      fuses operations by itself

    `products` are given for a kernel that multiplies bfloat16 matrices itself: those sizes of its
    weights that have to be multiples of `training.SIDE`.
    """
    if torch.compiler.is_compiling() or any(x.device.type != "cpu" for x in tensors):
        return "torch"
    dtype = tensors[0].dtype
    if dtype not in (torch.float32, torch.bfloat16) or any(x.dtype != dtype for x in tensors):
        return "cpu"
    if products is None:
        return "cpu" if training.library() is None else "kernel"
    fits = dtype == torch.bfloat16 and all(size % training.SIDE == 0 for size in products)
    return "kernel" if fits and training.multiplies_bfloat16() else "cpu"


def trains_in_bfloat16(x: Tensor) -> bool:
    """Whether products of x are in bfloat16 by autocast, in training on a CPU.

    On other devices PyTorch's own operations convert their inputs by themselves.
    """
    return (
        torch.is_grad_enabled()
        and engine(x) != "torch"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
