"""The LSTM for training in bfloat16 equals PyTorch's, except for rounding."""

import pytest
import torch
from torch import Tensor, nn

from seq2seq_cli.kernels.autograd import lstm

pytestmark = pytest.mark.usefixtures("_each_kernel_build")

WIDTH, UNITS = 24, 20  # no multiple of a vector


def gradients_of(result: Tensor, layer: nn.Module, *inputs: Tensor) -> list[Tensor]:
    """Of a weighted sum of a result, by inputs and by parameters."""
    weights = torch.linspace(-1, 1, result.numel()).view(result.shape)
    return list(torch.autograd.grad((result * weights).sum(), [*inputs, *layer.parameters()]))


def assert_near(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, exact in zip(found, expected, strict=True):
        assert ours.dtype == exact.dtype
        distance = float((ours - exact).detach().norm() / exact.detach().norm())
        assert distance < 0.02, distance


@pytest.mark.parametrize("rows", [1, 32, 45])
def test_states_and_gradients_are_those_of_the_exact_layer(rows: int) -> None:
    torch.manual_seed(1)
    layer = nn.LSTM(WIDTH, UNITS, batch_first=True)
    x = torch.randn(rows, 7, WIDTH, requires_grad=True)
    h, c = (torch.randn(rows, UNITS, requires_grad=True) for _ in range(2))
    exact, (h_after, c_after) = layer(x, (h[None], c[None]))
    with torch.autocast("cpu", torch.bfloat16):
        assert lstm._has_kernel(layer, x)
        found, (own_h, own_c) = lstm._lstm(layer, x, (h, c))
    found = found.float()
    assert_near([found, own_h, own_c], [exact, h_after[0], c_after[0]])
    results = (
        torch.cat((states, last[:, None], cell[:, None]), dim=1)
        for states, last, cell in ((found, own_h, own_c), (exact, h_after[0], c_after[0]))
    )
    of_ours, of_exact = (gradients_of(result, layer, x, h, c) for result in results)
    assert_near(of_ours, of_exact)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_sentences_of_any_length_are_read_from_both_ends(bidirectional: bool) -> None:
    torch.manual_seed(1)
    layer = nn.LSTM(WIDTH, UNITS, batch_first=True, bidirectional=bidirectional)
    x = torch.randn(4, 6, WIDTH, requires_grad=True)
    lengths = torch.tensor([3, 6, 1, 5])
    exact = torch.cat([part.flatten(1) for part in lstm.read_sentences(layer, x, lengths)], dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, last = lstm.read_sentences(layer, x, lengths)
    assert not outputs[0, 3:].any()
    found = torch.cat((outputs.flatten(1), last.flatten(1)), dim=1).float()
    assert_near([found.detach()], [exact.detach()])
    assert_near(gradients_of(found, layer, x), gradients_of(exact, layer, x))


def test_token_by_token_equals_all_at_once() -> None:
    torch.manual_seed(1)
    layer = nn.LSTM(WIDTH, UNITS, batch_first=True)
    x, state = torch.randn(3, 5, WIDTH), None
    with torch.autocast("cpu", torch.bfloat16):
        whole, after = lstm._lstm(layer, x)
        parts = []
        for token in x.split(1, dim=1):
            part, state = lstm._lstm(layer, token, state)
            parts.append(part)
    assert state is not None
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0.02, atol=0.02)
    torch.testing.assert_close(state[1], after[1], rtol=0.02, atol=0.02)


def test_nan_stays_nan() -> None:
    layer = nn.LSTM(WIDTH, UNITS, batch_first=True)
    with torch.autocast("cpu", torch.bfloat16):
        hidden, _ = lstm._lstm(layer, torch.full((2, 3, WIDTH), torch.nan))
    assert hidden.isnan().all()
