"""Attention by scaled dot products (Vaswani 2017)."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.dispatch import engine, trains_in_bfloat16
from seq2seq_cli.kernels.autograd.packing import Pairs

# With fewer queries, as in a step of search, PyTorch's fused kernel takes longer on a CPU than
# products of small matrices.
FEW_QUERIES = 16


def _few_queries(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    scores = torch.matmul(query * scale, key.transpose(2, 3))
    return torch.matmul(scores.masked_fill_(~mask, -torch.inf).softmax(dim=3), value)


class _BfloatAttention(torch.autograd.Function):
    """The reference for bfloat16 on a CPU, with the softmax in float32.

    PyTorch's fused kernel takes 5 to 10 times as long for sentences of 10 to 50 tokens.
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
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, weights = ctx.saved_tensors
        rows, heads, _, width = grad_outputs[0].shape
        grad_output = grad_outputs[0].reshape(query.shape)
        grad_value = torch.bmm(weights.transpose(1, 2), grad_output)
        grad_weights = torch.bmm(grad_output, value.transpose(1, 2)).float()
        exact = weights.float()
        mean = (grad_weights * exact).sum(dim=2, keepdim=True)
        grad_scores = grad_weights.sub_(mean).mul_(exact).mul_(ctx.scale).to(query.dtype)
        grad_query = torch.bmm(grad_scores, key)
        grad_key = torch.bmm(grad_scores.transpose(1, 2), query)
        each = (x.view(rows, heads, -1, width) for x in (grad_query, grad_key, grad_value))
        return (*cast(tuple[Tensor, Tensor, Tensor], tuple(each)), None, None)


def _reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    causal: bool,
    scale: float,
) -> Tensor:
    in_bfloat16 = query.dtype == torch.bfloat16 and torch.is_grad_enabled() and not dropout
    if not in_bfloat16 or engine(query) == "torch":
        return F.scaled_dot_product_attention(
            query, key, value, mask, dropout, is_causal=causal, scale=scale
        )
    if causal:
        mask = torch.ones(query.size(2), key.size(2), dtype=torch.bool).tril()
    bias = None if mask is None else torch.zeros(mask.shape).masked_fill_(~mask, -torch.inf)
    return cast(Tensor, _BfloatAttention.apply(query, key, value, bias, scale))  # type: ignore[no-untyped-call]


