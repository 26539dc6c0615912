"""Checks that processes which train together have the same versions, settings and folder."""

from pathlib import Path
from typing import cast
from uuid import uuid4

import numpy as np
import torch

from seq2seq_cli import __version__
from seq2seq_cli.config.settings import require
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.messages import counted
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.training.distributed import ProcessGroup


def check_alike(processes: ProcessGroup, config: RunConfig) -> None:
    """End all processes with one error unless they have the same versions and settings."""
    facts = {
        "version of seq2seq-cli": __version__,
        "version of torch": torch.__version__,
        "settings": repr((config.tables(), sorted(config.open_settings))),
    }
    first, *others = processes.gather(facts)
    for rank, other in enumerate(others, start=1):
        different = [name for name, value in other.items() if value != first[name]]
        if different:
            processes.refuse(
                f"processes 0 and {rank} differ in their {' and '.join(different)}; start all of "
                "them with the same installation and the same command"
            )


def check_folder_is_shared(path: Path, processes: ProcessGroup) -> None:
    """Raise InputError unless all processes see the run folder, where each writes its shards."""

    def leave() -> Path:
        file = path / f".{uuid4().hex}.tmp"
        file.touch()
        return file

    file = processes.from_first(leave)
    sees = processes.gather(file.is_file())
    if processes.may_write:
        file.unlink(missing_ok=True)
    require(
        all(sees),
        f"process {sees.index(False) if not all(sees) else 0} does not see the run folder {path}; "
        "with training.shard = true every process writes to it: choose an --output on a disk that "
        "all of them see",
    )


def check_pairs_for_all(
    processes: ProcessGroup, training: TrainingConfig, pairs: TokenPairs
) -> None:
    """Raise InputError if an update has fewer pairs than there are processes, by their mean length.

    With fewer micro-batches than processes these are split further.
    """
    lengths = np.maximum(pairs.source.lengths, pairs.target.lengths) + 1
    batch_tokens = cast(int, training.batch_tokens)
    a_batch = max(1, min(len(pairs), int(batch_tokens / float(lengths.mean()))))
    require(
        processes.world_size <= a_batch * training.accumulate,
        f"{processes.world_size} processes, but an update has about "
        f"{counted(a_batch * training.accumulate, 'sentence pair')}, so some would have nothing to "
        f"do; start fewer, or set more than training.batch_tokens = {batch_tokens}",
    )
