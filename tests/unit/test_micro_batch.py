"""The share of each process in an update, and its random numbers."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.data.batch import Batch
from seq2seq_cli.training.distributed import divide
from seq2seq_cli.training.micro_batch import MicroBatch, share_of_batches


def batch(rows: int, length: int) -> Batch:
    ids = torch.full((rows, length), 5)
    return Batch(ids, ids)


SIZES = st.lists(st.integers(1, 1000), max_size=40)


@given(SIZES, st.integers(1, 9))
def test_work_is_divided_whole_and_about_equally(sizes: list[int], count: int) -> None:
    shares = divide(sizes, count)
    assert sorted(index for share in shares for index in share) == list(range(len(sizes)))
    loads = [sum(sizes[index] for index in share) for share in shares]
    assert max(loads) - min(loads) <= max(sizes, default=0)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(2, 9)), min_size=1), st.integers(2, 6))
def test_no_process_is_idle_unless_there_are_fewer_pairs(
    shapes: list[tuple[int, int]], count: int
) -> None:
    batches = [batch(*shape) for shape in shapes]
    shares = [share_of_batches(batches, rank, count) for rank in range(count)]
    pairs = [sum(len(piece.batch.source) for piece in share) for share in shares]
    assert sum(pairs) == sum(rows for rows, _ in shapes)
    assert pairs.count(0) == max(0, count - sum(pairs))


def test_random_numbers_depend_on_the_micro_batch_alone() -> None:
    batches = [batch(4, 5), batch(4, 3), batch(4, 9)]
    alone = {piece.path: piece.random_seed(1, 7) for piece in share_of_batches(batches, 0, 1)}
    shared = {
        piece.path: piece.random_seed(1, 7)
        for rank in range(2)
        for piece in share_of_batches(batches, rank, 2)
    }
    assert alone == shared
    assert len(set(alone.values())) == 3
    piece = MicroBatch(batch(4, 5), (0,))
    seeds = {piece.random_seed(seed, update) for seed in range(3) for update in range(3)}
    seeds |= {half.random_seed(0, 0) for half in piece.halves()}
    assert len(seeds) == 11
