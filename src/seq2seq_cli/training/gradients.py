"""The gradients of an update, from batches that may not fit into memory at once."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.errors import Seq2seqError
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.training.distributed import LostProcessError, ProcessGroup, is_loss
from seq2seq_cli.training.gradient_exchange import GradientExchange
from seq2seq_cli.training.memory import computed_batches, is_out_of_memory, release_memory
from seq2seq_cli.training.micro_batch import MicroBatch, share_of_batches
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.progress import Reporter
from seq2seq_cli.training.sharding import share_in_step


@dataclass(kw_only=True)
class Gradients:
    """Adds up the gradients of an update: of its batches, and over all processes.

    They are left at the parameters of `model`, where `optimizer` reads them.
    """

    model: TranslationModel
    objective: Objective
    optimizer: torch.optim.Optimizer
    config: TrainingConfig
    device: torch.device
    precision: torch.dtype
    processes: ProcessGroup
    exchange: GradientExchange
    reporter: Reporter
    is_sharded: bool

    def add_up(self, batches: Sequence[Batch], tokens: int, update: int) -> float:
        """Add up the gradients of batches with so many target tokens, after so many updates.

        Returns this process' share of the summed plain loss. If a batch runs out of memory it is
        split in two and all of this restarts, since the failed pass may have added some of its
        gradients. Raises Seq2seqError if a single pair does not fit, and LostProcessError if
        another process has ended.
        """
        computed = computed_batches(batches, self.config, self.device, self.precision)
        share = share_in_step if self.is_sharded else share_of_batches
        pending = share(computed, self.processes.rank, self.processes.world_size)
        losses = list[Tensor]()
        while len(losses) < len(pending):
            batch, is_last = pending[len(losses)], len(losses) == len(pending) - 1
            loss = self._accumulate_if_it_fits(batch, tokens, update, is_last=is_last)
            if loss is not None:
                losses.append(loss)
                continue
            release_memory(self.device)
            self._report_split(batch.batch, update)
            pending[len(losses) : len(losses) + 1] = batch.halves()
            losses.clear()
            self.optimizer.zero_grad()
        self.exchange.finish()
        return float(sum(torch.stack(losses).tolist())) if losses else 0.0  # waits for the device

    def _accumulate_if_it_fits(
        self, batch: MicroBatch, tokens: int, update: int, *, is_last: bool
    ) -> Tensor | None:
        """As `_accumulate`, or None if the batch runs out of memory.

        Gradients may be on their way to other processes then, those of the last batch or of a
        sharded model, which cannot be taken back: Seq2seqError is raised.
        """
        try:
            with self.exchange.during_last_pass() if is_last else nullcontext():
                return self._accumulate(batch, tokens, update)
        except (RuntimeError, MemoryError) as error:
            if self.is_sharded and is_loss(error):
                raise LostProcessError(str(error).partition("\n")[0]) from error
            if not is_out_of_memory(error):
                raise
            if self.is_sharded or (is_last and self.exchange.has_begun):
                raise Seq2seqError(
                    "a batch does not fit into memory; set a lower training.batch_tokens, or "
                    "training.activation_checkpointing = true"
                ) from None
            return None

    def _accumulate(self, batch: MicroBatch, tokens: int, update: int) -> Tensor:
        """Add a batch's gradients, as its share of `tokens`; returns its summed plain loss.

        What is drawn at random, as for dropout, depends on the batch alone: not on the process that
        computes it, nor on what was computed before.
        """
        torch.manual_seed(batch.random_seed(self.config.seed, update))
        loss, plain = self.objective(self.model, batch.batch.to(self.device))
        if not batch.counts:
            loss, plain = loss * 0, plain * 0
        (loss / tokens).backward()  # type: ignore[no-untyped-call]
        return plain

    def _report_split(self, batch: Batch, update: int) -> None:
        """Report the first batch that does not fit; raise Seq2seqError if it is a single pair."""
        pairs, length = len(batch.source), max(batch.source.size(1), batch.target.size(1))
        if pairs == 1:
            raise Seq2seqError(
                f"a pair of {length:,} tokens alone does not fit into memory; set a lower "
                "data.max_length, or training.activation_checkpointing = true"
            )
        if self.reporter.is_first("memory"):
            self.reporter.said(
                f"update {update + 1:,}: {pairs:,} pairs of up to {length:,} tokens "
                "do not fit into memory; such batches are split, which gives the same gradients "
                "in more time. A lower training.batch_tokens avoids it, or "
                "training.activation_checkpointing = true"
            )
