"""Attention by scaled dot products: compiled, PyTorch's own, or plain products."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.packing import Pairs
from seq2seq_cli.kernels.autograd.products import rounds

# Fewer queries, as in a step of search, cost the fused kernel more than plain products on a CPU.
FEW_QUERIES = 16


class _CompiledAttention(torch.autograd.Function):
    """Attention that reads heads where they lie, and keeps no weights for the gradients."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, keys: training.Keys, scale: float
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.keys, ctx.scale = keys, scale
        return training.attention(query, key, value, keys, scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value = ctx.saved_tensors
        of_query, of_key, of_value = training.attention_backward(
            query, key, value, gradients[0], ctx.keys, ctx.scale
        )
        return of_query, of_key, of_value, None, None


def _compiled_attention(
    query: Tensor, key: Tensor, value: Tensor, keys: training.Keys, scale: float
) -> Tensor:
    return cast(Tensor, _CompiledAttention.apply(query, key, value, keys, scale))  # type: ignore[no-untyped-call]


class _Attention(torch.autograd.Function):
    """Scaled dot products of queries and keys, softmax in float32, sum of values.

    PyTorch's fused kernel in bfloat16 takes 5 to 10 times as long for sentences of 10 to 50 tokens.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float
    ) -> Tensor:
        rows, heads, queries, width = query.shape
        query, key, value = (x.reshape(rows * heads, -1, width) for x in (query, key, value))
        ctx.scale = scale
        scores = torch.bmm(query, key.transpose(1, 2)).float().mul_(ctx.scale)
        if bias is not None:
            scores.view(rows, heads, queries, -1).add_(bias)
        weights = scores.softmax(dim=2).to(query.dtype)
        ctx.save_for_backward(query, key, value, weights)
        return torch.bmm(weights, value).view(rows, heads, queries, width)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, weights = ctx.saved_tensors
        rows, heads, _, width = gradients[0].shape
        gradient = gradients[0].reshape(query.shape)
        of_value = torch.bmm(weights.transpose(1, 2), gradient)
        slope = torch.bmm(gradient, value.transpose(1, 2)).float()
        exact = weights.float()
        mean = (slope * exact).sum(dim=2, keepdim=True)
        slope = slope.sub_(mean).mul_(exact).mul_(ctx.scale).to(query.dtype)
        of_query, of_key = torch.bmm(slope, key), torch.bmm(slope.transpose(1, 2), query)
        each = (x.view(rows, heads, -1, width) for x in (of_query, of_key, of_value))
        return (*cast(tuple[Tensor, Tensor, Tensor], tuple(each)), None, None)


class _Parts(torch.autograd.Function):
    """Parts of the last dimension, all of one size.

    Where their gradients lie side by side, as those of `_CompiledAttention`, they are taken as one:
    such strides and addresses have only parts of one tensor.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int) -> tuple[Tensor, ...]:
        return x.chunk(count, dim=-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        first, width = gradients[0], gradients[0].size(-1)
        together = (*first.shape[:-1], len(gradients) * width)
        strides = torch.empty(together, device="meta").stride()
        if all(
            each.stride() == strides
            and each.data_ptr() == first.data_ptr() + place * width * each.element_size()
            for place, each in enumerate(gradients)
        ):
            return first.as_strided(together, strides), None
        return torch.cat(gradients, dim=-1), None


def parts(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """(…, D) -> so many times (…, D / count)."""
    if training.computes(x) and torch.is_grad_enabled():
        return cast(tuple[Tensor, ...], _Parts.apply(x, count))  # type: ignore[no-untyped-call]
    return x.chunk(count, dim=-1)


def packs(x: Tensor) -> bool:
    """Whether `attention` takes packed tensors of x's type and device, and with their gradients."""
    return torch.is_grad_enabled() and training.serves(x)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | Pairs | None = None,
    dropout: float = 0.0,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Queries (B, H, Q, D), keys and values (B, H, S, D) -> (B, H, Q, D).

    `mask` is False where a query may not look and fits (B, H, Q, S); `dropout` is of the weights;
    `scale` of the scores is 1 / sqrt(D) without one. Causal means that query i sees keys up to i,
    and that there are as many keys as queries; it does not go with a mask. Each row has a key that
    may be looked at.

    With pairs of packed sentences instead of a mask, which are for what `packs`, B is 1.
    """
    learns = torch.is_grad_enabled()
    scale = query.size(3) ** -0.5 if scale is None else scale
    if rounds(query):  # for gradients, torch's own do it by themselves
        query, key, value = (x.bfloat16() for x in (query, key, value))
    if isinstance(mask, Pairs):
        keys = training.Keys(None, causal, mask.queries.starts, mask.keys.starts)
        return _compiled_attention(query, key, value, keys, scale)
    if not learns and not causal and mask is not None and query.size(2) < FEW_QUERIES:
        scores = torch.matmul(query * scale, key.transpose(2, 3))
        return torch.matmul(scores.masked_fill_(~mask, -torch.inf).softmax(dim=3), value)
    # Compiled is what models ask for: a mask of the keys of each row, or causality, not both.
    by_row = mask is None or (mask.shape[1:3] == (1, 1) and not causal)
    by_row = by_row and query.size(0) == key.size(0) == value.size(0)
    if learns and by_row and not dropout and training.serves(query, key, value):
        seen = None
        if mask is not None:
            seen = mask.expand(query.size(0), 1, 1, key.size(2))[:, 0, 0].contiguous()
        return _compiled_attention(query, key, value, training.Keys(seen, causal), scale)
    slow = query.dtype == torch.bfloat16 and training.computes(query)
    if not slow or dropout or not learns:
        return F.scaled_dot_product_attention(
            query, key, value, mask, dropout, is_causal=causal, scale=scale
        )
    if causal:
        mask = torch.ones(query.size(2), key.size(2), dtype=torch.bool).tril()
    bias = None if mask is None else torch.zeros(mask.shape).masked_fill_(~mask, -torch.inf)
    return cast(Tensor, _Attention.apply(query, key, value, bias, scale))  # type: ignore[no-untyped-call]
