"""The best extensions of open hypotheses, without sorting a vocabulary for each.

Dimensions: B sentences, K hypotheses of each, V columns of logits.
"""

import torch
from torch import Tensor

from seq2seq_cli.kernels import library as kernels
from seq2seq_cli.kernels.inference import beams

GROUP = 64  # columns
SMALL = 1024  # columns; fewer are sorted at once


def log_sum_exp(logits: Tensor) -> Tensor:
    """(N, V) -> (N, 1), of which some may be -inf.

    By the softmax: its kernel makes one pass, and -inf costs it nothing. The greatest probability
    is at least 1 / V, so its logarithm is exact enough.
    """
    if kernels.can_compute(logits):
        return beams.log_sum_exp(logits)
    greatest = logits.amax(dim=1, keepdim=True)
    return greatest - logits.softmax(dim=1).amax(dim=1, keepdim=True).log()


def best_extensions(logits: Tensor, offsets: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` greatest sums of a logit (B x K, V) and its row's offset (B, K).

    Returns (B, count) each, best first: the sums, their rows 0 to K - 1, and their columns. Where
    there are fewer candidates, sums are -inf.
    """
    if kernels.can_compute(logits, offsets):
        return beams.best_extensions(logits, offsets, count)
    batch, beam = offsets.shape
    size = logits.size(1)
    if size < SMALL:
        sums = logits.view(batch, beam, size) + offsets[..., None]
        best, places = sums.view(batch, -1).topk(min(count, beam * size), dim=1)
        return _widened(best, places // size, places % size, count)
    # The best are in the groups with the greatest maxima: any group left out has as many before it.
    whole = size // GROUP * GROUP
    maxima = logits[:, :whole].reshape(logits.size(0), -1, GROUP).amax(dim=2)
    if whole < size:
        maxima = torch.cat((maxima, logits[:, whole:].amax(dim=1, keepdim=True)), dim=1)
    groups = maxima.size(1)
    maxima = (maxima.view(batch, beam, groups) + offsets[..., None]).view(batch, -1)
    _, chosen = maxima.topk(min(count, maxima.size(1)), dim=1)  # (B, count)
    rows = chosen // groups
    columns = (chosen % groups * GROUP)[..., None] + torch.arange(GROUP, device=logits.device)
    first = torch.arange(batch, device=logits.device)[:, None] * beam
    beyond = columns >= size
    columns = columns.clamp(max=size - 1)
    flat = (first + rows)[..., None] * size + columns
    sums = logits.view(-1)[flat] + offsets.gather(1, rows)[..., None]
    if whole < size:
        sums = sums.masked_fill(beyond, -torch.inf)
    sums, columns = sums.view(batch, -1), columns.view(batch, -1)
    best, places = sums.topk(min(count, sums.size(1)), dim=1)
    return _widened(best, rows.gather(1, places // GROUP), columns.gather(1, places), count)


def _widened(
    best: Tensor, rows: Tensor, columns: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    missing = count - best.size(1)
    if missing <= 0:
        return best, rows, columns
    pad = torch.nn.functional.pad
    return (
        pad(best, (0, missing), value=-torch.inf),
        pad(rows, (0, missing)),
        pad(columns, (0, missing)),
    )
