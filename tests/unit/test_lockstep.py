"""What keeps processes that share a sharded model in step changes nothing else."""

import pytest
import torch
from torch import Tensor

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.models import Vocabulary, build, capture_attention
from seq2seq_cli.training.micro_batch import share_of_batches
from seq2seq_cli.training.sharding import share_in_step

SOURCE = torch.tensor([[5, 6, 7, 3], [8, 9, 3, 0]])
TARGET = torch.tensor([[2, 7, 6], [2, 9, 0]])


def computed(*, in_step: bool, seed: int) -> tuple[Tensor, list[Tensor], list[list[Tensor]]]:
    """Hidden states, gradients and attention of a model that skips half of its layers."""
    torch.manual_seed(0)
    config = TransformerConfig(
        width=16, heads=2, feed_forward=32, layer_dropout=0.5, dropout=0.2, attention_dropout=0.1
    )
    model = build(config, Vocabulary(12, 12, joint=True)).train()
    model.in_step = in_step
    torch.manual_seed(seed)
    with capture_attention(model) as captured:
        hidden = model.hidden(SOURCE, TARGET)
    (
        hidden.square().sum() + sum(each.square().sum() for calls in captured for each in calls)
    ).backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return hidden, gradients, captured


@pytest.mark.parametrize("seed", range(4))
def test_layers_that_are_computed_without_effect_leave_no_trace(seed: int) -> None:
    hidden, gradients, captured = computed(in_step=False, seed=seed)
    in_step = computed(in_step=True, seed=seed)
    assert torch.equal(hidden, in_step[0])
    for one, other in zip(gradients, in_step[1], strict=True):
        torch.testing.assert_close(one, other)
    assert [len(calls) for calls in captured] == [len(calls) for calls in in_step[2]]


@pytest.mark.parametrize(("pieces", "world_size"), [(1, 3), (3, 2), (5, 4), (8, 2)])
def test_processes_in_step_compute_the_same_pieces_equally_many_each(pieces, world_size) -> None:
    batches = [Batch(SOURCE.repeat(n + 2, 1), TARGET.repeat(n + 2, 1)) for n in range(pieces)]
    shares = [share_in_step(batches, rank, world_size) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    found = sorted(each.path for share in shares for each in share if each.counts)
    others = [share_of_batches(batches, rank, world_size) for rank in range(world_size)]
    assert found == sorted(each.path for share in others for each in share)
