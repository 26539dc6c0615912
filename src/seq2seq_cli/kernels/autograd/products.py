"""Linear layers on a CPU, of which those in bfloat16 have products of their own."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training


def rounds(x: Tensor) -> bool:
    """Whether this is training on a CPU whose products are in bfloat16."""
    if not (training.computes(x) and torch.is_grad_enabled()):
        return False
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def weight_gradients(
    gradient: Tensor, x: Tensor, wants_weight: bool, wants_bias: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Those of a layer's weights and bias, as far as they are wanted: not where it is frozen."""
    if wants_weight and x.dtype == torch.bfloat16:
        return training.linear_weight(gradient, x, biased=wants_bias)
    of_weight = gradient.t() @ x if wants_weight else None
    return of_weight, training.column_sums(gradient) if wants_bias else None


def _column_sums(x: Tensor) -> Tensor:
    if not training.serves(x):
        return x.sum(dim=0, dtype=torch.float32)
    return training.column_sums(x.contiguous())  # a gradient may be a view of any layout


def _product(x: Tensor, y: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    return torch.mm(x, y, out=out) if bias is None else torch.addmm(bias, x, y, out=out)


class Rows:
    """A matrix (rows, columns): a multiple of FEW_ROWS, and the rest with zeros up to as many."""

    def __init__(self, whole: Tensor) -> None:
        self.whole = whole
        rest = whole.size(0) % training.FEW_ROWS
        self.main = whole.size(0) - rest
        self.rest = F.pad(whole[self.main :], (0, 0, 0, training.FEW_ROWS - rest)) if rest else None

    def times(self, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
        """The product (rows, outputs) with a matrix (columns, outputs), plus a bias (outputs,)."""
        result = self.whole.new_empty(self.whole.size(0), matrix.size(1))
        if self.main:
            _product(self.whole[: self.main], matrix, bias, out=result[: self.main])
        if self.rest is not None:
            rest = _product(self.rest, matrix, bias)
            result[self.main :] = rest[: self.whole.size(0) - self.main]
        return result

    def turned_times(self, other: "Rows") -> Tensor:
        """The product (columns, other's columns) of the transpose with as many other rows."""
        result = self.whole[: self.main].t() @ other.whole[: self.main]
        if self.rest is not None and other.rest is not None:
            result += self.rest.t() @ other.rest
        return result


class _Linear(torch.autograd.Function):
    """A linear layer in bfloat16 whose products have few shapes.

    The rows of products are multiples of `training.FEW_ROWS`, which says why.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if training.multiplies(x, *weight.shape):
            ctx.save_for_backward(x, weight)
            result = training.linear(x.reshape(-1, x.size(-1)), weight, bias)
            return result.view(*x.shape[:-1], weight.size(0))
        weight = weight.bfloat16()
        rows = Rows(x.reshape(-1, x.size(-1)))
        result = rows.times(weight.t(), None if bias is None else bias.bfloat16())
        ctx.save_for_backward(x, weight)
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad  # not all, where parts are frozen
        if training.multiplies(x, *weight.shape):
            gradient = gradients[0].reshape(-1, weight.size(0)).contiguous()
            flat = x.reshape(-1, x.size(-1))
            of_x = training.linear_input(gradient, weight).view_as(x) if wants_x else None
            return of_x, *weight_gradients(gradient, flat, wants_weight, wants_bias)
        rows, of_weight = Rows(gradients[0].reshape(-1, weight.size(0))), None
        of_x = rows.times(weight).view_as(x) if wants_x else None
        if wants_weight:
            of_weight = rows.turned_times(Rows(x.reshape(-1, x.size(-1)))).float()
        return of_x, of_weight, _column_sums(rows.whole) if wants_bias else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(…, inputs) -> (…, outputs), with weights (outputs, inputs)."""
    if rounds(x) and x.numel() >= training.FEW_ROWS * x.size(-1):
        return cast(Tensor, _Linear.apply(x.bfloat16(), weight, bias))  # type: ignore[no-untyped-call]
    return F.linear(x, weight, bias)


def product_over_rows(x: Tensor, y: Tensor) -> Tensor:
    """The product (I, J) of the transpose of x (rows, I) with y (rows, J), both bfloat16."""
    if training.multiplies(x):
        return training.linear_weight(x, y)[0]
    return Rows(x).turned_times(Rows(y)).float()
