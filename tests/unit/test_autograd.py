"""Each operation of a training step equals the lines of PyTorch it stands for, gradients too."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import autograd, training
from seq2seq_cli.kernels.autograd.attention import _BfloatAttention
from seq2seq_cli.kernels.autograd.packing import Pairs, layouts
from seq2seq_cli.models.layers import Linear
from seq2seq_cli.padding import pad
from seq2seq_cli.symbols import EOS

pytestmark = pytest.mark.usefixtures("_with_and_without_kernels")

THRESHOLD = 77
SCALE = 256 / (256 - THRESHOLD)
EXACT = {"rtol": 1e-5, "atol": 1e-6}
ROUNDED = {"rtol": 0.04, "atol": 0.04}  # of bfloat16, several roundings after each other
TOLERANCE = {torch.float32: EXACT, torch.bfloat16: ROUNDED}


def with_gradients(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The result of a function, and the gradients of a weighted sum of it."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    torch.manual_seed(2)
    result = function(*leaves)
    weights = torch.linspace(-1, 1, result.numel()).view(result.shape).to(result.dtype)
    return result.detach(), *torch.autograd.grad((result * weights).sum(), leaves)


def relative_error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def drawn_mask(shape: tuple[int, ...]) -> Tensor:
    """What dropout draws after `with_gradients` set the seed: 1 where an element remains."""
    torch.manual_seed(2)
    return (autograd.dropout(torch.ones(shape), THRESHOLD) > 0).float()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_dropout_with_a_sum_or_relu_equals_plain_pytorch(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    residual, x = (torch.randn(3, 5, 16).to(dtype) for _ in range(2))
    mask = drawn_mask((3, 5, 16)).to(dtype)
    assert 0 < int(mask.sum()) < mask.numel()
    for found, expected in (
        (
            with_gradients(lambda r, y: autograd.dropout_add(r, y, THRESHOLD), (residual, x)),
            with_gradients(lambda r, y: r + y * mask * SCALE, (residual, x)),
        ),
        (
            with_gradients(lambda y: autograd.relu_dropout(y, THRESHOLD), (x,)),
            with_gradients(lambda y: F.relu(y) * mask * SCALE, (x,)),
        ),
    ):
        for ours, plain in zip(found, expected, strict=True):
            assert ours.dtype == dtype
            torch.testing.assert_close(ours, plain, **TOLERANCE[dtype])


def test_a_sum_has_the_dtype_of_its_residual() -> None:
    result = autograd.dropout_add(torch.ones(2, 3), torch.ones(2, 3).bfloat16(), THRESHOLD)
    assert result.dtype == torch.float32


def attention_inputs() -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Queries, keys and values as a model makes them, no two of them contiguous, and a mask."""
    torch.manual_seed(1)
    query, key, value = (
        torch.randn(2, length, 3, 8).transpose(1, 2) for length in (5, 7, 7)
    )  # (B, H, T, D)
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    mask[1, ..., 4:] = False
    return (query, key, value), mask


@pytest.mark.parametrize("visible", ["all", "source", "causal"])
def test_attention_in_bfloat16_equals_exact_attention(visible: str) -> None:
    inputs, mask = attention_inputs()
    given = mask if visible == "source" else None
    causal = visible == "causal"
    if causal:
        inputs = (inputs[0], inputs[1][:, :, :5], inputs[2][:, :, :5])

    def attend(*x: Tensor) -> Tensor:
        return autograd.attention(*x, given, causal=causal)

    exact = with_gradients(attend, inputs)
    rounded = with_gradients(attend, tuple(x.bfloat16() for x in inputs))
    assert all(each.dtype == torch.bfloat16 for each in rounded)
    for ours, plain in zip(rounded, exact, strict=True):
        torch.testing.assert_close(ours.float(), plain, **ROUNDED)


