"""Compiled parts of a training step on a CPU, between torch's matrix products: a .cpp a subject.

All work on float32 and bfloat16, in as many threads as torch has, with the same results for any
number of them. Random numbers come from a seed that is drawn from torch's generator.

Dimensions: N rows, T tokens, H heads, Q queries, S keys, D width of a head, V columns of logits.
"""

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace

import torch
from torch import Tensor

from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.prototypes import POINTER, Prototypes, fields

# Rows of products in bfloat16 are a multiple of it: oneDNN compiles a product for each number of
# rows, 5 to 10 times as long as it takes, and hardly two batches have as many tokens.
FEW_ROWS = 128
NORM_ROWS = 64  # as norms.cpp has it
SERIAL = 1 << 15  # numbers below which another thread would cost more than it does


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
        const uint8_t *seen;
    """)


_PROTOTYPES = Prototypes("""
    void train_cross_entropy(int32_t is_bfloat16, void *logits, int32_t rows, int32_t columns,
                             const int64_t *gold, float smoothing, float *losses,
                             int32_t threads);
    void train_r_drop(int32_t is_bfloat16, void *logits, int32_t rows, int32_t columns,
                      const int64_t *gold, float smoothing, float alpha, float *losses,
                      int32_t threads);
    void train_dropped(int32_t is_bfloat16, const void *x, void *out, int64_t count,
                       int32_t threshold, int64_t seed, int32_t threads);
    void train_dropped_sum(int32_t is_bfloat16, const void *residual, const void *x, void *out,
                           int64_t count, int32_t threshold, int64_t seed, int32_t threads);
    void train_dropped_relu(int32_t is_bfloat16, const void *x, const float *bias, int32_t width,
                            void *out, int64_t count, int32_t threshold, int64_t seed,
                            int32_t threads);
    void train_passed(int32_t is_bfloat16, const void *gradient, const void *result, void *out,
                      int64_t count, float scale, int32_t threads);
    void train_norm(int32_t is_bfloat16, const void *x, const float *weight, const float *bias,
                    float epsilon, void *out, float *statistics, int64_t rows, int32_t width,
                    int32_t threads);
    void train_norm_backward(int32_t is_bfloat16, const void *gradient, const void *x,
                             const float *weight, const float *statistics, int32_t centred,
                             void *out, float *sums, int64_t rows, int32_t width,
                             int32_t threads);
    void train_column_sums(int32_t is_bfloat16, const void *x, float *sums, int64_t rows,
                           int32_t width, int32_t threads);
    void train_linear(int32_t, const bfloat16 *x, int64_t rows, int32_t inputs,
                      const float *weight, const float *bias, int32_t outputs, bfloat16 *out,
                      int32_t threads);
    void train_linear_dropped_relu(int32_t, const bfloat16 *x, int64_t rows, int32_t inputs,
                                   const float *weight, const float *bias, int32_t outputs,
                                   bfloat16 *out, int32_t threshold, int64_t seed,
                                   int32_t threads);
    void train_linear_input(int32_t, const bfloat16 *gradient, int64_t rows, int32_t inputs,
                            const float *weight, int32_t outputs, bfloat16 *out, int32_t threads);
    void train_linear_input_passed(int32_t, const bfloat16 *gradient, int64_t rows,
                                   int32_t inputs, const float *weight, int32_t outputs,
                                   const bfloat16 *results, float scale, bfloat16 *out,
                                   int32_t threads);
    void train_linear_weight(int32_t, const bfloat16 *gradient, int64_t rows, int32_t inputs,
                             const bfloat16 *x, int32_t outputs, float *of_weight, float *of_bias,
                             int32_t threads);
    int32_t train_multiplies();
    void train_lstm(int32_t is_bfloat16, void *gates, const void *inputs, const float *cell,
                    float *cell_after, void *hidden, int32_t rows, int32_t units,
                    int32_t threads);
    void train_lstm_backward(int32_t is_bfloat16, const void *gates, const float *cell,
                             const float *cell_after, const void *above, const void *carried,
                             float *of_cell, void *slopes, int32_t rows, int32_t units,
                             int32_t threads);
    void train_attention(int32_t is_bfloat16, const AttentionShape *shape, const Heads *query,
                         const Heads *key, const Heads *value, const Heads *out, int32_t threads);
    void train_attention_backward(int32_t is_bfloat16, const AttentionShape *shape,
                                  const Heads *query, const Heads *key, const Heads *value,
                                  const Heads *gradient, const Heads *of_query,
                                  const Heads *of_key, const Heads *of_value, int32_t threads);
    void use_threads(void *parallel);
