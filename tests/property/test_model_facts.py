"""What every architecture says about itself is true."""

import dataclasses
import warnings

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seq2seq_cli.config.operations import cost
from seq2seq_cli.config.shapes import weight_shapes
from seq2seq_cli.models import (
    ARCHITECTURES,
    ModelConfig,
    TranslationModel,
    Vocabulary,
    build,
    source_attentions,
)

Variant = tuple[ModelConfig, Vocabulary]
SOURCE, TARGET = torch.tensor([[4, 5, 6, 3]]), torch.tensor([[2, 4, 5, 6]])


def test_every_dropout_is_a_setting_that_only_training_uses() -> None:
    for kind in ARCHITECTURES.values():
        names = {field.name for field in dataclasses.fields(kind.Config)}
        assert set(kind.Config.DROPOUTS) == {name for name in names if "dropout" in name}
        assert set(kind.Config.DROPOUTS) <= set(kind.Config.training_only()) <= names


def test_settings_that_only_training_uses_do_not_change_a_translating_model(
    variant: Variant,
) -> None:
    config, vocabulary = variant
    other = dataclasses.replace(config, **dict.fromkeys(config.training_only(), 0.75))
    assert list(config.differences(other)) == []
    model, changed = build(config, vocabulary).eval(), build(other, vocabulary).eval()
    changed.load_state_dict(model.state_dict())
    assert torch.equal(model(SOURCE, TARGET), changed(SOURCE, TARGET))


def test_training_drops_something_if_any_dropout_is_above_zero(variant: Variant) -> None:
    torch.manual_seed(1)  # two layers of which 0.75 are left out may be the same ones twelve times
    config, vocabulary = variant
    nothing = dataclasses.replace(config, **dict.fromkeys(config.DROPOUTS, 0.0))
    for name in ("", *config.DROPOUTS):
        one = dataclasses.replace(nothing, **({name: 0.75} if name else {}))
        assert one.drops == bool(name)
        model = build(one, vocabulary)
        first, *others = (model(SOURCE, TARGET) for _ in range(12))
        assert all(torch.equal(first, other) for other in others) == (not name), name


def test_differences_begin_with_the_architecture() -> None:
    rnn, transformer = (ARCHITECTURES[name].Config() for name in ("rnn", "transformer"))
    assert next(rnn.differences(transformer)) == ("architecture", "rnn", "transformer")
    assert ("heads", None, 4) in rnn.differences(transformer)
    for one, other in ((rnn, transformer), (transformer, rnn)):
        names = {name for name, _, _ in one.differences(other)}
        assert not names & {*rnn.training_only(), *transformer.training_only()}


def test_a_model_attends_to_the_source_if_it_has_modules_for_that(model: TranslationModel) -> None:
    assert model.attends_to_source == bool(source_attentions(model))


def test_the_table_of_weights_has_all_with_their_shapes_and_roles(model: TranslationModel) -> None:
    table = model.weights()
    expected = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert {weight.name: weight.shape for weight in table} == expected
    dimensions = {(weight.role, len(weight.shape)) for weight in table}
    matrices = ("embedding", "positions", "linear", "recurrent")
    assert dimensions <= {*((role, 2) for role in matrices), ("norm", 1), ("bias", 1)}


def test_the_shapes_of_weights_are_known_without_a_model(variant: Variant) -> None:
    config, vocabulary = variant
    model = build(config, vocabulary)
    expected = [(name, tuple(p.shape)) for name, p in model.named_parameters()]
    assert [*weight_shapes(config, vocabulary).items()] == expected


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 7])
def test_the_operations_of_a_model_are_those_that_pytorch_counts(
    variant: Variant, length: int
) -> None:
    config, vocabulary = variant
    model = build(config, vocabulary).eval()
    tokens = torch.full((1, length), vocabulary.target - 1)
    with (
        warnings.catch_warnings(action="ignore"),  # the flags name hardware that is missing here
        sdpa_kernel(SDPBackend.MATH),  # products of fused operations are not counted
        torch.backends.mkldnn.flags(enabled=False),
        FlopCounterMode(display=False) as encoding,
    ):
        memory, state = model.encode(tokens)
        with FlopCounterMode(display=False) as decoding:
            hidden, _ = model.decode(tokens, state, memory)
            model.output(hidden)
            if model.copy_gate is not None:
                model.copy_gate(hidden)
    expected = cost(config, vocabulary, length)
    both = encoding.get_total_flops()
    target = decoding.get_total_flops()
    assert target == expected.target_token * length
    assert both - target == pytest.approx(expected.source_token * length, rel=1e-12)
