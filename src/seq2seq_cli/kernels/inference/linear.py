"""Linear layers for inference, their weights packed once: linear.cpp."""

import weakref

import torch
from torch import Tensor, nn

from seq2seq_cli.kernels.library import INT, POINTER, address, declaring

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
    def pack(cls, weight: Tensor, bias: Tensor | None, *, eight_bits: bool) -> "Linear":
        """Pack weights (outputs, inputs); they are not needed afterwards."""
        outputs, inputs = weight.shape
        weight = weight.detach().float().contiguous()
        kept = None if bias is None else bias.detach().float().contiguous()
        handle = _compiled().linear_new(address(weight), address(kept), outputs, inputs, eight_bits)
        return cls(handle, inputs, outputs, eight_bits)

    def select_outputs(self, chosen: Tensor) -> "Linear":
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
