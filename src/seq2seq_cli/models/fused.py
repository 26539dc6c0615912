"""Parts of a training step on a CPU, each as one autograd function.

Each computes what a line or two of PyTorch would, in fewer passes over memory, and keeps less of it
for the gradients. What they replace is named beside each and measured in recipes/bench/LOG.md.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq_cli.models.packing import Pairs
from seq2seq_cli.native import training

# Fewer queries, as in a step of search, cost the fused kernel more than plain products on a CPU.
FEW_QUERIES = 16
LEVELS = 256  # of a random byte: dropout's probabilities are multiples of 1 / 256


def _drawn(x: Tensor) -> Tensor:
    """What says which elements are dropped: a seed for the compiled functions, else random bytes.

    It is what the backward pass keeps.
    """
    if training.serves(x):
        return torch.empty((), dtype=torch.int64).random_()
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[: x.numel()]


def _is_seed(random: Tensor) -> bool:
    return random.dim() == 0


def _kept(random: Tensor, like: Tensor, threshold: int) -> Tensor:
    """1 where the random byte lets an element through, 0 where not.

    In the type of what it is multiplied with: of two types, PyTorch would convert one, element by
    element, in five to ten times the time.
    """
    return torch.ge(random.view(like.shape), threshold, out=torch.empty_like(like))


def _scale(threshold: int) -> float:
    """What is let through is scaled by, so that the expected value stays exact."""
    return LEVELS / (LEVELS - threshold)


def _dropped(x: Tensor, random: Tensor, threshold: int) -> Tensor:
    if _is_seed(random):
        return training.dropped(x, threshold, int(random))
    return _kept(random, x, threshold).mul_(x).mul_(_scale(threshold))


class _Dropout(torch.autograd.Function):
    """Drops an element where its random byte is below the threshold."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        random = _drawn(x)
        ctx.save_for_backward(random)
        ctx.threshold = threshold
        return _dropped(x, random, threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (random,) = ctx.saved_tensors
        return _dropped(gradients[0], random, ctx.threshold), None


class _DroppedSum(torch.autograd.Function):
    """residual + dropout(x); the sum costs nothing on top."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, x: Tensor, threshold: int) -> Tensor:
        random = _drawn(x)
        ctx.save_for_backward(random)
        ctx.threshold = threshold
        if _is_seed(random):
            return training.dropped_sum(residual, x, threshold, int(random))
        return torch.addcmul(residual, x, _kept(random, x, threshold), value=_scale(threshold))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (random,) = ctx.saved_tensors
        return gradients[0], _dropped(gradients[0], random, ctx.threshold), None


class _DroppedRelu(torch.autograd.Function):
    """dropout(relu(x)); its gradients need nothing but its own result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        random = _drawn(x)
        if _is_seed(random):
            result = training.dropped_relu(x, threshold, int(random))
        else:
            result = _kept(random, x, threshold).mul_(x).relu_().mul_(_scale(threshold))
        ctx.save_for_backward(result)
        ctx.scale = _scale(threshold)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        if training.serves(result):
            return training.passed(gradients[0], result, ctx.scale), None
        passed = torch.ops.aten.threshold_backward(gradients[0], result, 0)
        return passed.mul_(ctx.scale), None


def _weight_gradients(
    gradient: Tensor, x: Tensor, wants_weight: bool, wants_bias: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Those of a layer's weights and bias, as far as they are wanted: not where it is frozen."""
    if wants_weight and x.dtype == torch.bfloat16:
        return training.linear_weight(gradient, x, biased=wants_bias)
    of_weight = gradient.t() @ x if wants_weight else None
    return of_weight, training.column_sums(gradient) if wants_bias else None


class _FeedForward(torch.autograd.Function):
    """linear(dropped_relu(linear(x))); what stands between is part of the products, or in place."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        inner: Tensor,
        inner_bias: Tensor,
        outer: Tensor,
        outer_bias: Tensor,
        threshold: int,
    ) -> Tensor:
        flat = x.reshape(-1, x.size(-1))
        seed = int(torch.empty((), dtype=torch.int64).random_()) if threshold else 0
        if x.dtype == torch.bfloat16:
            between = training.linear_dropped_relu(flat, inner, inner_bias, threshold, seed)
            result = training.linear(between, outer, outer_bias)
        else:
            between = training.dropped_relu_(flat @ inner.t(), inner_bias, threshold, seed)
            result = torch.addmm(outer_bias, between, outer.t())
        ctx.save_for_backward(flat, inner, between, outer)
        ctx.shape, ctx.scale = x.shape, _scale(threshold)
        return result.view(*x.shape[:-1], outer.size(0))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, between, outer = ctx.saved_tensors
        wants = ctx.needs_input_grad
        slope = gradients[0].reshape(len(x), outer.size(0)).contiguous()
        of_outer = _weight_gradients(slope, between, *wants[3:5])
        if not any(wants[:3]):
            return None, None, None, *of_outer, None
        if x.dtype == torch.bfloat16:
            slope = training.linear_input_passed(slope, outer, between, ctx.scale)
        else:
            slope = training.passed_(slope @ outer, between, ctx.scale)
        of_x = None
        if wants[0]:
            rounds = x.dtype == torch.bfloat16
            of_x = training.linear_input(slope, inner) if rounds else slope @ inner
            of_x = of_x.view(ctx.shape)
        return of_x, *_weight_gradients(slope, x, *wants[1:3]), *of_outer, None


class _Norm(torch.autograd.Function):
    """LayerNorm, or RMSNorm without a bias, with weights of float32 whatever the type of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
        x = x.contiguous()
        result, statistics = training.norm(x, weight, bias, epsilon)
        ctx.save_for_backward(x, weight, statistics)
        ctx.centred = bias is not None
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        x, weight, statistics = ctx.saved_tensors
        of_x, of_weights = training.norm_backward(
            gradients[0], x, weight, statistics, centred=ctx.centred
        )
        return of_x, of_weights[0], of_weights[1] if ctx.centred else None, None


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
            return of_x, *_weight_gradients(gradient, flat, wants_weight, wants_bias)
        rows, of_weight = Rows(gradients[0].reshape(-1, weight.size(0))), None
        of_x = rows.times(weight).view_as(x) if wants_x else None
        if wants_weight:
            of_weight = rows.turned_times(Rows(x.reshape(-1, x.size(-1)))).float()
        return of_x, of_weight, _column_sums(rows.whole) if wants_bias else None


def _column_sums(x: Tensor) -> Tensor:
    if not training.serves(x):
        return x.sum(dim=0, dtype=torch.float32)
    return training.column_sums(x.contiguous())  # a gradient may be a view of any layout


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


def product_over_rows(x: Tensor, y: Tensor) -> Tensor:
    """The product (I, J) of the transpose of x (rows, I) with y (rows, J), both bfloat16."""
    if training.multiplies(x):
        return training.linear_weight(x, y)[0]
    return Rows(x).turned_times(Rows(y)).float()


def _product(x: Tensor, y: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    return torch.mm(x, y, out=out) if bias is None else torch.addmm(bias, x, y, out=out)


def rounds(x: Tensor) -> bool:
    """Whether this is training on a CPU whose products are in bfloat16."""
    if x.device.type != "cpu" or not torch.is_grad_enabled():
        return False
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(…, inputs) -> (…, outputs), with weights (outputs, inputs)."""
    if rounds(x) and x.numel() >= training.FEW_ROWS * x.size(-1):
        return cast(Tensor, _Linear.apply(x.bfloat16(), weight, bias))  # type: ignore[no-untyped-call]
    return F.linear(x, weight, bias)


def parts(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """(…, D) -> so many times (…, D / count)."""
    if x.device.type == "cpu" and torch.is_grad_enabled():
        return cast(tuple[Tensor, ...], _Parts.apply(x, count))  # type: ignore[no-untyped-call]
    return x.chunk(count, dim=-1)


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


def feed_forward(x: Tensor, inner: nn.Linear, outer: nn.Linear, threshold: int) -> Tensor:
    """The outer layer of what ReLU and dropout leave of the inner one's results (…, D)."""
    x = x.bfloat16() if rounds(x) else x
    if _feeds_forward(x, inner, outer):
        weights = inner.weight, inner.bias, outer.weight, outer.bias
        return cast(Tensor, _FeedForward.apply(x, *weights, threshold))  # type: ignore[no-untyped-call]
    between = inner(x)
    between = dropped_relu(between, threshold) if threshold else F.relu(between)
    return cast(Tensor, outer(between))


def _feeds_forward(x: Tensor, inner: nn.Linear, outer: nn.Linear) -> bool:
    """Whether both layers with weights of float32 are one function."""
    if x.dtype == torch.bfloat16:
        return training.multiplies(x, *inner.weight.shape, len(outer.weight))
    learns = torch.is_grad_enabled() and not torch.is_autocast_enabled(x.device.type)
    fits = len(inner.weight) % training.SIDE == 0 and len(x) > 0
    return learns and fits and training.serves(x, inner.weight, outer.weight)


def norm(x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
    """LayerNorm over the last dimension, or RMSNorm without a bias."""
    exact = all(each is None or each.dtype == torch.float32 for each in (weight, bias))
    if torch.is_grad_enabled() and exact and training.serves(x):
        return cast(Tensor, _Norm.apply(x, weight, bias, epsilon))  # type: ignore[no-untyped-call]
    if bias is None:  # its fused kernel asks for weights rounded as x is
        return F.rms_norm(x, weight.shape, weight.to(x.dtype), epsilon)
    return F.layer_norm(x, weight.shape, weight, bias, epsilon)


def packs(x: Tensor) -> bool:
    """Whether `attention` takes packed tensors of x's type and device, and with their gradients."""
    return torch.is_grad_enabled() and training.serves(x)


def _compiled_attention(
    query: Tensor, key: Tensor, value: Tensor, keys: training.Keys, scale: float
) -> Tensor:
    return cast(Tensor, _CompiledAttention.apply(query, key, value, keys, scale))  # type: ignore[no-untyped-call]


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
    if query.size(2) < FEW_QUERIES and not learns and not causal and mask is not None:
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
    slow = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    if not slow or dropout or not learns:
        return F.scaled_dot_product_attention(
            query, key, value, mask, dropout, is_causal=causal, scale=scale
        )
    if causal:
        mask = torch.ones(query.size(2), key.size(2), dtype=torch.bool).tril()
    bias = None if mask is None else torch.zeros(mask.shape).masked_fill_(~mask, -torch.inf)
    return cast(Tensor, _Attention.apply(query, key, value, bias, scale))  # type: ignore[no-untyped-call]
