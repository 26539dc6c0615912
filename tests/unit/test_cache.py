"""A cache of keys and values is a value, although caches share memory."""

import torch
from torch import Tensor

from seq2seq_cli.models.kv_cache import Cache

ROWS, HEADS, WIDTH = 3, 2, 4


def token(seed: int, rows: int = ROWS, length: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, rows, HEADS, length, WIDTH, generator=generator)
    return x[0], x[1], x[2]


def after(cache: Cache, *seeds: int) -> Cache:
    for seed in seeds:
        _, cache = cache.attend(*token(seed))
    return cache


def keys(cache: Cache) -> Tensor:
    return cache.keys.tensor[: cache.length].clone()


@torch.inference_mode()
def test_two_branches_of_one_past_do_not_see_each_other() -> None:
    past = after(Cache.empty(torch.empty(ROWS), HEADS, WIDTH), 1, 2, 3)
    one, other = after(past, 4, 5), after(past, 6)
    again = after(past, 4, 5)
    assert torch.equal(keys(one), keys(again))
    assert torch.equal(keys(one)[:3], keys(past))
    assert torch.equal(keys(other)[:3], keys(past))
    assert not torch.equal(keys(one)[3], keys(other)[3])


@torch.inference_mode()
def test_selected_rows_grow_apart_from_what_they_were_selected_from() -> None:
    past = after(Cache.empty(torch.empty(ROWS), HEADS, WIDTH), 1, 2)
    before = keys(past)
    chosen = past.select(torch.tensor([2, 0, 2]))
    assert torch.equal(keys(chosen), before[:, [2, 0, 2]])
    after(chosen, 7, 8)
    assert torch.equal(keys(past), before)
    assert torch.equal(keys(chosen), before[:, [2, 0, 2]])


@torch.inference_mode()
def test_tokens_one_by_one_see_what_tokens_at_once_see() -> None:
    query, key, value = token(9, length=5)
    whole, _ = Cache.empty(torch.empty(ROWS), HEADS, WIDTH).attend(query, key, value)
    cache, seen = Cache.empty(torch.empty(ROWS), HEADS, WIDTH), []
    for place in range(5):
        part = slice(place, place + 1)
        one, cache = cache.attend(query[:, :, part], key[:, :, part], value[:, :, part])
        seen.append(one)
    torch.testing.assert_close(torch.cat(seen, dim=2), whole)
