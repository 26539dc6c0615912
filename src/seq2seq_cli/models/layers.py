"""Layers that more than one architecture is built from.

Dimensions: B sentences, N decoder rows, S source, T target, D width, H heads; see `base`.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq_cli.symbols import PAD


class _ByteDropout(torch.autograd.Function):
    """Drops an element where its random byte is below the threshold."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= threshold
        ctx.save_for_backward(keep)
        ctx.scale = 256 / (256 - threshold)
        return (x * keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return (gradients[0] * keep).mul_(ctx.scale), None


class Dropout(nn.Module):
    """Dropout (Srivastava 2014) that on a CPU draws one random byte an element.

    Random numbers are most of dropout's cost there. The probability is rounded to 1/256 and the
    scale follows the rounded one, so that the expected value stays exact.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.threshold = min(255, round(256 * probability))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.threshold == 0:
            return x
        if x.device.type == "cpu":
            return cast(Tensor, _ByteDropout.apply(x, self.threshold))  # type: ignore[no-untyped-call]
        return F.dropout(x, self.threshold / 256)

    def extra_repr(self) -> str:
        return f"probability={self.threshold / 256:.3f}"


def source_mask(source: Tensor) -> Tensor:
    """True where a source position (B, S) holds a token, False where it holds PAD."""
    return source != PAD


def sinusoids(start: int, length: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal position encodings (length, D) of positions start, start + 1, … (Vaswani 2017)."""
    position = torch.arange(start, start + length, device=device, dtype=torch.float32)
    half = (width + 1) // 2
    rate = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / half))
    angle = position[:, None] * rate
    return torch.cat((angle.sin(), angle.cos()), dim=1)[:, :width]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, T, D) -> (N, H, T, D / H)."""
    rows, length, width = x.shape
    return x.view(rows, length, heads, width // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(N, H, T, D / H) -> (N, T, D)."""
    rows, heads, length, width = x.shape
    return x.transpose(1, 2).reshape(rows, length, heads * width)
