"""Adds up the gradients of all processes, bucket by bucket, while the rest is still computed.

The idea of buckets is that of DistributedDataParallel (Li et al. 2020, "PyTorch Distributed").
It is not used itself, since it leaves alone what the last of several backward passes does not
touch, as layers that are dropped: the gradients of the passes before would not be added up.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed

from seq2seq_cli.training.distributed import ProcessGroup, losses_noticed

BUCKET_BYTES = 8 << 20  # of gradients that are exchanged at once


@dataclass
class Bucket:
    """Parameters whose gradients are exchanged together."""

    parameters: list[Tensor]
    missing: int = 0  # gradients of the last backward pass that are still to come
    buffer: Tensor | None = None
    work: distributed.Work | None = None


@dataclass
class GradientExchange:
    """Sums of gradients over all processes.

    `precision` is the type that gradients are exchanged in; they are added up in it too.
    """

    processes: ProcessGroup
    parameters: Sequence[Tensor]
    precision: torch.dtype = torch.float32
    buckets: list[Bucket] = field(default_factory=list)
    _bucket_of: dict[Tensor, Bucket] = field(default_factory=dict)
    _next: int = 0  # the first bucket that is not on its way
    _is_last: bool = False  # whether the last backward pass is running

    def __post_init__(self) -> None:
        if self.processes.world_size == 1:
            return
        size = BUCKET_BYTES
        for parameter in reversed(self.parameters):  # gradients come from the last layer on
            if not parameter.requires_grad:
                continue
            bytes_ = parameter.numel() * parameter.element_size()
            if size + bytes_ > BUCKET_BYTES:
                self.buckets.append(Bucket([]))
                size = 0
            self.buckets[-1].parameters.append(parameter)
            self._bucket_of[parameter] = self.buckets[-1]
            size += bytes_
            parameter.register_post_accumulate_grad_hook(self._computed)  # type: ignore[no-untyped-call]

    @property
    def has_begun(self) -> bool:
        """Whether gradients are on their way to other processes."""
        return self._next > 0

    @contextmanager
    def during_last_pass(self) -> Iterator[None]:
        """Begin to exchange gradients as soon as a backward pass in this block has computed them.

        They must be final then: the pass is the last one of the update.
        """
        for bucket in self.buckets:
            bucket.missing = len(bucket.parameters)
        self._next, self._is_last = 0, True
        try:
            yield
        finally:
            self._is_last = False

    def _computed(self, parameter: Tensor) -> None:
        """Start all buckets that are complete, in one order for all processes."""
        if not self._is_last:
            return
        self._bucket_of[parameter].missing -= 1
        while self._next < len(self.buckets) and self.buckets[self._next].missing <= 0:
            self._start(self.buckets[self._next])

    def _start(self, bucket: Bucket) -> None:
        gradients = [
            parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
            for parameter in bucket.parameters
        ]
        flat = [gradient.reshape(-1).to(self.precision) for gradient in gradients]
        bucket.buffer = torch.cat(flat)
        with losses_noticed():
            bucket.work = distributed.all_reduce(bucket.buffer, async_op=True)
        self._next += 1

    def finish(self) -> None:
        """Exchange what is left, and let every parameter have the sum as its gradient.

        Raises LostProcessError if another process has ended.
        """
        while self._next < len(self.buckets):
            self._start(self.buckets[self._next])
        for bucket in self.buckets:
            assert bucket.work is not None
            assert bucket.buffer is not None
            with losses_noticed():
                bucket.work.wait()
            sums = torch.split(bucket.buffer, [each.numel() for each in bucket.parameters])
            for parameter, total in zip(bucket.parameters, sums, strict=True):
                total = total.view_as(parameter).to(parameter.dtype)
                if parameter.grad is None:
                    parameter.grad = total.clone()
                else:
                    parameter.grad.copy_(total)
            bucket.buffer = bucket.work = None
        self._next = 0
