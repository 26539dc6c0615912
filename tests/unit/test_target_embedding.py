"""Tables of positions, which workers that search side by side share."""

import threading

import torch

from seq2seq_cli.kernels.inference.decoding import PositionTables, TargetEmbedding


def test_a_worker_never_takes_tables_that_another_is_still_computing() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def make_tables(count: int) -> PositionTables:
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            may_end.wait(10)
        return PositionTables(positions=torch.zeros(count, 2))

    embedding = TargetEmbedding(torch.zeros(3, 2), make_tables)
    other = threading.Thread(target=lambda: embedding.tables(5))
    other.start()
    assert begun.wait(10)
    mine = embedding.tables(5).positions
    may_end.set()
    other.join()
    assert mine is not None
    assert len(mine) >= 5
