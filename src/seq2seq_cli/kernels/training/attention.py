"""Attention by scaled dot products (attention.cpp)."""

import ctypes

import torch
from torch import Tensor

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.prototypes import fields
from seq2seq_cli.kernels.training.calls import call


class _Heads(ctypes.Structure):
    _fields_ = fields("""
        void *data;
        int64_t row, head, token;
        int32_t tokens;
        const int32_t *starts;
    """)


class _AttentionShape(ctypes.Structure):
    _fields_ = fields("""
        int32_t rows, heads, width, causal;
        float scale;
        const uint8_t *mask;
        const float *bias;
        float *grad_bias;
        int32_t offsets, middle;
    """)


_kernels = Functions("""
    void train_attention(int32_t is_bfloat16, const AttentionShape *shape, const Heads *query,
                         const Heads *key, const Heads *value, const Heads *out, int32_t threads);
    void train_attention_backward(int32_t is_bfloat16, const AttentionShape *shape,
                                  const Heads *query, const Heads *key, const Heads *value,
                                  const Heads *grad_out, const Heads *grad_query,
                                  const Heads *grad_key, const Heads *grad_value, int32_t threads);
""")


@dataclass(frozen=True)
class VisibleKeys:
    """Which keys a query sees: all of its row, or fewer.

    `mask` (N, S) is contiguous and boolean, with at least one True in each row. `causal` lets query
    i see the keys up to i, of which there are as many as queries; it does not go with a mask.

    In packed tensors (1, H, tokens of all rows, D), row n has the queries from `starts[n]` to
    `starts[n + 1]`, at least one, and its keys by `key_starts` likewise: int32, (N + 1,) each.
    """

    mask: Tensor | None = None
    causal: bool = False
    starts: Tensor | None = None
    key_starts: Tensor | None = None

    def rows(self, query: Tensor) -> int:
        """The number of rows of queries (N, H, Q, D), or of packed ones."""
        return query.size(0) if self.starts is None else len(self.starts) - 1


@dataclass(frozen=True)
class ScoreBias:
    """What is added to scaled scores by the offset of a key from its query.

    Query i and key k of a row get `added[:, middle + k - i]`, float32 and contiguous (H, offsets);
    so `middle` is at least the number of queries less one.
    """

    added: Tensor
    middle: int


def _heads(x: Tensor, starts: Tensor | None) -> _Heads:
    """Where the numbers of x (N, H, T, D) are; of a packed one, where each row starts."""
    row, head, token, _ = x.stride()
    address = None if starts is None else starts.data_ptr()
    return _Heads(x.data_ptr(), row, head, token, x.size(2), address)


def _call_attention(
    name: str,
    scale: float,
    visible: VisibleKeys,
    by_query: list[Tensor],
    by_key: list[Tensor],
    order: str,
    bias: ScoreBias | None,
    grad_bias: Tensor | None = None,
) -> None:
    """Call an attention kernel on tensors in this order: q and k, the next of either list."""
    query = by_query[0]
    assert not visible.causal or by_key[0].size(2) == query.size(2), "a query for each key"
    mask = None if visible.mask is None else visible.mask.data_ptr()
    heads, width = query.size(1), query.size(3)
    shape = _AttentionShape(visible.rows(query), heads, width, visible.causal, scale, mask)
    if bias is not None:
        shape.bias, shape.middle = bias.added.data_ptr(), bias.middle
        shape.offsets = bias.added.size(1)
        shape.grad_bias = None if grad_bias is None else grad_bias.data_ptr()
    sides = {
        "q": iter([_heads(x, visible.starts) for x in by_query]),
        "k": iter([_heads(x, visible.key_starts) for x in by_key]),
    }
    tensors = [next(sides[side]) for side in order]
    call(_kernels, name, query, ctypes.byref(shape), *map(ctypes.byref, tensors))


def _contiguous_heads(x: Tensor) -> Tensor:
    """x (N, H, T, D) with the numbers of a head next to each other, as the kernels read them."""
    return x if x.stride(3) == 1 else x.contiguous()


def _empty_like(x: Tensor, count: int = 1) -> list[Tensor]:
    """Tensors like x (N, H, T, D), in one block of memory that holds all of them token by token."""
    rows, heads, tokens, width = x.shape
    block = x.new_empty(rows, tokens, count, heads, width)
    return [each.transpose(1, 2) for each in block.unbind(dim=2)]


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    visible: VisibleKeys,
    scale: float,
    bias: ScoreBias | None = None,
) -> Tensor:
    """Attention of queries (N, H, Q, D) to keys and values (N, H, S, D), with scaled scores."""
    query, key, value = map(_contiguous_heads, (query, key, value))
    (out,) = _empty_like(query)
    by_query, by_key = [query, out], [key, value]
    _call_attention("train_attention", scale, visible, by_query, by_key, "qkkq", bias)
    return out


def attention_backward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    grad_output: Tensor,
    visible: VisibleKeys,
    scale: float,
    bias: ScoreBias | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The gradients of query, key and value in `attention`, and of what its bias adds.

    Those of tensors lie in one block of memory if their shapes are the same, otherwise key's and
    value's do. The last one, (H, offsets) in float32, is None without a bias.
    """
    query, key, value, grad_output = map(_contiguous_heads, (query, key, value, grad_output))
    if query.shape == key.shape:
        grad_query, grad_key, grad_value = _empty_like(query, 3)
    else:
        (grad_query,), (grad_key, grad_value) = _empty_like(query), _empty_like(key, 2)
    by_query, by_key = [query, grad_output, grad_query], [key, value, grad_key, grad_value]
    # A gradient for each row: their sum does not depend on the number of threads.
    grad_bias = None if bias is None else torch.empty(visible.rows(query), *bias.added.shape)
    name = "train_attention_backward"
    _call_attention(name, scale, visible, by_query, by_key, "qkkqqkk", bias, grad_bias)
    total = None if grad_bias is None else grad_bias.sum(dim=0)
    return grad_query, grad_key, grad_value, total
