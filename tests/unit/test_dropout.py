"""Attention and layer dropout drop their share, in training only."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from seq2seq_cli.models import TranslationModel, Vocabulary, build, model_config
from seq2seq_cli.models.kv_cache import Cache
from seq2seq_cli.models.layers import MultiHeadSourceAttention
from seq2seq_cli.symbols import BOS, EOS

S = 8  # tokens, and width of a head: so values can be the identity, and what is seen the weights


def made(**settings: float) -> TranslationModel:
    torch.manual_seed(3)
    table = {"architecture": "transformer", "width": 8, "heads": 2, "feed_forward": 12}
    table |= {"encoder_layers": 2, "decoder_layers": 2, "dropout": 0.0}
    return build(model_config(table | settings), Vocabulary(9, 9, joint=True))


SOURCE, TARGET = torch.tensor([[4, 5, 6, 7, EOS]]), torch.tensor([[BOS, 7, 6, 5]])


@pytest.mark.parametrize("kind", ["source", "past"])
def test_attention_weights_are_dropped_and_the_rest_scaled(kind: str) -> None:
    torch.manual_seed(3)
    query, key = torch.randn(2, 50, 4, S, S)
    identity = torch.eye(S).expand(50, 4, S, S)

    def weights(dropout: float) -> Tensor:
        if kind == "past":
            return Cache.empty(query, 4, S).attend(query, key, identity, dropout)[0]
        attention = MultiHeadSourceAttention(dropout).train()
        return attention(query, key, identity, torch.ones(50, 1, 1, S, dtype=torch.bool))

    whole, dropped = weights(0.0), weights(0.25)
    seen = whole > 0
    zero = (dropped == 0) & seen
    assert abs(float(zero.sum() / seen.sum()) - 0.25) < 0.03
    torch.testing.assert_close(dropped[~zero], whole[~zero] / 0.75)


@pytest.mark.parametrize("setting", ["attention_dropout", "layer_dropout"])
def test_nothing_is_dropped_outside_training(setting: str) -> None:
    plain, dropping = made().eval(), made(**{setting: 0.5})
    expected = plain(SOURCE, TARGET)
    torch.testing.assert_close(dropping.eval()(SOURCE, TARGET), expected, rtol=0, atol=0)
    passes = [dropping.train()(SOURCE, TARGET) for _ in range(5)]
    assert not all(torch.equal(each, passes[0]) for each in passes)


@contextmanager
def counted(modules: list[nn.Module]) -> Iterator[list[int]]:
    """Count the calls of each module."""
    counts = [0] * len(modules)

    def count(place: int) -> None:
        counts[place] += 1

    hooks = [
        module.register_forward_hook(lambda *_, place=place: count(place))
        for place, module in enumerate(modules)
    ]
    yield counts
    for hook in hooks:
        hook.remove()


def test_every_layer_is_dropped_with_the_probability_of_layer_dropout() -> None:
    model = made(layer_dropout=0.3).train()
    layers = [*model.get_submodule("encoder").children()]
    layers += model.get_submodule("decoder").children()
    with counted(layers) as counts:
        for _ in range(400):
            model(SOURCE, TARGET)
    assert all(abs(count / 400 - 0.7) < 0.08 for count in counts)
    assert len(set(counts)) > 1  # each by its own draw


def test_every_attention_of_the_transformer_has_attention_dropout() -> None:
    """Two passes differ if only one kind of attention drops."""
    model = made(attention_dropout=0.5).train()
    memory, state = model.encode(SOURCE)
    again, _ = model.encode(SOURCE)
    assert not torch.equal(memory[1][0], again[1][0])  # type: ignore[index]
    for kind in ("self_attention", "cross_attention.attention"):
        model.eval()
        for layer in model.get_submodule("decoder").children():
            layer.get_submodule(kind).train()
        first, second = (model.decode(TARGET, state, memory)[0] for _ in range(2))
        assert not torch.equal(first, second)
