"""Compiled functions for CPUs, where they were built and the processor can run them.

Here are the builds and linear layers. For search `transformer`, `convolution` and `recurrent` have
what models are made of, `decoding` and `sources` what they share, and `beams` what search does
with their logits; `training` has parts of a training step. Each stands for the .cpp file of its
name, or the header. They are optional: installing builds them where there is a compiler, and
without them torch does the same work, more slowly. SEQ2SEQ_NATIVE in the environment chooses amx,
avx512, avx2 or off; without it the best is taken. Tensors are float32 but in `training`,
contiguous and on the CPU.

Dimensions: N rows of hypotheses, D width, H heads, S source tokens, T target tokens, V columns.
"""

import ctypes
import os
import weakref
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq_cli.errors import InputError

POINTER = ctypes.c_void_p
INT = ctypes.c_int32


def usable_builds() -> list[str]:
    """The builds that were made and that this processor can run, the fastest first."""
    capability = torch.backends.cpu.get_cpu_capability()
    vnni = getattr(torch.cpu, "_is_vnni_supported", bool)()  # 8-bit dot products
    tiles = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    runs = {
        "amx": capability == "AVX512" and vnni and tiles,
        "avx512": capability == "AVX512" and vnni,
        "avx2": capability in ("AVX2", "AVX512"),
    }
    return [name for name, does in runs.items() if does and _file(name)]


def _file(build: str) -> Path | None:
    name = "avx512" if build == "amx" else build  # the same, with matrix tiles in use
    return next(Path(__file__).parent.glob(f"{name}*.so"), None)


@lru_cache
def library() -> ctypes.CDLL | None:
    """The compiled functions, or None without any.

    Raises InputError where the environment wants what is not there.
    """
    wanted, usable = os.environ.get("SEQ2SEQ_NATIVE", ""), usable_builds()
    if wanted not in ("", "off", *usable):
        raise InputError(
            f"SEQ2SEQ_NATIVE={wanted}: {', '.join([*usable, 'off'])} are allowed on this machine; "
            "without it the fastest is taken"
        )
    builds = [name for name in usable if wanted in ("", name)]
    if not builds:
        return None
    found = ctypes.CDLL(str(_file(builds[0])))
    found.use_tiles.argtypes = (INT,)
    found.use_tiles(builds[0] == "amx")
    return found


def declaring(signatures: Mapping[str, tuple[Any, ...]]) -> Callable[[], ctypes.CDLL]:
    """What returns the compiled functions, these with their types: the result's, the arguments'."""

    @lru_cache
    def declared(found: ctypes.CDLL) -> ctypes.CDLL:
        for name, (result, *arguments) in signatures.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
        return found

    def compiled() -> ctypes.CDLL:
        found = library()
        assert found is not None, "whoever calls this has asked library() before"
        return declared(found)

    return compiled


def serves(*tensors: Tensor) -> bool:
    """Whether compiled functions can work on these tensors."""
    return library() is not None and all(
        tensor.dtype == torch.float32 and tensor.device.type == "cpu" and not tensor.requires_grad
        for tensor in tensors
    )


def address(tensor: Tensor | None) -> int | None:
    """Where a tensor's numbers are, for compiled functions."""
    return None if tensor is None else tensor.data_ptr()


_compiled = declaring(
    {
        "linear_new": (POINTER, POINTER, POINTER, INT, INT, INT),
        "linear_narrowed": (POINTER, POINTER, POINTER, INT),
        "linear_free": (None, POINTER),
        "linear_apply": (None, POINTER, POINTER, INT, POINTER),
    }
)


class Linear(nn.Module):
    """A linear layer for inference, its weights packed, as float32 or as 8-bit integers.

    With 8 bits each output has a scale of its own, and so has each row of inputs: what becomes of a
    row does not depend on the others.
    """

    def __init__(self, handle: int, inputs: int, outputs: int, eight_bits: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        self.eight_bits = eight_bits
        self.handle = handle
        weakref.finalize(self, _compiled().linear_free, handle)

    @classmethod
    def packing(cls, weight: Tensor, bias: Tensor | None, *, eight_bits: bool) -> "Linear":
        """Pack weights (outputs, inputs); they are not needed afterwards."""
        outputs, inputs = weight.shape
        weight = weight.detach().float().contiguous()
        kept = None if bias is None else bias.detach().float().contiguous()
        handle = _compiled().linear_new(address(weight), address(kept), outputs, inputs, eight_bits)
        return cls(handle, inputs, outputs, eight_bits)

    def narrowed(self, chosen: Tensor) -> "Linear":
        """With only some of the outputs, in the order of `chosen` (any,)."""
        chosen = chosen.to(torch.int64).contiguous()
        handle = _compiled().linear_narrowed(self.handle, address(chosen), len(chosen))
        return Linear(handle, self.in_features, len(chosen), self.eight_bits)

    def __deepcopy__(self, memo: object) -> "Linear":
        return self  # nothing changes it

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) -> (…, outputs)."""
        x = x.float().contiguous()
        y = x.new_empty(*x.shape[:-1], self.out_features)
        _compiled().linear_apply(self.handle, address(x), x.numel() // self.in_features, address(y))
        return y

    def extra_repr(self) -> str:
        kind = "8-bit" if self.eight_bits else "float32"
        return f"in_features={self.in_features}, out_features={self.out_features}, {kind}"
