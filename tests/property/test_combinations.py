"""Every combination of options either keeps the promises of the model interface or is refused.

`test_architectures` tries a few variants on many inputs; here are all variants on one input.
"""

import itertools
from collections.abc import Mapping, Sequence

import pytest
import torch

from seq2seq_cli.errors import InputError
from seq2seq_cli.models import TranslationModel, Vocabulary, build, model_config, reorder_state
from seq2seq_cli.symbols import BOS, EOS, PAD

RECURRENT: dict[str, Sequence[object]] = {
    "cell": ("lstm", "gru"),
    "bidirectional": (True, False),
    "encoder_layers": (1, 2),
    "decoder_layers": (1, 2),
}
OPTIONS: dict[str, dict[str, Sequence[object]]] = {
    "rnn": RECURRENT | {"context": ("initial", "every-step"), "reverse_source": (True, False)},
    "attention-rnn": {
        "cell": ("lstm", "gru"),
        "input_feeding": (True, False),
        "scope": ("global", "local-m", "local-p"),
        "score": (
            *("additive", "dot", "scaled-dot", "general"),
            *("location-base", "content-base", "multi-head"),
        ),
    },
    "conv": {"kernel": (1, 3, 5), "encoder_layers": (1, 2), "decoder_layers": (1, 2)},
    "transformer": {
        "norm": ("pre", "post", "deep"),
        "normalisation": ("layer", "rms"),
        "activation": ("relu", "gelu", "swish", "swiglu", "geglu"),
        "positions": ("sinusoidal", "learned", "rotary", "relative"),
        "head_width": ("auto", 6),
        "linear_bias": (True, False),
        "decoder_attention": ("self", "average", "ssru"),
    },
}
TINY: dict[str, dict[str, object]] = {
    "rnn": {"width": 4, "units": 4},
    "attention-rnn": {"width": 4, "units": 4, "heads": 2, "window": 2},
    "conv": {"width": 4, "channels": 6},
    "transformer": {"width": 4, "heads": 2, "feed_forward": 6}
    | {"encoder_layers": 2, "decoder_layers": 1},
}
REFUSED = ("reverse_source does not go", "location-base", '"rotary" does not go')
REFUSED += ('"relative" does not go',)

SOURCE = torch.tensor([[4, 5, 6, 5, EOS], [6, 4, EOS, PAD, PAD]])
TARGET = torch.tensor([[BOS, 6, 5, 4], [BOS, 5, 5, PAD]])
VOCABULARY = Vocabulary(8, 8, joint=True)


def combinations() -> list[object]:
    found = []
    for architecture, options in OPTIONS.items():
        for values in itertools.product(*options.values()):
            table = dict(zip(options, values, strict=True))
            name = "-".join([architecture, *(str(value) for value in values)])
            whole = {"architecture": architecture, **TINY[architecture], **table}
            found.append(pytest.param(whole, id=name))
    return found


def shaken(table: Mapping[str, object]) -> TranslationModel:
    torch.manual_seed(6)
    model = build(model_config(table), VOCABULARY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return model


@pytest.mark.parametrize("table", combinations())
@torch.inference_mode()
def test_a_combination_keeps_the_promises_or_is_refused(table: dict[str, object]) -> None:
    try:
        model = shaken(table)
    except InputError as error:
        assert any(reason in str(error) for reason in REFUSED)  # noqa: PT017
        return
    whole = model(SOURCE, TARGET)

    def same(actual: torch.Tensor, expected: torch.Tensor) -> None:
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)

    same(model(SOURCE[1:, :3], TARGET[1:, :3]), whole[1:, :3])  # padding, batch size

    changed = TARGET.clone()
    changed[:, 2:] = 7
    same(model(SOURCE, changed)[:, :2], whole[:, :2])  # no future
    assert not torch.allclose(model(SOURCE, changed)[:, 2], whole[:, 2])

    memory, state = model.encode(SOURCE)  # two beams, token by token, the rows swapped halfway
    state = reorder_state(state, torch.tensor([0, 0, 1, 1]))
    for step in range(4):
        hidden, state = model.decode(TARGET[[0, 0, 1, 1], step : step + 1], state, memory)
        same(hidden[::2, 0], whole[:, step])
        same(hidden[1::2, 0], whole[:, step])
        state = reorder_state(state, torch.tensor([1, 0, 3, 2]))
