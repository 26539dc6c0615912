"""CPU threads, divided among workers that search side by side."""

from seq2seq_cli.config.search import MOST_WORKERS
from seq2seq_cli.devices import prepare, usable_threads


def share_threads(*, on_cpu: bool, workers: int | None = None, threads: int | None = None) -> int:
    """Divide threads (None: all that the process may use) among workers; returns their number.

    As many workers as there are threads on a CPU, at most MOST_WORKERS, and one on other devices,
    unless a number is given. Sets the threads of the whole process to those of one worker, and
    tunes its memory, as `devices.prepare` says.
    """
    available = threads or usable_threads()
    if workers is None:
        workers = min(available, MOST_WORKERS) if on_cpu else 1
    prepare(max(1, available // workers))
    return workers
