"""Processes that are started again do not take those that have ended for each other."""

from concurrent.futures import ThreadPoolExecutor

import pytest

distributed = pytest.importorskip("torch.distributed")

from seq2seq_cli.training.distributed import meeting_name  # noqa: E402


def test_processes_agree_on_a_name_that_no_earlier_ones_have_known() -> None:
    store = distributed.HashStore()
    store.set("asks/1", "of a process that has ended")
    store.set("asks/2", "of another one")
    names = []
    with ThreadPoolExecutor(3) as pool:
        for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
            meeting = [pool.submit(meeting_name, store, rank, 3) for rank in order]
            (name,) = {each.result(timeout=60) for each in meeting}
            names.append(name)
    assert len(set(names)) == 3
