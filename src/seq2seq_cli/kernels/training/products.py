"""The ctypes face of the kernels of a training step, which run on a CPU between torch's products.

All of them work on float32 and bfloat16, in as many threads as torch has, with the same results for
any number of them. Random numbers come from a seed that is drawn from torch's generator. Whether a
kernel can be called is decided in `kernels.autograd.dispatch`, and nowhere else.

To read them, begin with the function of an operation here, then with the .cpp that defines it.

Dimensions: N rows, T tokens, H heads, Q queries, S keys, D width of a head, V columns of logits;
I inputs and O outputs of a linear layer.
"""

import ctypes
from functools import lru_cache
from types import SimpleNamespace

import torch
from torch import Tensor

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.prototypes import POINTER, Prototypes, fields

NORM_ROWS = 64  # the same as in norms.cpp
SIDE = 32  # of a block of bfloat16 products, the same as in products.cpp
SERIAL = 1 << 15  # with fewer numbers than these, a second thread costs more than it gains


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
    """)


_PROTOTYPES = Prototypes("""
    void train_cross_entropy(int32_t is_bfloat16, void *logits, int32_t rows, int32_t columns,
                             const int64_t *gold, float smoothing, float *losses,
                             int32_t threads);
    void train_r_drop(int32_t is_bfloat16, void *logits, int32_t rows, int32_t columns,
                      const int64_t *gold, float smoothing, float alpha, float *losses,
                      int32_t threads);
    void train_dropout(int32_t is_bfloat16, const void *x, void *out, int64_t count,
                       int32_t threshold, int64_t seed, int32_t threads);
    void train_dropout_add(int32_t is_bfloat16, const void *residual, const void *x, void *out,
                           int64_t count, int32_t threshold, int64_t seed, int32_t threads);
    void train_relu_dropout(int32_t is_bfloat16, const void *x, const float *bias, int32_t width,
                            void *out, int64_t count, int32_t threshold, int64_t seed,
                            int32_t threads);
    void train_relu_dropout_backward(int32_t is_bfloat16, const void *grad_output,
                                     const void *result, void *out, int64_t count, float scale,
                                     int32_t threads);
    void train_norm(int32_t is_bfloat16, const void *x, const float *weight, const float *bias,
                    float epsilon, void *out, float *statistics, int64_t rows, int32_t width,
                    int32_t threads);
    void train_norm_backward(int32_t is_bfloat16, const void *grad_output, const void *x,
                             const float *weight, const float *statistics, int32_t centred,
                             void *out, float *sums, int64_t rows, int32_t width,
                             int32_t threads);
    void train_column_sums(int32_t is_bfloat16, const void *x, float *sums, int64_t rows,
                           int32_t width, int32_t threads);
    void train_linear(int32_t, const bfloat16 *x, int64_t rows, int32_t inputs,
                      const float *weight, const float *bias, int32_t outputs, bfloat16 *out,
                      int32_t threads);
    void train_linear_relu_dropout(int32_t, const bfloat16 *x, int64_t rows, int32_t inputs,
                                   const float *weight, const float *bias, int32_t outputs,
                                   bfloat16 *out, int32_t threshold, int64_t seed,
                                   int32_t threads);
    void train_linear_grad_input(int32_t, const bfloat16 *grad_output, int64_t rows,
                                 int32_t inputs, const float *weight, int32_t outputs,
                                 bfloat16 *out, int32_t threads);
    void train_linear_grad_input_relu_dropout(int32_t, const bfloat16 *grad_output, int64_t rows,
                                              int32_t inputs, const float *weight,
                                              int32_t outputs, const bfloat16 *results,
                                              float scale, bfloat16 *out, int32_t threads);
    void train_linear_grad_weight(int32_t, const bfloat16 *grad_output, int64_t rows,
                                  int32_t inputs, const bfloat16 *x, int32_t outputs,
                                  float *grad_weight, float *grad_bias, int32_t threads);
    int32_t train_multiplies_bfloat16();
    void train_lstm(int32_t is_bfloat16, void *gates, const void *inputs, const float *cell,
                    float *cell_after, void *hidden, int32_t rows, int32_t units,
                    int32_t threads);
    void train_lstm_backward(int32_t is_bfloat16, const void *gates, const float *cell,
                             const float *cell_after, const void *grad_above,
                             const void *grad_carried, float *grad_cell, void *grad_gates,
                             int32_t rows, int32_t units, int32_t threads);
    void train_attention(int32_t is_bfloat16, const AttentionShape *shape, const Heads *query,
                         const Heads *key, const Heads *value, const Heads *out, int32_t threads);
    void train_attention_backward(int32_t is_bfloat16, const AttentionShape *shape,
                                  const Heads *query, const Heads *key, const Heads *value,
                                  const Heads *grad_out, const Heads *grad_query,
                                  const Heads *grad_key, const Heads *grad_value, int32_t threads);
    void use_threads(void *parallel);
