"""A model's layers through torch.compile, which makes few kernels of their many operations.

For GPUs, which otherwise wait for each operation to be launched; it works on every device that
torch.compile works on. On CPUs this package's own functions are faster.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from seq2seq_cli.errors import InputError
from seq2seq_cli.models import TranslationModel


def compile_layers(model: TranslationModel, device: torch.device) -> int:
    """Let the layers of a model be compiled for training; returns how many these are.

    Compiled is a kind of layer, not each layer, and for symbols in the place of sizes, so that no
    batch is compiled anew but for sizes of 1. Search goes on uncompiled. Raises InputError where
    nothing can be compiled.
    """
    # An RNN's layer is one call to a library that has all its steps in it.
    found = [layer for layer in model.layers() if not isinstance(layer, nn.RNNBase)]
    if not found:
        raise InputError(
            f"training.torch_compile = true: the architecture {model.config.architecture} has no "
            "layers to compile, since each is one call of the library for RNNs; leave it out"
        )
    # Not imported before they are wanted: that takes a second.
    from torch._inductor import config as inductor
    from torch.fx.experimental import _config as symbols

    symbols.use_duck_shape = False  # sizes that are equal by chance are two
    # Kernels chosen by timing them would differ from one sitting of a training to the next.
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
    """Compile something small, to know that there is all it takes. Raises InputError."""
    try:
        torch.compile(torch.nn.functional.softplus)(torch.ones(2, device=device))
    except Exception as error:  # whatever a compiler, or one that is missing, comes up with
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"training.torch_compile = true: torch.compile does not work here ({reason[0]}); it "
            "wants a C++ compiler, and Triton for a GPU. Install what is missing, or leave it out"
        ) from None