class _Attention(torch.autograd.Function):
    """By the kernel, which reads heads wherever they lie and saves no weights for the gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        middle: int,
        visible: training.VisibleKeys,
        scale: float,
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.visible, ctx.scale, ctx.bias = visible, scale, None
        if bias is not None:
            ctx.bias = training.ScoreBias(bias.detach().float().contiguous(), middle)
        return training.attention(query, key, value, visible, scale, ctx.bias)

    @staticmethod
    def backward(
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, None, None, None]:
        query, key, value = ctx.saved_tensors
        gradients = training.attention_backward(
            query, key, value, grad_outputs[0], ctx.visible, ctx.scale, ctx.bias
        )
        return (*gradients, None, None, None)


def _by_kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    visible: training.VisibleKeys,
    scale: float,
) -> Tensor:
    # The bias of packed sentences is that of the longest one.
    middle = query.size(2) - 1
    if bias is not None and visible.starts is not None:
        middle = bias.size(1) // 2
    return cast(Tensor, _Attention.apply(query, key, value, bias, middle, visible, scale))  # type: ignore[no-untyped-call]


def _visible(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool
) -> training.VisibleKeys | None:
    """What the mask lets queries see, as the kernel takes it: a mask of the keys of each row, or
    causality, but not both; None if it is neither. These are all that models need.
    """
    rows = query.size(0)
    by_row = mask is None or (mask.shape[1:3] == (1, 1) and not causal)
    if not (by_row and rows == key.size(0) == value.size(0)):
        return None
    if mask is not None:
        mask = mask.expand(rows, 1, 1, key.size(2))[:, 0, 0].contiguous()
    return training.VisibleKeys(mask, causal)


def scores_of_offsets(bias: Tensor, queries: int, keys: int) -> Tensor:
    """What is added to scores (H, Q, S), by the bias (H, Q + S - 1) of offsets.

    Number Q - 1 + k - i is added to the score of query i and key k.
    """
    assert bias.size(1) == queries + keys - 1
    return bias.unfold(1, keys, 1).flip(1)


def _biased(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    bias: Tensor,
    dropout: float,
    causal: bool,
    scale: float,
) -> Tensor:
    bias = scores_of_offsets(bias, query.size(2), key.size(2))
    if causal:
        mask = bias.new_ones(bias.shape[1:], dtype=torch.bool).tril()
    if mask is not None:
        bias = torch.where(mask, bias, -torch.inf)
    bias = bias.to(query).expand(query.size(0), -1, -1, -1)
    return F.scaled_dot_product_attention(query, key, value, bias, dropout, scale=scale)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | Pairs | None = None,
    dropout: float = 0.0,
    *,
    causal: bool = False,
    scale: float | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Queries (B, H, Q, D), keys and values (B, H, S, D) -> (B, H, Q, D).

    `mask` is False for keys that a query must not attend to, and broadcasts to (B, H, Q, S); each
    query has at least one key left. `dropout` is the probability for weights. `scale` multiplies
    scores; it is 1 / sqrt(D) by default. If causal, query i sees the keys up to i, of which there
    are as many as queries, and there is no mask. `bias` (H, Q + S - 1) is added to the scaled
    scores by offset: number Q - 1 + k - i to that of query i and key k.

    Pairs of packed sentences instead of a mask, B being 1, are for where `packing.layouts` gives
    them, since only the kernel takes them. Each then has as many keys as queries if there is a
    bias, which is that of a sentence of (its length + 1) / 2 tokens, the longest.
    """
    scale = query.size(3) ** -0.5 if scale is None else scale
    if trains_in_bfloat16(query):
        query, key, value = (x.bfloat16() for x in (query, key, value))
    if isinstance(mask, Pairs):
        visible = training.VisibleKeys(None, causal, mask.queries.starts, mask.keys.starts)
        return _by_kernel(query, key, value, bias, visible, scale)
    trains = torch.is_grad_enabled()
    is_step = not trains and not causal and query.size(2) < FEW_QUERIES
    if is_step and bias is None and mask is not None:
        return _few_queries(query, key, value, mask, scale)
    if trains and not dropout and engine(query, key, value) == "kernel":
        visible_keys = _visible(query, key, value, mask, causal)
        if visible_keys is not None:
            return _by_kernel(query, key, value, bias, visible_keys, scale)
    if bias is not None:
        return _biased(query, key, value, mask, bias, dropout, causal, scale)
    return _reference(query, key, value, mask, dropout, causal, scale)


class _Split(torch.autograd.Function):
    """Joins gradients without a copy where they lie in one block, as those of the kernel do.

    Strides and addresses like these only occur for tensors in one block.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int) -> tuple[Tensor, ...]:
        return x.chunk(count, dim=-1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        first, width = grad_outputs[0], grad_outputs[0].size(-1)
        shape = (*first.shape[:-1], len(grad_outputs) * width)
        strides = torch.empty(shape, device="meta").stride()
        if all(
            each.stride() == strides
            and each.data_ptr() == first.data_ptr() + index * width * each.element_size()
            for index, each in enumerate(grad_outputs)
        ):
            return first.as_strided(shape, strides), None
        return torch.cat(grad_outputs, dim=-1), None


def split(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """Split the last dimension, as into queries, keys, values: (…, D) -> tensors (…, D / count)."""
    if not torch.is_grad_enabled() or engine(x) == "torch":
        return x.chunk(count, dim=-1)
    return cast(tuple[Tensor, ...], _Split.apply(x, count))  # type: ignore[no-untyped-call]
