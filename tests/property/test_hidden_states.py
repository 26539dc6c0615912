"""Hidden states and attention of layers are those by which the model predicts."""

import pytest
import torch

from seq2seq_cli.models import ARCHITECTURES, TranslationModel, capture_attention
from seq2seq_cli.models.base import LayerStates
from seq2seq_cli.symbols import BOS, EOS

SOURCE = torch.tensor([[4, 5, 6, 5, EOS]])
TARGET = torch.tensor([[BOS, 5, 4, 6]])


@pytest.fixture
def states(model: TranslationModel) -> LayerStates:
    with torch.inference_mode():
        return model.layer_states(SOURCE, TARGET)


def test_every_architecture_says_what_its_layers_are() -> None:
    for kind in ARCHITECTURES.values():
        assert kind.layer_states is not TranslationModel.layer_states


def test_every_layer_has_a_state_for_every_token(
    model: TranslationModel, states: LayerStates
) -> None:
    config = model.config
    for side, layers, length in (
        (states.source, config.encoder_layers, 5),  # type: ignore[attr-defined]
        (states.target, config.decoder_layers, 4),  # type: ignore[attr-defined]
    ):
        names = ["embedding", *(f"layer-{number + 1}" for number in range(layers))]
        assert [name for name in side if name != "output"] == names
        assert list(side)[-1] in ("output", names[-1])
        assert {tuple(each.shape[:2]) for each in side.values()} == {(1, length)}


@torch.inference_mode()
def test_the_last_layer_projected_predicts_as_the_model_does(
    model: TranslationModel, states: LayerStates
) -> None:
    predicted = model.output(model(SOURCE, TARGET)).log_softmax(dim=2)
    *_, last = states.target.values()
    torch.testing.assert_close(model.output(last).log_softmax(dim=2), predicted)


@torch.inference_mode()
def test_every_layer_of_the_decoder_only_sees_the_tokens_before(
    model: TranslationModel, states: LayerStates
) -> None:
    shorter = model.layer_states(SOURCE, TARGET[:, :2])
    for name, each in shorter.target.items():
        torch.testing.assert_close(each, states.target[name][:, :2])


@torch.inference_mode()
def test_every_layer_depends_on_the_tokens_that_its_architecture_lets_it_see(
    model: TranslationModel, states: LayerStates
) -> None:
    """A state of an embedding depends on its own token alone; the last layer's on others too."""
    changed = SOURCE.clone()
    changed[0, 1] = 4
    other = model.layer_states(changed, TARGET)

    def moved(name: str) -> list[bool]:
        return (other.source[name] != states.source[name]).any(dim=2)[0].tolist()

    assert moved("embedding") == [False, True, False, False, False]
    assert moved(list(states.source)[-1]) != [False, True, False, False, False]
    assert moved(list(states.source)[-1])[1]


@torch.inference_mode()
def test_attention_of_a_side_to_itself_sums_to_one_and_explains_the_next_layer(
    model: TranslationModel, states: LayerStates
) -> None:
    has = {"source": False, "target": False}
    if model.config.architecture == "transformer":
        has = {"source": True, "target": model.config.decoder_attention == "self"}  # type: ignore[attr-defined]
    for side, weights in (
        ("source", states.source_attention),
        ("target", states.target_attention),
    ):
        assert bool(weights) == has[side]
        for layer in weights:
            assert layer.shape[1] == model.config.heads  # type: ignore[attr-defined]
            torch.testing.assert_close(layer.sum(dim=3), torch.ones(layer.shape[:3]))
    for layer in states.target_attention:
        assert (layer.triu(1) == 0).all()


@torch.inference_mode()
def test_attention_of_a_side_to_itself_is_what_its_layer_uses(model: TranslationModel) -> None:
    """The first layer's output changes with a token exactly where its weights say it is seen."""
    states = model.layer_states(SOURCE, TARGET)
    with capture_attention(model) as captured:
        model(SOURCE, TARGET)
    for calls in captured:
        sums = torch.cat(calls, dim=2).sum(dim=3)
        assert (sums <= 1 + 1e-5).all()
    if not states.source_attention:
        return
    layer = model.encoder[0]  # type: ignore[index]
    entered = layer.attention_sublayer.enter(states.source["embedding"])
    rotation = model.rotations(0, SOURCE.size(1), SOURCE.device)  # type: ignore[operator]
    _, _, value = layer.attention.project(entered, rotation)
    bias = model.source_bias(SOURCE.size(1))  # type: ignore[operator]
    expected = layer.attention(entered, torch.ones(1, 1, 1, 5, dtype=torch.bool), rotation, bias)
    attended = layer.attention.join(states.source_attention[0] @ value)
    torch.testing.assert_close(attended, expected)
    if not states.target_attention:
        return
    layer = model.decoder[0]  # type: ignore[index]
    entered = layer.self_sublayer.enter(states.target["embedding"])
    _, state = model.encode(SOURCE)
    rotation = model.rotations(0, TARGET.size(1), TARGET.device)  # type: ignore[operator]
    _, _, value = layer.self_attention.project(entered, rotation)
    bias = model.target_bias(0, TARGET.size(1))  # type: ignore[operator]
    expected, _ = layer.self_attention(entered, state[1], bias)  # type: ignore[index]
    attended = layer.self_attention.join(states.target_attention[0] @ value)
    torch.testing.assert_close(attended, expected)