""")

SIDE = 32  # of a block of products, as products.cpp has it


def library() -> SimpleNamespace | None:
    """The functions of the library in use, or None if there is none."""
    loaded = kernels.library()
    return None if loaded is None else _prepared(loaded)


@lru_cache
def _prepared(loaded: ctypes.CDLL) -> SimpleNamespace:
    functions = _PROTOTYPES.bind(loaded)
    # The threads of the OpenMP library that torch uses; without it there is one thread.
    threads = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    functions.use_threads(ctypes.cast(threads, POINTER) if threads else None)
    return functions


def computes(x: Tensor) -> bool:
    """Whether work on x is this package's: on CPUs, but not in what torch.compile makes of lines
    of PyTorch (see `compiling`), which it fuses by itself.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def serves(*tensors: Tensor) -> bool:
    """Whether compiled functions can work on these tensors, all of one type."""
    return (
        all(
            computes(tensor)
            and tensor.dtype in (torch.float32, torch.bfloat16)
            and tensor.dtype == tensors[0].dtype
            for tensor in tensors
        )
        and library() is not None
    )


def _call(name: str, like: Tensor, *arguments: object, size: int | None = None) -> None:
    """Call a function for numbers as those of `like`, of which it reads `size`.

    Of tensors it gets the addresses.
    """
    loaded = library()
    assert loaded is not None, "whoever calls this has asked serves() before"
    size = like.numel() if size is None else size
    threads = 1 if size < SERIAL else torch.get_num_threads()
    given = (x.data_ptr() if isinstance(x, Tensor) else x for x in arguments)
    getattr(loaded, name)(like.dtype == torch.bfloat16, *given, threads)


def multiplies(x: Tensor, *sizes: int) -> bool:
    """Whether there are compiled products of x with weights of these sizes.

    `sizes` are those that must be multiples of SIDE: I for `linear`, O for `linear_input`, both for
    what goes through ReLU and dropout, and none for `linear_weight`.
    """
    return (
        computes(x)
        and x.dtype == torch.bfloat16
        and all(size % SIDE == 0 for size in sizes)
        and (loaded := library()) is not None
        and bool(loaded.train_multiplies())
    )


def _exact(weight: Tensor) -> Tensor:
    """Weights as compiled products read them; nothing is done to what is such already."""
    return weight.float().contiguous()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    """x (N, I) in bfloat16 times weights (O, I), plus a bias (O,): (N, O)."""
    (outputs, inputs), rows = weight.shape, x.size(0)
    out = x.new_empty(rows, outputs) if out is None else out
    x, weight, bias = x.contiguous(), _exact(weight), None if bias is None else _exact(bias)
    _call("train_linear", x, x, rows, inputs, weight, bias, outputs, out)
    return out


def linear_dropped_relu(
    x: Tensor, weight: Tensor, bias: Tensor | None, threshold: int, seed: int
) -> Tensor:
    """As `dropped_relu` of `linear`, with other random numbers."""
    (outputs, inputs), rows = weight.shape, x.size(0)
    out = x.new_empty(rows, outputs)
    x, weight, bias = x.contiguous(), _exact(weight), None if bias is None else _exact(bias)
    given = x, rows, inputs, weight, bias, outputs, out, threshold, seed
    _call("train_linear_dropped_relu", x, *given)
    return out


