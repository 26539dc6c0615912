"""The best extensions of open hypotheses, without sorting a vocabulary for each.

Dimensions: B sentences, K hypotheses of each, V columns of logits.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

GROUP = 64  # columns whose maximum stands for all of them at first
FEW = 1024  # columns; fewer than these are sorted at once


def log_sum_exp(logits: Tensor) -> Tensor:
    """Compute the log-sum-exp of each row: (N, V), which may hold -inf -> (N, 1).

    By the softmax, which makes one pass and takes no longer over -inf. The greatest
    probability is at least 1 / V, so its logarithm is exact enough.
    """
    greatest = logits.amax(dim=1, keepdim=True)
    return greatest - logits.softmax(dim=1).amax(dim=1, keepdim=True).log()


def best_extensions(logits: Tensor, offsets: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Find the `count` greatest sums of a logit (B x K, V) and its row's offset (B, K).

    Returns (B, count) each, best first: the sums, their rows 0 to K - 1, and their columns. If
    there are fewer candidates, the sums are -inf.
    """
    if logits.size(1) < FEW:
        best, rows, columns = _best_of_all(logits, offsets, count)
    else:
        best, rows, columns = _best_of_groups(logits, offsets, count)
    missing = count - best.size(1)
    if missing > 0:
        best = pad(best, (0, missing), value=-torch.inf)
        rows, columns = pad(rows, (0, missing)), pad(columns, (0, missing))
    return best, rows, columns


def _best_of_all(logits: Tensor, offsets: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `best_extensions`, by sorting all sums; there may be fewer than `count`."""
    batch, beam = offsets.shape
    size = logits.size(1)
    sums = logits.view(batch, beam, size) + offsets[..., None]
    best, indices = sums.view(batch, -1).topk(min(count, beam * size), dim=1)
    return best, indices // size, indices % size


def _best_of_groups(logits: Tensor, offsets: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `_best_of_all`, over the groups of columns with the greatest maxima alone.

    The best sums are in them: a group that is left out has `count` maxima before its own.
    """
    batch, beam = offsets.shape
    size = logits.size(1)
    full = size // GROUP * GROUP
    maxima = logits[:, :full].reshape(logits.size(0), -1, GROUP).amax(dim=2)
    if full < size:
        maxima = torch.cat((maxima, logits[:, full:].amax(dim=1, keepdim=True)), dim=1)
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
    if full < size:
        sums = sums.masked_fill(beyond, -torch.inf)
    sums, columns = sums.view(batch, -1), columns.view(batch, -1)
    best, indices = sums.topk(min(count, sums.size(1)), dim=1)
    return best, rows.gather(1, indices // GROUP), columns.gather(1, indices)
