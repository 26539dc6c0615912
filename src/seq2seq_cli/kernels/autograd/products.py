"""Linear layers, and the projection to the vocabulary."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.dispatch import engine, trains_in_bfloat16

# PyTorch's bfloat16 products have a multiple of this many rows. oneDNN compiles a product for each
# number of rows, which takes 5 to 10 times as long as the product, and hardly two batches have the
# same number of tokens.
FEW_ROWS = 128


def _product(x: Tensor, y: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    return torch.mm(x, y, out=out) if bias is None else torch.addmm(bias, x, y, out=out)


class PaddedRows:
    """A matrix (rows, columns) in two blocks, both with a multiple of FEW_ROWS rows.

    The second one holds the rest of the rows, if any, and zeros.
    """

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        rest = matrix.size(0) % FEW_ROWS
        self.main = matrix.size(0) - rest
        self.rest = F.pad(matrix[self.main :], (0, 0, 0, FEW_ROWS - rest)) if rest else None

    def times(self, other: Tensor, bias: Tensor | None = None) -> Tensor:
        """The product (rows, outputs) with a matrix (columns, outputs), plus a bias (outputs,)."""
        result = self.matrix.new_empty(self.matrix.size(0), other.size(1))
        if self.main:
            _product(self.matrix[: self.main], other, bias, out=result[: self.main])
        if self.rest is not None:
            rest = _product(self.rest, other, bias)
            result[self.main :] = rest[: self.matrix.size(0) - self.main]
        return result

    def transposed_times(self, other: "PaddedRows") -> Tensor:
        """The product (columns, other's columns) of the transpose with a matrix of as many rows."""
        result = self.matrix[: self.main].t() @ other.matrix[: self.main]
        if self.rest is not None and other.rest is not None:
            result += self.rest.t() @ other.rest
        return result


def _column_sums(x: Tensor) -> Tensor:
    if engine(x) != "kernel":
        return x.sum(dim=0, dtype=torch.float32)
    return training.column_sums(x.contiguous())  # a gradient may be a view of any layout


class _Linear(torch.autograd.Function):
    """A linear layer whose product and gradients are in bfloat16."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.in_kernel = engine(x, products=weight.shape) == "kernel"
        weight = weight if ctx.in_kernel else weight.bfloat16()
        ctx.save_for_backward(x, weight)
        flat = x.reshape(-1, x.size(-1))
        if not ctx.in_kernel:
            result = PaddedRows(flat).times(weight.t(), None if bias is None else bias.bfloat16())
        else:
            result = training.linear(flat, weight, bias)
        return result.view(*x.shape[:-1], weight.size(0))

    @staticmethod
    def backward(
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_input, needs_weight, needs_bias = ctx.needs_input_grad  # not all, where frozen
        grad_output, flat = grad_outputs[0].reshape(-1, weight.size(0)), x.reshape(-1, x.size(-1))
        grad_input: Tensor | None = None
        grad_weight: Tensor | None = None
        if ctx.in_kernel:
            grad_output = grad_output.contiguous()
            if needs_input:
                grad_input = training.linear_grad_input(grad_output, weight).view_as(x)
            return grad_input, *weight_gradients(grad_output, flat, needs_weight, needs_bias)
        rows = PaddedRows(grad_output)
        if needs_input:
            grad_input = rows.times(weight).view_as(x)
        if needs_weight:
            grad_weight = rows.transposed_times(PaddedRows(flat)).float()
        return grad_input, grad_weight, _column_sums(grad_output) if needs_bias else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer with weights (O, I) and a bias (O,): (…, I) -> (…, O)."""
    if trains_in_bfloat16(x) and x.numel() >= FEW_ROWS * x.size(-1):
        return cast(Tensor, _Linear.apply(x.bfloat16(), weight, bias))  # type: ignore[no-untyped-call]
    return F.linear(x, weight, bias)


def weight_gradients(
    grad_output: Tensor, x: Tensor, needs_weight: bool, needs_bias: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of weights (O, I) and bias (O,) from those of outputs (N, O), on the kernel's path.

    Each is None where it is not needed, since it is frozen.
    """
    if needs_weight and x.dtype == torch.bfloat16:
        return training.linear_grad_weight(grad_output, x, biased=needs_bias)
    grad_weight = grad_output.t() @ x if needs_weight else None
    return grad_weight, training.column_sums(grad_output) if needs_bias else None


def product_over_rows(x: Tensor, y: Tensor) -> Tensor:
    """The product (I, J) of the transpose of x (rows, I) with y (rows, J), both in bfloat16."""
    if engine(x, products=()) != "kernel":
        return PaddedRows(x).transposed_times(PaddedRows(y)).float()
    return training.linear_grad_weight(x, y)[0]


class OutputProjection:
    """Hidden states (rows, D) times the output weights (V, D) plus a bias (C,), and its gradients.

    The number of rows is a multiple of FEW_ROWS. The C logits are those of some ranges of pieces,
    one after the other; by default of all V.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        hidden: Tensor,
        pieces: Sequence[slice] | None = None,
    ) -> None:
        self.weight, self.bias = weight, bias
        self.dtype = hidden.dtype
        self.in_kernel = engine(hidden, products=(weight.size(1),)) == "kernel"
        self.pieces = [slice(0, weight.size(0))] if pieces is None else pieces
        ends = [0, *accumulate(each.stop - each.start for each in self.pieces)]
        self.size = ends[-1]  # C
        self.columns = [slice(first, last) for first, last in pairwise(ends)]  # of the pieces

    @cached_property
    def rounded(self) -> Tensor:
        """The weights in the dtype of the hidden states, which autocast may have made bfloat16."""
        return self.weight.to(self.dtype)

    @cached_property
    def selected(self) -> Tensor:
        """The weights of the logits (C, D)."""
        if self.size == len(self.weight):
            return self.weight
        return torch.cat([self.weight[pieces] for pieces in self.pieces])

    def logits(self, hidden: Tensor, out: Tensor) -> None:
        """Write the logits (rows, C)."""
        if self.in_kernel:
            training.linear(hidden, self.selected, self.bias, out=out)
            return
        bias = None if self.bias is None else self.bias.to(self.dtype)
        for pieces, columns in self._blocks():
            own = None if bias is None else bias[columns]
            _product(hidden, self.rounded[pieces].t(), own, out=out[:, columns])

    def grad_hidden(self, grad_logits: Tensor, out: Tensor) -> None:
        """Write the gradient of the hidden states (rows, D), from that of the logits (rows, C)."""
        for pieces, columns in self._blocks():
            beta = 0 if columns.start == 0 else 1
            weight = self.rounded[pieces]
            torch.addmm(out, grad_logits[:, columns], weight, beta=beta, out=out)

    def add_weight_gradients(
        self, grad_logits: Tensor, hidden: Tensor, grad_weight: Tensor, grad_bias: Tensor | None
    ) -> None:
        """Add the gradients to those of the weights (V, D) and the bias (C,), in float32."""
        if not self.in_kernel:
            for pieces, columns in self._blocks():
                own = grad_logits[:, columns].t()
                if self.dtype == grad_weight.dtype:
                    grad_weight[pieces].addmm_(own, hidden)
                else:  # in float32, so that sums stay exact
                    grad_weight[pieces] += own @ hidden
            if grad_bias is not None:
                grad_bias += _column_sums(grad_logits)
            return
        biased = grad_bias is not None
        own_weight, own_bias = training.linear_grad_weight(grad_logits, hidden, biased=biased)
        for pieces, columns in self._blocks():
            grad_weight[pieces] += own_weight[columns]
        if grad_bias is not None and own_bias is not None:
            grad_bias += own_bias

    def _blocks(self) -> Iterator[tuple[slice, slice]]:
        return zip(self.pieces, self.columns, strict=True)