@pytest.mark.parametrize("kind", ["all", "masked", "causal"])
@pytest.mark.parametrize("lengths", [(1, 9), (5, 7), (16, 17), (33, 70), (70, 64)])
@pytest.mark.parametrize("width", [32, 96])
def test_attention_of_any_length_equals_exact_attention(
    width: int, lengths: tuple[int, int], kind: str
) -> None:
    """Lengths that fill tiles or do not, and masks with holes and with an empty end."""
    torch.manual_seed(1)
    queries, keys = (lengths[0], lengths[0]) if kind == "causal" else lengths
    inputs = tuple(
        torch.randn(5, length, 2, width).bfloat16().transpose(1, 2)
        for length in (queries, keys, keys)
    )
    mask = None
    if kind == "masked":
        mask = torch.rand(5, 1, 1, keys) < 0.7
        mask[..., 0], mask[0, ..., keys // 2 + 1 :] = True, False

    def attend(*x: Tensor) -> Tensor:
        return autograd.attention(*x, mask, causal=kind == "causal")

    exact = with_gradients(attend, tuple(x.double() for x in inputs))
    for ours, plain in zip(with_gradients(attend, inputs), exact, strict=True):
        assert relative_error(ours, plain) < 0.01 or plain.norm() < 1e-5


@pytest.mark.parametrize("kind", ["all", "masked", "causal"])
@pytest.mark.parametrize("lengths", [(1, 9), (3, 3), (7, 5), (17, 16), (33, 70), (70, 64)])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_bias_by_offset_is_added_to_scores(
    dtype: torch.dtype, lengths: tuple[int, int], kind: str
) -> None:
    torch.manual_seed(1)
    queries, keys = (lengths[0], lengths[0]) if kind == "causal" else lengths
    inputs = [torch.randn(3, length, 2, 32).transpose(1, 2) for length in (queries, keys, keys)]
    bias = torch.randn(2, queries + keys - 1)
    mask = None
    if kind == "masked":
        mask = torch.rand(3, 1, 1, keys) < 0.7
        mask[..., 0], mask[0, ..., keys // 2 + 1 :] = True, False

    def ours(*x: Tensor) -> Tensor:
        each = (tensor.to(dtype) for tensor in x[:3])
        return autograd.attention(*each, mask, causal=kind == "causal", bias=x[3]).float()

    def plain(query: Tensor, key: Tensor, value: Tensor, added: Tensor) -> Tensor:
        index = torch.arange(queries - 1, -1, -1)[:, None] + torch.arange(keys)
        scores = query @ key.transpose(2, 3) / 32**0.5 + added[:, index]
        if kind == "causal":
            scores = scores.masked_fill(index > queries - 1, -torch.inf)
        elif mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(dim=3) @ value

    rounded = tuple(x.to(dtype).double() for x in inputs)
    exact = with_gradients(plain, (*rounded, bias.double()))
    for found, expected in zip(with_gradients(ours, (*inputs, bias)), exact, strict=True):
        assert found.dtype == torch.float32
        limit = 1e-5 if dtype == torch.float32 else 0.02
        assert relative_error(found, expected) < limit or expected.norm() < 1e-5


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_packed_sentences_attend_as_each_does_alone(
    dtype: torch.dtype, causal: bool, biased: bool
) -> None:
    torch.manual_seed(1)
    lengths = [[3, 1, 40, 17, 33], [7, 33, 1, 16, 70]]
    if causal or biased:
        lengths[1] = lengths[0]
    ids = [pad([[EOS] * length for length in side]) for side in lengths]
    inputs = tuple(
        torch.randn(1, sum(lengths[side]), 2, 64).to(dtype).transpose(1, 2) for side in (0, 1, 1)
    )
    longest = max(lengths[0])
    biases = (torch.randn(2, 2 * longest - 1),) * biased
    packed_layouts = layouts(inputs[0], *ids)
    if packed_layouts is None:
        pytest.skip("only the kernel takes packed sentences")
    queries, keys = packed_layouts

    def alone(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        found = []
        for q, k, v in zip(
            query.split(lengths[0], 2), key.split(lengths[1], 2), value.split(lengths[1], 2),
            strict=True,
        ):  # fmt: skip
            # The offsets of a shorter sentence are in the middle of those of the longest.
            cut = longest - q.size(2)
            own = None if bias is None else bias[:, cut : bias.size(1) - cut]
            found.append(autograd.attention(q, k, v, causal=causal, bias=own))
        return torch.cat(found, dim=2)

    def together(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        pairs = Pairs(queries, keys)
        return autograd.attention(query, key, value, pairs, causal=causal, bias=bias)

    given = (*inputs, *biases)
    for ours, plain in zip(
        with_gradients(together, given), with_gradients(alone, given), strict=True
    ):
        torch.testing.assert_close(ours, plain, **TOLERANCE[dtype])


def test_gradients_of_attention_are_exact_except_for_rounding() -> None:
    """The same formulas in float32 are as exact as PyTorch's."""
    inputs, mask = attention_inputs()
    bias = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
    found = with_gradients(lambda *x: _BfloatAttention.apply(*x, bias, 8**-0.5), inputs)
    expected = with_gradients(lambda *x: F.scaled_dot_product_attention(*x, mask), inputs)
    for ours, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, plain, **EXACT)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", [(70, 16), (3, 5, 33), (1, 1, 7)])
def test_norms_equal_those_of_pytorch(
    dtype: torch.dtype, biased: bool, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(1)
    x, weight, bias = torch.randn(shape), torch.randn(shape[-1]), torch.randn(shape[-1])

    def plain(y: Tensor, w: Tensor, b: Tensor) -> Tensor:
        if biased:
            return F.layer_norm(y, shape[-1:], w, b, 1e-5)
        return F.rms_norm(y, shape[-1:], w, 1e-5) + 0 * b.sum()

    def ours(y: Tensor, w: Tensor, b: Tensor) -> Tensor:
        result = autograd.norm(y.to(dtype), w, b if biased else None, 1e-5)
        assert result.dtype == dtype
        return result.float() if biased else result.float() + 0 * b.sum()

    exact = with_gradients(plain, (x.to(dtype).double(), weight.double(), bias.double()))
    # The gradients of weight and bias are sums of up to 70 that nearly cancel.
    tolerance = (
        {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.15}
    )
    for found, expected in zip(with_gradients(ours, (x, weight, bias)), exact, strict=True):
        torch.testing.assert_close(found, expected.float(), **tolerance)


@pytest.mark.parametrize("biased", [True, False])
def test_gradients_of_norms_in_bfloat16_are_summed_in_float32(biased: bool) -> None:
    """Sums of thousands of rows would otherwise end where the next row is below half a digit."""
    torch.manual_seed(1)
    x, weight, bias = torch.randn(5000, 32).bfloat16(), torch.ones(32), torch.zeros(32)
    grad_output = torch.rand(5000, 32).bfloat16()  # of one sign
    leaves = [each.requires_grad_() for each in ((weight, bias) if biased else (weight,))]
    result = autograd.norm(x.requires_grad_(), weight, bias if biased else None, 1e-5)
    found = torch.autograd.grad(result, leaves, grad_output)
    exact = x.detach().double()
    normal = F.layer_norm(exact, (32,)) if biased else F.rms_norm(exact, (32,), eps=1e-5)
    sums = (grad_output.double() * normal).sum(dim=0), grad_output.double().sum(dim=0)
    for ours, expected in zip(found, sums, strict=False):
        assert relative_error(ours, expected) < 0.01


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 300])
def test_linear_layers_in_bfloat16_equal_those_of_pytorch(rows: int) -> None:
    """For any number of rows, although PyTorch multiplies few of them."""
    torch.manual_seed(1)
    inputs = torch.randn(1, rows, 8), torch.randn(5, 8), torch.randn(5)
    with torch.autocast("cpu", torch.bfloat16):
        found = with_gradients(lambda *x: autograd.linear(*x).float(), inputs)
    expected = with_gradients(F.linear, inputs)
    for ours, plain in zip(found, expected, strict=True):
        assert ours.dtype == plain.dtype
        torch.testing.assert_close(ours, plain, rtol=0.03, atol=0.1)


# Multiples of a block and of several, on either side, or none; rows that fill a last block or not.
SHAPES = [(32, 32), (544, 64), (96, 1056), (100, 40)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [128, 545, 1100])
def test_products_of_any_size_equal_those_of_pytorch(rows: int, shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    inputs = torch.randn(rows, shape[1]), torch.randn(shape), torch.randn(shape[0])
    with torch.autocast("cpu", torch.bfloat16):
        found = with_gradients(lambda *x: autograd.linear(*x).float(), inputs)
    exact = with_gradients(F.linear, inputs)
    for ours, plain in zip(found[:3], exact[:3], strict=True):  # the bias's sums cancel out
        assert relative_error(ours, plain) < 0.02


@pytest.mark.parametrize("rows", [0, 1, 130])
def test_products_with_a_vocabulary_of_any_size_equal_those_of_pytorch(rows: int) -> None:
    torch.manual_seed(1)
    hidden, weight = torch.randn(rows, 64).bfloat16(), torch.randn(1003, 64)
    if not training.multiplies_bfloat16():
        pytest.skip("these are torch's own here")
    gradient = torch.randn(rows, 1003).bfloat16()
    grad_weight, grad_bias = training.linear_grad_weight(gradient, hidden, biased=True)
    expected = gradient.float().t() @ hidden.float()
    torch.testing.assert_close(grad_weight, expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(grad_bias, gradient.float().sum(dim=0), rtol=1e-4, atol=1e-3)
    logits, plain = training.linear(hidden, weight, None), hidden.float() @ weight.t()
    torch.testing.assert_close(logits.float(), plain, rtol=0.02, atol=0.2)


def layer_of(weight: Tensor, bias: Tensor) -> Linear:
    """A layer with these tensors as its weights."""
    layer = Linear(weight.size(1), weight.size(0), device="meta")  # which draws nothing
    del layer.weight, layer.bias
    layer.weight, layer.bias = weight, bias  # type: ignore[assignment]
    return layer


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("threshold", [0, THRESHOLD])
@pytest.mark.parametrize("width", [64, 40])
def test_feed_forward_layers_equal_those_of_pytorch(
    width: int, threshold: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    shapes = (3, 100, width), (160, width), (160,), (width, 160), (width,)
    given = tuple(torch.randn(shape) for shape in shapes)
    x, w, b = given[:3]

    def feed_forward(x: Tensor, w: Tensor, b: Tensor, v: Tensor, c: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return autograd.feed_forward(x, layer_of(w, b), layer_of(v, c), threshold).float()

    # As seen where the outer layer changes nothing; what is dropped depends on the seed alone.
    seen, *_ = with_gradients(feed_forward, (x, w, b, torch.eye(160), torch.zeros(160)))
    kept = torch.where(seen > 0, 256 / (256 - threshold), 0.0)

    def plain(x: Tensor, w: Tensor, b: Tensor, v: Tensor, c: Tensor) -> Tensor:
        return F.linear(F.linear(x, w, b).relu() * kept, v, c)

    share = float((seen > 0).sum() / (F.linear(x, w, b) > 0).sum())
    assert share == pytest.approx(1 - threshold / 256, abs=0.02)
    for ours, exact in zip(
        with_gradients(feed_forward, given), with_gradients(plain, given), strict=True
    ):
        # In bfloat16, rounding moves some beyond zero.
        assert relative_error(ours, exact) < (1e-4 if dtype == torch.float32 else 0.1)


def test_the_number_of_threads_changes_nothing() -> None:
    """The inputs are large enough for work to be divided at all."""
    if training.library() is None:
        pytest.skip("torch's own functions divide work by the threads")
    torch.manual_seed(1)
    x, weight, bias = torch.randn(300, 130), torch.ones(130), torch.zeros(130)
    layers = layer_of(torch.randn(96, 64), bias[:96]), layer_of(torch.randn(64, 96), bias[:64])

    def products(y: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return autograd.feed_forward(y[:, :64], *layers, THRESHOLD).float()

    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        parts: list[Callable[..., Tensor]] = [
            lambda y: autograd.dropout(y, THRESHOLD),
            lambda y: autograd.relu_dropout(y, THRESHOLD),
            lambda y: autograd.norm(y, weight, bias, 1e-5),
            lambda y: autograd.attention(*(3 * [y.view(6, 50, 2, 65).transpose(1, 2)])),
            products,
        ]
        results.append([each for part in parts for each in with_gradients(part, (x,))])
        logits = x.clone()
        losses = training.cross_entropy_gradient(logits, torch.zeros(300, dtype=torch.int64), 0.1)
        results[-1] += [logits, losses]
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)


def test_dropout_has_its_probability_and_draws_independently() -> None:
    torch.manual_seed(1)
    ones = torch.ones(100_003)  # no multiple of a vector
    masks = [autograd.dropout(ones, THRESHOLD) > 0 for _ in range(2)]
    share = THRESHOLD / 256
    for mask in masks:
        assert abs(float((~mask).float().mean()) - share) < 0.006
        neighbours = ~mask[1:] & ~mask[:-1]
        assert abs(float(neighbours.float().mean()) - share**2) < 0.006
    both = ~masks[0] & ~masks[1]
    assert abs(float(both.float().mean()) - share**2) < 0.006


@pytest.mark.parametrize("use", ["slice", "sum", "transposed"])
def test_gradients_of_linear_layers_may_have_any_layout(use: str) -> None:
    """A slice of a wider tensor, one number expanded, or a transposed tensor."""
    torch.manual_seed(1)
    leaves = [x.requires_grad_() for x in (torch.rand(320, 8), torch.rand(5, 8), torch.rand(5))]
    uses: dict[str, Callable[[Tensor], Tensor]] = {
        "slice": lambda y: (torch.cat((y, y), dim=1) * torch.arange(10).to(y)).sum(),
        "sum": lambda y: y.sum(),
        "transposed": lambda y: (y.t() * torch.arange(320).to(y)).sum() / 320,
    }
    with torch.autocast("cpu", torch.bfloat16):
        rounded = autograd.linear(*leaves)
    found = torch.autograd.grad(uses[use](rounded), leaves)
    expected = torch.autograd.grad(uses[use](F.linear(*leaves)), leaves)
    for ours, exact in zip(found, expected, strict=True):
        assert float((ours - exact).norm() / exact.norm()) < 0.02


@pytest.mark.parametrize("size", [3, 64])
def test_nan_stays_nan(size: int) -> None:
    """Otherwise training would not notice that it has diverged."""
    x = torch.full((size,), torch.nan)
    torch.manual_seed(1)
    assert autograd.relu_dropout(x.repeat(40), THRESHOLD).isnan().any()
    assert (
        autograd.norm(x.requires_grad_(), torch.ones(size), torch.zeros(size), 1e-5).isnan().all()
    )
