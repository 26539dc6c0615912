"""Parts of a training step on a CPU, each as one autograd function.

Each computes what a line or two of PyTorch would, in fewer passes over memory, and keeps less of it
for the gradients. What they replace is named beside each and measured in recipes/bench/LOG.md.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

LEVELS = 256  # of a random byte: dropout's probabilities are multiples of 1 / 256


def _random_bytes(count: int) -> Tensor:
    words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[:count]


def _kept(random: Tensor, like: Tensor, threshold: int) -> Tensor:
    """1 where the random byte lets an element through, 0 where not.

    In the type of what it is multiplied with: of two types, PyTorch would convert one, element by
    element, in five to ten times the time.
    """
    return torch.ge(random.view(like.shape), threshold, out=torch.empty_like(like))


class _Dropout(torch.autograd.Function):
    """Drops an element where its random byte is below the threshold; keeps only the bytes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        random = _random_bytes(x.numel())
        ctx.save_for_backward(random)
        ctx.threshold = threshold
        return _dropped(x, random, threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (random,) = ctx.saved_tensors
        return _dropped(gradients[0], random, ctx.threshold), None


def _dropped(x: Tensor, random: Tensor, threshold: int) -> Tensor:
    return _kept(random, x, threshold).mul_(x).mul_(_scale(threshold))


def _scale(threshold: int) -> float:
    """What is let through is scaled by, so that the expected value stays exact."""
    return LEVELS / (LEVELS - threshold)


class _DroppedSum(torch.autograd.Function):
    """residual + dropout(x); the sum costs nothing on top."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, x: Tensor, threshold: int) -> Tensor:
        random = _random_bytes(x.numel())
        ctx.save_for_backward(random)
        ctx.threshold = threshold
        return torch.addcmul(residual, x, _kept(random, x, threshold), value=_scale(threshold))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (random,) = ctx.saved_tensors
        return gradients[0], _dropped(gradients[0], random, ctx.threshold), None


class _DroppedRelu(torch.autograd.Function):
    """dropout(relu(x)); its gradients need nothing but its own result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        kept = _kept(_random_bytes(x.numel()), x, threshold)
        result = kept.mul_(x).relu_().mul_(_scale(threshold))
        ctx.save_for_backward(result)
        ctx.scale = _scale(threshold)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradients[0], result, 0)
        return passed.mul_(ctx.scale), None


class _Attention(torch.autograd.Function):
    """Scaled dot products of queries and keys, softmax in float32, sum of values.

    PyTorch's fused kernel in bfloat16 takes 5 to 10 times as long for sentences of 10 to 50 tokens.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        rows, heads, queries, width = query.shape
        query, key, value = (x.reshape(rows * heads, -1, width) for x in (query, key, value))
        ctx.scale = width**-0.5
        scores = torch.bmm(query, key.transpose(1, 2)).float().mul_(ctx.scale)
        if bias is not None:
            scores.view(rows, heads, queries, -1).add_(bias)
        weights = scores.softmax(dim=2).to(query.dtype)
        ctx.save_for_backward(query, key, value, weights)
        return torch.bmm(weights, value).view(rows, heads, queries, width)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
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
        return (*cast(tuple[Tensor, Tensor, Tensor], tuple(each)), None)


def dropout(x: Tensor, threshold: int) -> Tensor:
    """Drop threshold / 256 of the elements, scale up the others."""
    if x.device.type == "cpu":
        return cast(Tensor, _Dropout.apply(x, threshold))  # type: ignore[no-untyped-call]
    return F.dropout(x, threshold / LEVELS)


def dropped_sum(residual: Tensor, x: Tensor, threshold: int) -> Tensor:
    """residual + dropout(x), in the type of the residual."""
    x = x.to(residual)
    if x.device.type == "cpu":
        return cast(Tensor, _DroppedSum.apply(residual, x, threshold))  # type: ignore[no-untyped-call]
    return residual + F.dropout(x, threshold / LEVELS)


def dropped_relu(x: Tensor, threshold: int) -> Tensor:
    """dropout(relu(x))."""
    if x.device.type == "cpu":
        return cast(Tensor, _DroppedRelu.apply(x, threshold))  # type: ignore[no-untyped-call]
    return F.dropout(F.relu(x), threshold / LEVELS)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    *,
    causal: bool = False,
) -> Tensor:
    """Queries (B, H, Q, D), keys and values (B, H, S, D) -> (B, H, Q, D).

    `mask` is False where a query may not look and fits (B, H, Q, S); `dropout` is of the weights.
    Causal means that query i sees keys up to i, and that there are as many keys as queries.
    """
    slow = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    if not slow or dropout or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=causal)
    if causal:
        mask = torch.ones(query.size(2), key.size(2), dtype=torch.bool).tril()
    bias = None if mask is None else torch.zeros(mask.shape).masked_fill_(~mask, -torch.inf)
    return cast(Tensor, _Attention.apply(query, key, value, bias))  # type: ignore[no-untyped-call]
