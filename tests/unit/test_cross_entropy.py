"""The fused loss equals the plain one, however the batch is chunked and padded."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import autograd
from seq2seq_cli.kernels.autograd import products
from seq2seq_cli.symbols import NEVER, PAD, UNK
from seq2seq_cli.training import cross_entropy as loss

pytestmark = pytest.mark.usefixtures("_with_and_without_kernels")

V, D = 11, 6
ROW_BYTES = V * 4  # logits of one token
TARGETS = {
    "padded": [[4, 5, 3, PAD, PAD], [6, 7, 8, 9, 3]],
    "one-token": [[3]],
    "all-padding": [[PAD, PAD]],
}


def gradients(value: Tensor, of: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value / 7, of)  # scaled, as training does


@pytest.fixture(params=TARGETS.values(), ids=TARGETS.keys())
def target(request: pytest.FixtureRequest) -> Tensor:
    return torch.tensor(request.param)


@pytest.fixture
def inputs(target: Tensor) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    hidden = torch.randn(*target.shape, D, requires_grad=True)
    return hidden, torch.randn(V, D, requires_grad=True)


@pytest.mark.parametrize("chunk_bytes", [1, 3 * ROW_BYTES, 8 << 20])  # 1, 3 and all tokens at once
@pytest.mark.parametrize("few_rows", [1, 2, 128])  # that there are a multiple of, filled up
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_equal_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch,
    inputs: tuple[Tensor, Tensor],
    target: Tensor,
    smoothing: float,
    few_rows: int,
    chunk_bytes: int,
) -> None:
    monkeypatch.setattr(loss, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(products, "FEW_ROWS", few_rows)
    fused, _ = loss.cross_entropy(*inputs, target, smoothing)
    plain = loss.plain_cross_entropy(*inputs, target, smoothing)
    torch.testing.assert_close(fused, plain)
    torch.testing.assert_close(gradients(fused, inputs), gradients(plain, inputs))


@pytest.mark.parametrize("chunk_bytes", [1, 8 << 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_output_bias_adds_to_logits_and_has_a_gradient(
    monkeypatch: pytest.MonkeyPatch,
    inputs: tuple[Tensor, Tensor],
    target: Tensor,
    chunk_bytes: int,
    dtype: torch.dtype,
) -> None:
    monkeypatch.setattr(loss, "CHUNK_BYTES", chunk_bytes)
    hidden, weight = inputs
    hidden = hidden.detach().to(dtype).requires_grad_()
    bias = torch.randn(V, requires_grad=True)
    fused, _ = loss.cross_entropy(hidden, weight, target, 0.1, bias)
    plain = loss.plain_cross_entropy(hidden.float(), weight, target, 0.1, bias)
    near = {"rtol": 0.05, "atol": 0.05} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(fused, plain, **near)
    all_inputs = (hidden, weight, bias)
    torch.testing.assert_close(gradients(fused, all_inputs), gradients(plain, all_inputs), **near)


@pytest.mark.parametrize("ruled_out", [[V - 2, V - 1], [PAD, 2, V - 2, V - 1], [0, 2, 4, 6, 8, 10]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pieces_that_a_model_cannot_write_are_unknown_and_never_change(
    monkeypatch: pytest.MonkeyPatch, ruled_out: list[int], dtype: torch.dtype
) -> None:
    """They get no share of label smoothing; as gold pieces they are UNK.

    The others may be several ranges of pieces, and so many that their weights are copied.
    """
    monkeypatch.setattr(loss, "CHUNK_BYTES", 1)
    torch.manual_seed(1)
    hidden = torch.randn(200, D, requires_grad=True)
    rounded = hidden.detach().to(dtype).requires_grad_()
    weight, bias = torch.randn(V, D, requires_grad=True), torch.randn(V)
    bias[ruled_out] = NEVER
    bias.requires_grad_()
    known = [piece for piece in range(V) if piece not in ruled_out]
    gold = torch.randint(1, V, (200,))
    fused, _ = loss.cross_entropy(rounded, weight, gold, 0.1, bias)
    numbers = [known.index(piece if piece in known else UNK) for piece in gold.tolist()]
    smoothed = F.linear(hidden, weight[known], bias[known])
    plain = F.cross_entropy(smoothed, torch.tensor(numbers), label_smoothing=0.1, reduction="sum")
    near = {"rtol": 0.05, "atol": 0.2} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(fused, plain, **near)
    expected = gradients(plain, (hidden, weight, bias))
    found = gradients(fused, (rounded, weight, bias))
    torch.testing.assert_close(found[0].float(), expected[0], **near)
    torch.testing.assert_close(found[1:], expected[1:], **near)
    assert not found[1][ruled_out].any()
    assert not found[2][ruled_out].any()


def test_unknown_text_is_learned_where_the_bias_rules_out_unk_itself() -> None:
    hidden, weight = torch.randn(3, D), torch.randn(V, D)
    bias = torch.zeros(V)
    bias[[UNK, V - 1]] = NEVER
    bias.requires_grad_()
    fused, _ = loss.cross_entropy(hidden, weight, torch.tensor([UNK, V - 1, 3]), 0.1, bias)
    gold, open_bias = torch.tensor([[UNK, UNK, 3]]), bias.detach()[:-1].clamp_min(0)
    plain = loss.plain_cross_entropy(hidden[None], weight[:-1], gold, 0.1, open_bias)
    torch.testing.assert_close(fused, plain)
    (gradient,) = torch.autograd.grad(fused, bias)
    assert not gradient[[UNK, V - 1]].any()


def test_the_second_value_is_the_unsmoothed_likelihood(
    inputs: tuple[Tensor, Tensor], target: Tensor
) -> None:
    hidden, weight = inputs
    _, plain = loss.cross_entropy(hidden, weight, target, 0.3)
    log_probabilities = (hidden @ weight.t()).log_softmax(dim=2)
    gold = log_probabilities.gather(2, target[..., None])[..., 0]
    torch.testing.assert_close(plain, -gold[target != PAD].sum())
    assert not plain.requires_grad


@pytest.mark.parametrize("chunk_bytes", [1, 8 << 20])
def test_bfloat16_hidden_states_meet_float32_weights(
    monkeypatch: pytest.MonkeyPatch, inputs: tuple[Tensor, Tensor], target: Tensor, chunk_bytes: int
) -> None:
    """Under autocast hidden states may be bfloat16; weights and their gradients stay float32."""
    monkeypatch.setattr(loss, "CHUNK_BYTES", chunk_bytes)
    hidden, weight = inputs
    rounded = hidden.detach().bfloat16().requires_grad_()
    fused, _ = loss.cross_entropy(rounded, weight, target, 0.1)
    plain = loss.plain_cross_entropy(hidden, weight, target, 0.1)
    torch.testing.assert_close(fused, plain, rtol=0.03, atol=0.03)
    grad_hidden, grad_weight = gradients(fused, (rounded, weight))
    assert (grad_hidden.dtype, grad_weight.dtype) == (torch.bfloat16, torch.float32)
    expected = gradients(plain, inputs)
    torch.testing.assert_close(grad_hidden.float(), expected[0], rtol=0.05, atol=0.03)
    torch.testing.assert_close(grad_weight, expected[1], rtol=0.05, atol=0.03)


def test_chunks_are_never_larger_than_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logits of the whole batch are never there at once."""
    sizes, gradient = [], autograd.cross_entropy_gradient

    def spy(logits: Tensor, *arguments: object) -> object:
        sizes.append(logits.numel() * logits.element_size())
        return gradient(logits, *arguments)

    monkeypatch.setattr(autograd, "cross_entropy_gradient", spy)
    monkeypatch.setattr(loss, "CHUNK_BYTES", 3 * ROW_BYTES)
    monkeypatch.setattr(products, "FEW_ROWS", 1)
    loss.cross_entropy(torch.randn(2, 4, D), torch.randn(V, D), torch.full((2, 4), 5))
    assert sizes == [3 * ROW_BYTES, 3 * ROW_BYTES, 2 * ROW_BYTES]
