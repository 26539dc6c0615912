"""Layers through torch.compile, which fuses their many operations into few kernels.

It is meant for GPUs, which otherwise wait for each operation to be launched, and works on every
device that torch.compile supports. On CPUs the kernels of this package are faster.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from seq2seq_cli.errors import InputError
from seq2seq_cli.models import TranslationModel


def compile_layers(model: TranslationModel, device: torch.device) -> int:
    """Pass the layers of a model through torch.compile for training; returns how many there are.

    Layers of one kind share their code, which is compiled for symbolic sizes, so that only sizes of
    1 compile it again. Search uses the layers as they were. Raises InputError if there is nothing
    to compile, or no compiler.
    """
    # A layer of an RNN is one call of a library that computes all steps.
    found = [layer for layer in model.layers() if not isinstance(layer, nn.RNNBase)]
    if not found:
        raise InputError(
            f"training.torch_compile = true: the architecture {model.config.architecture} has no "
            "layers to compile, since each is one call of the library for RNNs; leave it out"
        )
    # Imported only if needed: this takes a second.
    from torch._inductor import config as inductor
    from torch.fx.experimental import _config as symbols

    symbols.use_duck_shape = False  # sizes that are equal by chance stay two symbols
    # Kernels chosen by timing them would differ from one session of a training to the next.
    inductor.deterministic = True
    _try(device)
    for layer in found:
        layer.forward = _compiled(layer.forward)
    model.torch_compile = True
    return len(found)


def _compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    fast = torch.compile(forward, dynamic=True, fullgraph=True)

    def run(*inputs: Any) -> Any:
        return fast(*inputs) if torch.is_grad_enabled() else forward(*inputs)

    return run


def _try(device: torch.device) -> None:
    """Compile a small function. Raises InputError if torch.compile does not work here."""
    try:
        torch.compile(torch.nn.functional.softplus)(torch.ones(2, device=device))
    except Exception as error:  # a missing compiler raises errors of many types
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"training.torch_compile = true: torch.compile does not work here ({reason[0]}); it "
            "needs a C++ compiler, and Triton for a GPU. Install what is missing, or leave it out"
        ) from None
