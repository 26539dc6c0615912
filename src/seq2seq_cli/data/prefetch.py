"""The batches of each update, made while the update before it is computed."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

from seq2seq_cli.config.settings import TrainingConfig
from seq2seq_cli.data.batching import Batch, Epochs, Indices, TokenPairs, epoch_batches


class Feed:
    """Batches by epoch and place, a function of these and the seed alone.

    One more than was asked for is made ahead, in a thread of its own: what draws other subwords, or
    reads from a disk, takes longer than a processor should wait, and far longer than a GPU.
    """

    def __init__(self, pairs: Epochs, config: TrainingConfig, *, pinned: bool) -> None:
        self._pairs = pairs
        self._config = config
        self._pinned = pinned  # as a GPU wants them
        self._epoch = -1
        self._drawn: TokenPairs  # of the epoch whose batches `order` names
        self._order: list[Indices] = []
        self._maker = ThreadPoolExecutor(1, "batches")
        self._ahead: tuple[int, Future[list[Batch]]] | None = None  # the place of the first

    def __len__(self) -> int:
        """Batches of the epoch that was asked for last; none before."""
        return len(self._order)

    def take(self, epoch: int, place: int) -> list[Batch]:
        """The batches of one update, from a place in an epoch on; it never spans two epochs.

        Raises EndOfDataError where there is no such epoch.
        """
        if epoch != self._epoch:
            self._begin(epoch)
        ahead, self._ahead = self._ahead, None
        batches = ahead[1].result() if ahead and ahead[0] == place else self._made(place)
        after = place + len(batches)
        if after < len(self._order):
            self._ahead = after, self._maker.submit(self._made, after)
        return batches

    def _begin(self, epoch: int) -> None:
        if self._ahead is not None:
            self._ahead[1].result()  # which reads the pairs of the epoch before
            self._ahead = None
        seed, budget = self._config.seed, cast(int, self._config.batch_tokens)  # no longer "auto"
        self._drawn = self._pairs.at(seed, epoch)
        self._order = epoch_batches(self._drawn, budget, seed, epoch)
        self._epoch = epoch

    def _made(self, place: int) -> list[Batch]:
        rows = self._order[place : place + self._config.accumulate]
        batches = [self._drawn.batch(each) for each in rows]
        return [batch.pinned() for batch in batches] if self._pinned else batches
