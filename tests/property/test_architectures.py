"""Promises that every architecture keeps, whatever its options.

Training, search and scoring all go through `encode` and `decode`, and rest on these.
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.models import (
    ARCHITECTURES,
    ModelConfig,
    State,
    TranslationModel,
    Vocabulary,
    build,
    model_config,
    reorder_state,
)
from seq2seq_cli.models.kv_cache import Cache
from seq2seq_cli.models.layers import Dropout
from seq2seq_cli.padding import pad
from seq2seq_cli.symbols import BOS, EOS, PAD
from seq2seq_cli.training.cross_entropy import cross_entropy
from seq2seq_cli.training.memory import micro_batches
from seq2seq_cli.training.objective import Objective

Variant = tuple[ModelConfig, Vocabulary]

few = settings(max_examples=8, deadline=None)
words = st.integers(4, 6)
pairs = st.tuples(st.lists(words, max_size=6), st.lists(words, min_size=1, max_size=6))
corpora = st.lists(pairs, min_size=1, max_size=4)


def sources(corpus: Sequence[tuple[list[int], list[int]]]) -> Tensor:
    return pad([[*source, EOS] for source, _ in corpus])


def targets(corpus: Sequence[tuple[list[int], list[int]]]) -> Tensor:
    return pad([[BOS, *target] for _, target in corpus])


def widened(ids: Tensor, columns: int) -> Tensor:
    return torch.nn.functional.pad(ids, (0, columns), value=PAD)


def assert_same(actual: Any, expected: Any) -> None:
    """Equal except for rounding, which grows with the greatest number."""
    if not isinstance(actual, Tensor):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same(one, other)
        return
    greatest = expected.detach().abs().max().item() if expected.numel() else 0.0
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=5e-5 * max(1.0, greatest))


def tensors(state: State) -> list[Tensor]:
    if isinstance(state, Cache):
        return [buffer.tensor[: state.length] for buffer in (state.keys, state.values)]
    return [state] if isinstance(state, Tensor) else [t for part in state for t in tensors(part)]


def without_dropout(variant: Variant) -> TranslationModel:
    config, vocabulary = variant
    return build(dataclasses.replace(config, dropout=0.0), vocabulary)


def test_every_architecture_is_tested(variants: list[Variant]) -> None:
    assert {config.architecture for config, _ in variants} == set(ARCHITECTURES)


@few
@given(corpora, st.sets(st.integers(1, 6)))
@torch.inference_mode()
def test_any_split_of_a_target_gives_the_result_of_the_whole(
    model: TranslationModel, corpus: list[tuple[list[int], list[int]]], cuts: set[int]
) -> None:
    target = targets(corpus)
    memory, state = model.encode(sources(corpus))
    whole, after_whole = model.decode(target, state, memory)
    parts = []
    for chunk in torch.tensor_split(target, sorted(c for c in cuts if c < target.size(1)), dim=1):
        hidden, state = model.decode(chunk, state, memory)
        parts.append(hidden)
    assert_same(torch.cat(parts, dim=1), whole)
    assert_same(tensors(state), tensors(after_whole))


@few
@given(corpora, st.data())
def test_no_position_sees_its_future(
    model: TranslationModel, corpus: list[tuple[list[int], list[int]]], data: st.DataObject
) -> None:
    target = targets(corpus)
    first_changed = data.draw(st.integers(1, target.size(1) - 1))
    changed = target.clone()
    changed[:, first_changed:] = (target[:, first_changed:] + 1) % 7  # every future token differs
    before = model(sources(corpus), target)
    after = model(sources(corpus), changed)
    assert_same(after[:, :first_changed], before[:, :first_changed])
    assert not torch.allclose(after[:, first_changed], before[:, first_changed])


@few
@given(corpora)
def test_training_computes_the_hidden_states_that_search_computes(
    model: TranslationModel, corpus: list[tuple[list[int], list[int]]]
) -> None:
    """Training packs sentences where that is possible."""
    source, target = sources(corpus), targets(corpus)
    weights = tuple(model.parameters())
    found, expected = [], []
    for real, results in (
        (model.hidden(source, target), found),
        (model(source, target)[target != PAD], expected),
    ):
        slopes = torch.linspace(-1, 1, real.numel()).view_as(real)
        results += [real, *torch.autograd.grad((real * slopes).sum(), weights, allow_unused=True)]
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert_same(one, other)


@few
@given(corpora, st.integers(0, 3), st.integers(0, 3))
@torch.inference_mode()
def test_padding_batch_size_and_row_order_change_nothing(
    model: TranslationModel,
    corpus: list[tuple[list[int], list[int]]],
    source_columns: int,
    target_columns: int,
) -> None:
    """A sentence alone has the same hidden states as anywhere in any batch."""
    together = model(
        widened(sources(corpus), source_columns), widened(targets(corpus), target_columns)
    )
    for row, pair in enumerate(corpus):
        alone = model(sources([pair]), targets([pair]))[0]
        assert_same(together[row, : len(alone)], alone)


@few
@given(corpora, st.integers(1, 3), st.integers(1, 3))
@torch.inference_mode()
def test_beams_on_one_memory_equal_beams_on_copies_of_it(
    model: TranslationModel, corpus: list[tuple[list[int], list[int]]], beam: int, length: int
) -> None:
    memory, state = model.encode(sources(corpus))
    rows = torch.arange(len(corpus)).repeat_interleave(beam)
    state, copies = reorder_state(state, rows), reorder_state(memory, rows)
    target = 4 + torch.arange(2 * len(rows) * length).view(len(rows), -1) % 3
    for step in target.split(length, dim=1):
        shared, shared_state = model.decode(step, state, memory)
        copied, copied_state = model.decode(step, state, copies)
        assert_same(shared, copied)
        assert_same(tensors(shared_state), tensors(copied_state))
        state = shared_state


@few
@given(corpora, st.data())
@torch.inference_mode()
def test_reordered_states_equal_those_of_reordered_sentences(
    model: TranslationModel, corpus: list[tuple[list[int], list[int]]], data: st.DataObject
) -> None:
    """Rows of memory and state can be reordered, repeated and dropped at any point."""
    rows = data.draw(st.lists(st.integers(0, len(corpus) - 1), min_size=1, max_size=5))
    chosen = torch.tensor(rows)
    source, target = sources(corpus), targets(corpus)
    memory, state = model.encode(source)
    _, state = model.decode(target[:, :-1], state, memory)
    last = target[chosen, -1:]
    hidden, _ = model.decode(last, reorder_state(state, chosen), reorder_state(memory, chosen))
    assert_same(hidden[:, 0], model(source[chosen], target[chosen])[:, -1])


def test_evaluation_is_deterministic(model: TranslationModel) -> None:
    source, target = torch.tensor([[4, 5, 6, EOS]]), torch.tensor([[BOS, 6, 5, 4]])
    assert torch.equal(model(source, target), model(source, target))


def test_dropout_works_on_both_sides_and_only_in_training(model: TranslationModel) -> None:
    source, target = torch.tensor([[4, 5, 6, EOS]]), torch.tensor([[BOS, 6, 5, 4]])
    memory, state = model.encode(source)
    noisy = copy.deepcopy(model).train()
    first, second = tensors(noisy.encode(source)), tensors(noisy.encode(source))
    assert any(not torch.equal(a, b) for a, b in zip(first, second, strict=True))
    first, second = (noisy.decode(target, state, memory)[0] for _ in range(2))
    assert not torch.equal(first, second)


def test_without_dropout_training_and_evaluation_are_one_function(variant: Variant) -> None:
    model = without_dropout(variant)
    source, target = torch.tensor([[4, 5, 6, EOS]]), torch.tensor([[BOS, 6, 5, 4]])
    assert_same(model.train()(source, target), model.eval()(source, target))


def test_output_is_tied_to_the_target_embedding_unless_the_settings_untie_it(
    variant: Variant,
) -> None:
    config, vocabulary = variant
    model = build(config, vocabulary)
    assert (model.output.weight is model.target_embedding.weight) == config.tie_output
    assert torch.equal(model.output.weight, model.target_embedding.weight)
    assert (model.output.bias is not None) == config.output_bias
    shared = vocabulary.joint and config.tie_source
    assert (model.source_embedding is model.target_embedding) == shared
    assert model.source_embedding.num_embeddings == vocabulary.source


def test_the_seed_decides_all_weights(variant: Variant) -> None:
    def weights(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return build(*variant).state_dict()

    first, other, again = weights(1), weights(2), weights(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    matrices = [name for name, value in first.items() if value.dim() >= 2]
    assert not any(torch.equal(first[name], other[name]) for name in matrices)


def test_every_weight_gets_a_gradient(variant: Variant) -> None:
    """No layer is made and then not used."""
    torch.manual_seed(1)
    model = build(*variant)
    source, target = torch.tensor([[4, 5, 6, EOS]]), torch.tensor([[BOS, 6, 5, EOS]])
    loss, _ = Objective(TrainingConfig(), torch.float32)(model, Batch(source, target))
    loss.backward()
    idle = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert idle == []


def test_trains_where_products_are_bfloat16(variant: Variant) -> None:
    """Under autocast some layers get bfloat16 and others float32; model and loss take both."""
    torch.manual_seed(1)
    model = without_dropout(variant)
    source, target = torch.tensor([[4, 5, 6, EOS]]), torch.tensor([[BOS, 6, 5, EOS]])

    def loss(*, enabled: bool) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            hidden = model(source, target[:, :-1])
        output = model.output
        return cross_entropy(hidden, output.weight, target[:, 1:], 0.1, output.bias)[0]

    exact, rounded = loss(enabled=False), loss(enabled=True)
    rounded.backward()
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05)


@pytest.mark.usefixtures("_with_and_without_kernels")
def test_rounding_changes_gradients_as_much_in_micro_batches(variant: Variant) -> None:
    """Whole or split, packed or padded, bfloat16 costs a gradient the same: its products' digits.

    A sum over all rows in bfloat16 would cost the whole batch more, since it has more rows.
    """
    generator = torch.Generator().manual_seed(1)
    corpus = [
        [torch.randint(4, 7, (6 + row % 9,), generator=generator).tolist() for _ in range(2)]
        for row in range(96)
    ]
    batch = Batch(*(side([(s, t) for s, t in corpus]) for side in (sources, targets)), None)
    torch.manual_seed(1)
    model = without_dropout(variant)

    def gradients(micro_batch_tokens: int, precision: torch.dtype) -> dict[str, Tensor]:
        model.zero_grad()
        objective = Objective(TrainingConfig(), precision)
        for micro_batch in micro_batches(batch, micro_batch_tokens):
            loss, _ = objective(model, micro_batch)
            (loss / batch.target_tokens()).backward()  # type: ignore[no-untyped-call]
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    exact, whole, split = (
        gradients(tokens, precision)
        for tokens, precision in (
            (10_000, torch.float32),
            (10_000, torch.bfloat16),
            (100, torch.bfloat16),
        )
    )
    for name, expected in exact.items():
        one, other = (float((each[name] - expected).norm()) for each in (whole, split))
        tolerance = 0.01 * float(expected.norm()) + 1e-4
        assert one <= 1.5 * other + tolerance, name
        assert other <= 1.5 * one + tolerance, name


@pytest.mark.parametrize(("probability", "dropped"), [(0.1, 26), (0.5, 128), (0.999, 255)])
def test_dropout_drops_its_share_and_keeps_the_mean(probability: float, dropped: int) -> None:
    """The probability is rounded to 1/256, and the scale follows the rounded one."""
    torch.manual_seed(1)
    result = Dropout(probability)(torch.ones(1 << 18, 8))
    assert_same(result.unique(), torch.tensor([0.0, 256 / (256 - dropped)]))
    share = dropped / 256
    deviation = (share * (1 - share) / (1 << 18)) ** 0.5
    zeros = (result == 0).float().mean(dim=0)  # a column each for the bytes of a random word
    assert ((zeros - share).abs() < 5 * deviation).all()
    assert abs(float(result.mean()) - 1) < 5 * deviation / (1 - share)


@pytest.mark.parametrize("shape", [(1,), (3, 5, 7), (2, 0, 4)])
def test_dropout_masks_the_gradient_as_its_input(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    x = torch.ones(shape, requires_grad=True)
    weight = torch.randn(shape)
    result = Dropout(0.4)(x)
    (result * weight).sum().backward()
    assert_same(x.grad, (result * weight).detach())


def test_dropout_changes_nothing_in_evaluation_or_at_probability_zero() -> None:
    x = torch.randn(3, 5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


@pytest.mark.parametrize("tie_output", [True, False])
def test_a_decoder_that_starts_from_zeros_does_so_after_training(tie_output: bool) -> None:
    config = model_config(
        {"architecture": "transformer", "width": 8, "heads": 2, "feed_forward": 8}
        | {"zero_start": True, "tie_output": tie_output, "output_bias": True}
    )
    model = build(config, Vocabulary(9, 9, joint=True)).train()
    before = model.target_embedding.weight.detach().clone()
    corpus = [([4, 5, 6], [5, 6]), ([7], [8, 4])]
    batch = Batch(sources(corpus), targets(corpus), None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        for _ in range(2):  # gradients of micro-batches are summed
            loss, _ = Objective(TrainingConfig(), torch.float32)(model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    weight = model.target_embedding.weight
    assert not weight[BOS].any()
    assert (weight[[4, 5]] != before[[4, 5]]).any(dim=1).all()
