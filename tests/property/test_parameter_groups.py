"""Every weight of every architecture belongs to one group, and a frozen group stays as it is."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.errors import InputError
from seq2seq_cli.models import ModelConfig, TranslationModel, Vocabulary, build
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.optimization import make_optimizer, optimizer_tensors

Variant = tuple[ModelConfig, Vocabulary]
WHOLE = ("embeddings", "encoder", "decoder", "output")  # the last only in some models


def fresh(variant: Variant) -> TranslationModel:
    torch.manual_seed(1)
    return build(*variant)


def one_update(model: TranslationModel) -> torch.optim.Optimizer:
    optimizer = make_optimizer(model, TrainingConfig(learning_rate=0.1, weight_decay=0.5))
    source, target = torch.tensor([[4, 5, 6, 3]]), torch.tensor([[2, 4, 5, 3]])
    Objective(TrainingConfig(), torch.float32)(model, Batch(source, target))[0].backward()
    optimizer.step()
    return optimizer


def whole(variant: Variant) -> list[str]:
    """The groups that share all weights."""
    config, _ = variant
    return [*WHOLE] if config.output_bias or not config.tie_output else [*WHOLE[:-1]]


def test_embeddings_encoder_decoder_and_output_share_all_weights(variant: Variant) -> None:
    model = fresh(variant)
    groups = model.parameter_groups()
    split = [id(parameter) for name in whole(variant) for parameter in groups[name]]
    assert sorted(split) == sorted(map(id, model.parameters()))
    own = {id(p) for name, p in model.named_parameters() if name.startswith("encoder.")}
    assert own <= {id(parameter) for parameter in groups["encoder"]}


def tensors(state: object) -> Iterator[Tensor]:
    """The tensors of a decoder's state or memory."""
    if isinstance(state, Tensor):
        yield state
        return
    within = state if isinstance(state, tuple) else getattr(state, "__dict__", {}).values()
    for each in within:
        yield from tensors(each)


def test_the_encoder_has_only_what_reads_the_source_with_its_norms_and_positions(
    variant: Variant,
) -> None:
    """Encoding also reads weights of the decoder's attention and of its first state."""
    model = fresh(variant)
    read = list(tensors(model.encode(torch.tensor([[4, 5, 6, 3]]))))
    sum(tensor.sum() for tensor in read if tensor.requires_grad).backward()
    reads = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    for weight in model.weights():
        if weight.group == "encoder":
            assert weight.name in reads
        if weight.group == "decoder" and weight.name in reads:
            assert weight.role not in ("norm", "positions"), weight.name


@pytest.mark.parametrize("group", WHOLE)
def test_a_frozen_group_never_changes_and_has_no_optimizer_state(
    group: str, variant: Variant
) -> None:
    if group not in whole(variant):
        pytest.skip("its output has no weights of its own")
    model = fresh(variant)
    before = {name: value.clone() for name, value in model.named_parameters()}
    frozen = {id(parameter) for parameter in model.parameter_groups()[group]}
    count = model.freeze([group])
    optimizer = one_update(model)
    named = dict(model.named_parameters())
    still = {name for name, parameter in named.items() if id(parameter) in frozen}
    assert count == sum(named[name].numel() for name in still)
    assert all(torch.equal(named[name], before[name]) for name in still)
    assert any(not torch.equal(named[name], before[name]) for name in named.keys() - still)
    with_state = {full.split("/", 1)[1] for full in optimizer_tensors(model, optimizer)}
    assert with_state == named.keys() - still


def test_what_cannot_be_frozen_is_refused_with_what_can(variant: Variant) -> None:
    model = fresh(variant)
    with pytest.raises(InputError, match=r'"encodr": .* no such parameter group; it has .*encoder'):
        model.freeze(["encodr"])
    with pytest.raises(InputError, match="leaves nothing to train; leave one group out"):
        model.freeze(whole(variant))
    apart = model.source_embedding is not model.target_embedding
    assert ("target-embeddings" in model.parameter_groups()) == apart