def linear_input(gradient: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """The gradient of x (N, I), from that of `linear` (N, O)."""
    (outputs, inputs), rows = weight.shape, gradient.size(0)
    out = gradient.new_empty(rows, inputs) if out is None else out
    gradient, weight = gradient.contiguous(), _exact(weight)
    _call("train_linear_input", gradient, gradient, rows, inputs, weight, outputs, out)
    return out


def linear_input_passed(gradient: Tensor, weight: Tensor, result: Tensor, scale: float) -> Tensor:
    """As `passed` of `linear_input`, where `linear` read a result (N, I) of `dropped_relu`."""
    (outputs, inputs), rows = weight.shape, gradient.size(0)
    out = gradient.new_empty(rows, inputs)
    gradient, weight = gradient.contiguous(), _exact(weight)
    given = gradient, rows, inputs, weight, outputs, result, scale, out
    _call("train_linear_input_passed", gradient, *given)
    return out


def linear_weight(
    gradient: Tensor, x: Tensor, *, biased: bool = False
) -> tuple[Tensor, Tensor | None]:
    """The gradients of weights (O, I) and bias (O,), from that of `linear` (N, O) and x (N, I).

    They are float32; without a bias there is none.
    """
    rows, outputs, inputs = gradient.size(0), gradient.size(1), x.size(1)
    of_weight, of_bias = torch.empty(outputs, inputs), torch.empty(outputs) if biased else None
    gradient, x = gradient.contiguous(), x.contiguous()
    given = gradient, rows, inputs, x, outputs, of_weight, of_bias
    _call("train_linear_weight", gradient, *given)
    return of_weight, of_bias


def cross_entropy_slopes(logits: Tensor, gold: Tensor, smoothing: float) -> Tensor:
    """Turn logits (rows, V) into the slopes of the smoothed loss of the columns `gold` (rows,).

    Returns (2, rows): the plain loss, and that against a uniform distribution, in nats.
    """
    rows, columns = logits.shape
    losses = torch.empty(2, rows)
    _call("train_cross_entropy", logits, logits, rows, columns, gold, smoothing, losses)
    return losses


def r_drop_slopes(logits: Tensor, gold: Tensor, smoothing: float, alpha: float) -> Tensor:
    """Turn logits (2, rows, V) of two passes into the slopes of R-Drop's loss, see `r_drop`.

    Returns (3, rows): as `cross_entropy_slopes`, and the sum of both divergences.
    """
    _, rows, columns = logits.shape
    losses = torch.empty(3, rows)
    _call("train_r_drop", logits, logits, rows, columns, gold, smoothing, alpha, losses)
    return losses


def dropped(x: Tensor, threshold: int, seed: int) -> Tensor:
    """Drop threshold / 256 of the elements, scale up the others; the same ones for a seed."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _call("train_dropped", x, x, out, x.numel(), threshold, seed)
    return out


def dropped_sum(residual: Tensor, x: Tensor, threshold: int, seed: int) -> Tensor:
    """residual + dropped(x)."""
    residual, x = residual.contiguous(), x.contiguous()
    out = torch.empty_like(x)
    _call("train_dropped_sum", x, residual, x, out, x.numel(), threshold, seed)
    return out


def dropped_relu(x: Tensor, threshold: int, seed: int) -> Tensor:
    """dropped(relu(x))."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _call("train_dropped_relu", x, x, None, 0, out, x.numel(), threshold, seed)
    return out


def dropped_relu_(x: Tensor, bias: Tensor, threshold: int, seed: int) -> Tensor:
    """As `dropped_relu` of x plus a bias (D,), in the place of x (…, D); both contiguous.

    D is a multiple of SIDE.
    """
    given = x, _exact(bias), bias.numel(), x, x.numel(), threshold, seed
    _call("train_dropped_relu", x, *given)
    return x


def passed(gradient: Tensor, result: Tensor, scale: float) -> Tensor:
    """gradient * scale where the result of `dropped_relu` is not zero."""
    gradient = gradient.contiguous()
    out = torch.empty_like(gradient)
    _call("train_passed", gradient, gradient, result, out, gradient.numel(), scale)
    return out


def passed_(gradient: Tensor, result: Tensor, scale: float) -> Tensor:
    """As `passed`, in the place of the gradient; both contiguous."""
    _call("train_passed", gradient, gradient, result, gradient, gradient.numel(), scale)
    return gradient


def norm(x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> tuple[Tensor, Tensor]:
    """LayerNorm over the last dimension, or RMSNorm without a bias; and its statistics (rows, 2).

    x contiguous, weight and bias float32.
    """
    out, width = torch.empty_like(x), x.size(-1)
    rows = x.numel() // width
    statistics = torch.empty(rows, 2)
    _call("train_norm", x, x, weight, bias, epsilon, out, statistics, rows, width)
    return out, statistics


def norm_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, statistics: Tensor, *, centred: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of x, and of weight and bias: (2, width) float32."""
    gradient = gradient.contiguous()
    out, width = torch.empty_like(x), x.size(-1)
    rows = x.numel() // width
    sums = torch.empty(-(-rows // NORM_ROWS), 2, width)
    _call(
        "train_norm_backward", x, gradient, x, weight, statistics, centred, out, sums, rows, width
    )
    return out, sums.sum(dim=0)


def column_sums(x: Tensor) -> Tensor:
    """Sums of the columns of a contiguous matrix (rows, width), in float32."""
    rows, width = x.shape
    sums = torch.empty(-(-rows // NORM_ROWS), width)
    _call("train_column_sums", x, x, sums, rows, width)
    return sums.sum(dim=0)


def lstm_cell(
    gates: Tensor, inputs: Tensor, cell: Tensor, cell_after: Tensor, hidden: Tensor
) -> None:
    """One token of an LSTM: gates and inputs (rows, 4 units), whose sums are the gates' inputs.

    Writes the cell after it, float32, and the hidden state, (rows, units); gates become what they
    let through. All contiguous.
    """
    _call("train_lstm", gates, gates, inputs, cell, cell_after, hidden, *hidden.shape)


def lstm_cell_backward(
    gates: Tensor,
    cell: Tensor,
    cell_after: Tensor,
    above: Tensor,
    carried: Tensor,
    of_cell: Tensor,
    slopes: Tensor,
) -> None:
    """Write the slopes (rows, 4 units) of `lstm_cell`'s sums, and change those of the cell.

    `above` and `carried` (rows, units) add up to the gradients of the hidden state.
    """
    given = gates, cell, cell_after, above, carried, of_cell, slopes
    _call("train_lstm_backward", gates, *given, *above.shape)


@dataclass(frozen=True)
class Keys:
    """Which keys a query sees: all of its row, or fewer.

    `seen` (N, S) is a contiguous mask of booleans, at least one of each row True. `causal` is up to
    the query's own place, with as many keys as queries, and does not go with a mask.

    Where tensors are packed, (1, H, tokens of all rows, D), row n has the queries from `starts[n]`
    to `starts[n + 1]`, at least one, and as many keys as `key_starts` says: int32, (N + 1,) each.
    """

    seen: Tensor | None = None
    causal: bool = False
    starts: Tensor | None = None
    key_starts: Tensor | None = None


def _heads(x: Tensor, starts: Tensor | None) -> _Heads:
    row, head, token, _ = x.stride()
    address = None if starts is None else starts.data_ptr()
    return _Heads(x.data_ptr(), row, head, token, x.size(2), address)


def _attention(
    name: str, scale: float, keys: Keys, of_queries: list[Tensor], of_keys: list[Tensor], order: str
) -> None:
    """Call a function of attention with tensors in this order: q and k, the next of either."""
    query = of_queries[0]
    rows = query.size(0) if keys.starts is None else len(keys.starts) - 1
    assert not keys.causal or of_keys[0].size(2) == query.size(2), "a query at each key"
    address = None if keys.seen is None else keys.seen.data_ptr()
    shape = _AttentionShape(rows, query.size(1), query.size(3), keys.causal, scale, address)
    sides = {
        "q": iter([_heads(x, keys.starts) for x in of_queries]),
        "k": iter([_heads(x, keys.key_starts) for x in of_keys]),
    }
    heads = [next(sides[side]) for side in order]
    _call(name, query, ctypes.byref(shape), *map(ctypes.byref, heads))


def _side_by_side(x: Tensor) -> Tensor:
    """With the numbers of a head side by side, as compiled functions want them."""
    return x if x.stride(3) == 1 else x.contiguous()


def _as(x: Tensor, count: int = 1) -> list[Tensor]:
    """Room for tensors as x (N, H, T, D); the heads of all of them stand side by side."""
    rows, heads, tokens, width = x.shape
    room = x.new_empty(rows, tokens, count, heads, width)
    return [each.transpose(1, 2) for each in room.unbind(dim=2)]


def attention(query: Tensor, key: Tensor, value: Tensor, keys: Keys, scale: float) -> Tensor:
    """Dot-product attention, scores times `scale`, of (N, H, Q, D) to keys, values (N, H, S, D)."""
    query, key, value = map(_side_by_side, (query, key, value))
    (out,) = _as(query)
    _attention("train_attention", scale, keys, [query, out], [key, value], "qkkq")
    return out


def attention_backward(
    query: Tensor, key: Tensor, value: Tensor, gradient: Tensor, keys: Keys, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value, side by side where their shapes are the same."""
    query, key, value, gradient = map(_side_by_side, (query, key, value, gradient))
    if query.shape == key.shape:
        of_query, of_key, of_value = _as(query, 3)
    else:
        (of_query,), (of_key, of_value) = _as(query), _as(key, 2)
    of_queries, of_keys = [query, gradient, of_query], [key, value, of_key, of_value]
    _attention("train_attention_backward", scale, keys, of_queries, of_keys, "qkkqqkk")
    return of_query, of_key, of_value