""")


def library() -> SimpleNamespace | None:
    """The functions of the library in use; None if there is none for this processor."""
    loaded = kernels.library()
    return None if loaded is None else _prepared(loaded)


@lru_cache
def _prepared(loaded: ctypes.CDLL) -> SimpleNamespace:
    functions = _PROTOTYPES.bind(loaded, kernels.failure_check(loaded))
    # The threads of the OpenMP library that torch uses; without it there is one thread.
    threads = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    functions.use_threads(ctypes.cast(threads, POINTER) if threads else None)
    return functions


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in the kernels `linear…`."""
    return (loaded := library()) is not None and bool(loaded.train_multiplies_bfloat16())


def _call(name: str, like: Tensor, *arguments: object, size: int | None = None) -> None:
    """Call a kernel in the version for the dtype of `like`; tensors are passed by their addresses.

    `size` is how many numbers it reads, by default those of `like`.
    """
    loaded = library()
    assert loaded is not None, "callers have asked autograd.dispatch.engine"
    size = like.numel() if size is None else size
    threads = 1 if size < SERIAL else torch.get_num_threads()
    passed = (x.data_ptr() if isinstance(x, Tensor) else x for x in arguments)
    getattr(loaded, name)(like.dtype == torch.bfloat16, *passed, threads)


def _float32(weight: Tensor) -> Tensor:
    """Weights as the kernels of linear layers read them; no copy if they are already so."""
    return weight.float().contiguous()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    """x (N, I) in bfloat16 times weights (O, I), plus a bias (O,) -> (N, O). I is k * SIDE."""
    (outputs, inputs), rows = weight.shape, x.size(0)
    out = x.new_empty(rows, outputs) if out is None else out
    x, weight, bias = x.contiguous(), _float32(weight), None if bias is None else _float32(bias)
    _call("train_linear", x, x, rows, inputs, weight, bias, outputs, out)
    return out


def linear_relu_dropout(
    x: Tensor, weight: Tensor, bias: Tensor | None, threshold: int, seed: int
) -> Tensor:
    """relu_dropout(linear(x)), although with other random numbers. I and O are k * SIDE."""
    (outputs, inputs), rows = weight.shape, x.size(0)
    out = x.new_empty(rows, outputs)
    x, weight, bias = x.contiguous(), _float32(weight), None if bias is None else _float32(bias)
    arguments = x, rows, inputs, weight, bias, outputs, out, threshold, seed
    _call("train_linear_relu_dropout", x, *arguments)
    return out


