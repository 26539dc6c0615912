"""The batches of each update, made in a thread while the update before is computed."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.data.batching import epoch_batches
from seq2seq_cli.data.token_pairs import TokenPairs, TrainingPairs
from seq2seq_cli.padding import Indices


class Prefetcher:
    """Batches by epoch and index: a pure function of these and the seed.

    The batches of the next update are made ahead in a thread, since sampling subwords or reading
    from a disk takes longer than a CPU should wait, and far longer than a GPU should.
    """

    def __init__(self, pairs: TrainingPairs, config: TrainingConfig, *, pin_memory: bool) -> None:
        self._pairs = pairs
        self._config = config
        self._pin_memory = pin_memory  # for batches that a GPU copies
        self._epoch = -1
        self._epoch_pairs: TokenPairs  # the pairs whose rows `_order` holds
        self._order: list[Indices] = []
        self._thread = ThreadPoolExecutor(1, "batches")
        self._ahead: tuple[int, Future[list[Batch]]] | None = None  # index of the first batch

    def __len__(self) -> int:
        """The number of batches of the last epoch that was asked for; 0 before the first."""
        return len(self._order)

    def take(self, epoch: int, index: int) -> list[Batch]:
        """Return the batches of one update, which starts at a batch of an epoch and stays in it.

        Raises EndOfDataError if there is no such epoch.
        """
        if epoch != self._epoch:
            self._begin(epoch)
        ahead, self._ahead = self._ahead, None
        batches = ahead[1].result() if ahead and ahead[0] == index else self._make(index)
        following = index + len(batches)
        if following < len(self._order):
            self._ahead = following, self._thread.submit(self._make, following)
        return batches

    def _begin(self, epoch: int) -> None:
        if self._ahead is not None:
            self._ahead[1].result()  # the thread still reads the pairs of the epoch before
            self._ahead = None
        # The configuration is complete here: batch_tokens is no longer "auto".
        seed, batch_tokens = self._config.seed, cast(int, self._config.batch_tokens)
        self._epoch_pairs = self._pairs.pairs_for_epoch(seed, epoch)
        self._order = epoch_batches(self._epoch_pairs, batch_tokens, seed, epoch)
        self._epoch = epoch

    def _make(self, index: int) -> list[Batch]:
        rows = self._order[index : index + self._config.accumulate]
        batches = [self._epoch_pairs.batch(each) for each in rows]
        return [batch.pin_memory() for batch in batches] if self._pin_memory else batches