def linear_grad_input(grad_output: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """The gradient of x (N, I) in `linear`, from that of its output (N, O). O is k * SIDE."""
    (outputs, inputs), rows = weight.shape, grad_output.size(0)
    out = grad_output.new_empty(rows, inputs) if out is None else out
    grad_output, weight = grad_output.contiguous(), _float32(weight)
    _call("train_linear_grad_input", grad_output, grad_output, rows, inputs, weight, outputs, out)
    return out


def linear_grad_input_relu_dropout(
    grad_output: Tensor, weight: Tensor, result: Tensor, scale: float
) -> Tensor:
    """relu_dropout_backward(linear_grad_input(…)), where x was a result (N, I) of `relu_dropout`.

    I and O are k * SIDE.
    """
    (outputs, inputs), rows = weight.shape, grad_output.size(0)
    out = grad_output.new_empty(rows, inputs)
    grad_output, weight = grad_output.contiguous(), _float32(weight)
    arguments = grad_output, rows, inputs, weight, outputs, result, scale, out
    _call("train_linear_grad_input_relu_dropout", grad_output, *arguments)
    return out


def linear_grad_weight(
    grad_output: Tensor, x: Tensor, *, biased: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Gradients of weights (O, I) and bias (O,) in `linear`, from that of its output (N, O).

    They are float32; without a bias the second is None.
    """
    rows, outputs, inputs = grad_output.size(0), grad_output.size(1), x.size(1)
    grad_weight, grad_bias = torch.empty(outputs, inputs), torch.empty(outputs) if biased else None
    grad_output, x = grad_output.contiguous(), x.contiguous()
    arguments = grad_output, rows, inputs, x, outputs, grad_weight, grad_bias
    _call("train_linear_grad_weight", grad_output, *arguments)
    return grad_weight, grad_bias


def cross_entropy_gradient(logits: Tensor, gold: Tensor, smoothing: float) -> Tensor:
    """Overwrite logits (rows, V) by the gradient of the smoothed loss; `gold` (rows,) are columns.

    Returns (2, rows): the plain loss, and the loss against a uniform distribution, in nats.
    """
    rows, columns = logits.shape
    losses = torch.empty(2, rows)
    _call("train_cross_entropy", logits, logits, rows, columns, gold, smoothing, losses)
    return losses


def r_drop_gradient(logits: Tensor, gold: Tensor, smoothing: float, alpha: float) -> Tensor:
    """Overwrite logits (2, rows, V) of two passes by the gradient of R-Drop's loss.

    Returns (3, rows): the losses as in `cross_entropy_gradient`, and the sum of both divergences.
    """
    _, rows, columns = logits.shape
    losses = torch.empty(3, rows)
    _call("train_r_drop", logits, logits, rows, columns, gold, smoothing, alpha, losses)
    return losses


def dropout(x: Tensor, threshold: int, seed: int) -> Tensor:
    """Drop threshold / 256 of the elements and scale up the rest; a seed drops the same ones."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _call("train_dropout", x, x, out, x.numel(), threshold, seed)
    return out


def dropout_add(residual: Tensor, x: Tensor, threshold: int, seed: int) -> Tensor:
    """residual + dropout(x)."""
    residual, x = residual.contiguous(), x.contiguous()
    out = torch.empty_like(x)
    _call("train_dropout_add", x, residual, x, out, x.numel(), threshold, seed)
    return out


def relu_dropout(x: Tensor, threshold: int, seed: int) -> Tensor:
    """dropout(relu(x))."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _call("train_relu_dropout", x, x, None, 0, out, x.numel(), threshold, seed)
    return out


def bias_relu_dropout_(x: Tensor, bias: Tensor, threshold: int, seed: int) -> Tensor:
    """relu_dropout(x + bias), in place; x (…, O) and bias (O,) are contiguous. O is k * SIDE."""
    arguments = x, _float32(bias), bias.numel(), x, x.numel(), threshold, seed
    _call("train_relu_dropout", x, *arguments)
    return x


def relu_dropout_backward(grad_output: Tensor, result: Tensor, scale: float) -> Tensor:
    """grad_output * scale where the result of `relu_dropout` is not zero, otherwise 0."""
    grad_output = grad_output.contiguous()
    out = torch.empty_like(grad_output)
    arguments = grad_output, result, out, grad_output.numel(), scale
    _call("train_relu_dropout_backward", grad_output, *arguments)
    return out


def relu_dropout_backward_(grad_output: Tensor, result: Tensor, scale: float) -> Tensor:
    """`relu_dropout_backward` in place; both are contiguous."""
    arguments = grad_output, result, grad_output, grad_output.numel(), scale
    _call("train_relu_dropout_backward", grad_output, *arguments)
    return grad_output


def norm(x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> tuple[Tensor, Tensor]:
    """LayerNorm over the last dimension, or RMSNorm without a bias; and its statistics (rows, 2).

    x is contiguous, weight and bias are float32.
    """
    out, width = torch.empty_like(x), x.size(-1)
    rows = x.numel() // width
    statistics = torch.empty(rows, 2)
    _call("train_norm", x, x, weight, bias, epsilon, out, statistics, rows, width)
    return out, statistics


def norm_backward(
    grad_output: Tensor, x: Tensor, weight: Tensor, statistics: Tensor, *, centred: bool
) -> tuple[Tensor, Tensor]:
    """The gradient of x in `norm`, and those of weight and bias: (2, width) in float32."""
    grad_output = grad_output.contiguous()
    out, width = torch.empty_like(x), x.size(-1)
    rows = x.numel() // width
    sums = torch.empty(-(-rows // NORM_ROWS), 2, width)
    arguments = grad_output, x, weight, statistics, centred, out, sums, rows, width
    _call("train_norm_backward", x, *arguments)
    return out, sums.sum(dim=0)


def column_sums(x: Tensor) -> Tensor:
    """The sums of the columns of a contiguous matrix (rows, width), in float32."""
    rows, width = x.shape
    sums = torch.empty(-(-rows // NORM_ROWS), width)
    _call("train_column_sums", x, x, sums, rows, width)
    return sums.sum(dim=0)


def lstm_cell(
    gates: Tensor, inputs: Tensor, cell: Tensor, cell_after: Tensor, hidden: Tensor
) -> None:
    """One token of an LSTM: gates and inputs (rows, 4 units) add up to what its gates read.

    Writes the cell after the token, in float32, and the hidden state, (rows, units) each; gates are
    overwritten by their activations. All are contiguous.
    """
    _call("train_lstm", gates, gates, inputs, cell, cell_after, hidden, *hidden.shape)


def lstm_cell_backward(
    gates: Tensor,
    cell: Tensor,
    cell_after: Tensor,
    grad_above: Tensor,
    grad_carried: Tensor,
    grad_cell: Tensor,
    grad_gates: Tensor,
) -> None:
    """Write the gradient (rows, 4 units) of what the gates of `lstm_cell` read.

    The gradients from above and from the next token, (rows, units), add up to that of the hidden
    state; the gradient of the cell is updated in place.
    """
    arguments = gates, cell, cell_after, grad_above, grad_carried, grad_cell, grad_gates
    _call("train_lstm_backward", gates, *arguments, *grad_above.shape)


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


def _heads(x: Tensor, starts: Tensor | None) -> _Heads:
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
) -> None:
    """Call an attention kernel on tensors in this order: q and k, the next of either list."""
    query = by_query[0]
    rows = query.size(0) if visible.starts is None else len(visible.starts) - 1
    assert not visible.causal or by_key[0].size(2) == query.size(2), "a query for each key"
    mask = None if visible.mask is None else visible.mask.data_ptr()
    shape = _AttentionShape(rows, query.size(1), query.size(3), visible.causal, scale, mask)
    sides = {
        "q": iter([_heads(x, visible.starts) for x in by_query]),
        "k": iter([_heads(x, visible.key_starts) for x in by_key]),
    }
    heads = [next(sides[side]) for side in order]
    _call(name, query, ctypes.byref(shape), *map(ctypes.byref, heads))


def _contiguous_heads(x: Tensor) -> Tensor:
    """x (N, H, T, D) with the numbers of a head next to each other, as the kernels read them."""
    return x if x.stride(3) == 1 else x.contiguous()


def _empty_like(x: Tensor, count: int = 1) -> list[Tensor]:
    """Tensors like x (N, H, T, D), in one block of memory that holds all of them token by token."""
    rows, heads, tokens, width = x.shape
    block = x.new_empty(rows, tokens, count, heads, width)
    return [each.transpose(1, 2) for each in block.unbind(dim=2)]


def attention(
    query: Tensor, key: Tensor, value: Tensor, visible: VisibleKeys, scale: float
) -> Tensor:
    """Attention of queries (N, H, Q, D) to keys and values (N, H, S, D), with scaled scores."""
    query, key, value = map(_contiguous_heads, (query, key, value))
    (out,) = _empty_like(query)
    _call_attention("train_attention", scale, visible, [query, out], [key, value], "qkkq")
    return out


def attention_backward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    grad_output: Tensor,
    visible: VisibleKeys,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value in `attention`.

    They lie in one block of memory if their shapes are the same, otherwise key's and value's do.
    """
    query, key, value, grad_output = map(_contiguous_heads, (query, key, value, grad_output))
    if query.shape == key.shape:
        grad_query, grad_key, grad_value = _empty_like(query, 3)
    else:
        (grad_query,), (grad_key, grad_value) = _empty_like(query), _empty_like(key, 2)
    by_query, by_key = [query, grad_output, grad_query], [key, value, grad_key, grad_value]
    _call_attention("train_attention_backward", scale, visible, by_query, by_key, "qkkqqkk")
    return grad_query, grad_key, grad_value
