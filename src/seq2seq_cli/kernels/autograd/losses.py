"""Gradients of cross-entropy and R-Drop in the logits, V of each token, computed with the losses.

Logits beyond the tokens `gold` (rows,) only fill up the shape, and have a gradient of zero.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq_cli.kernels import training
from seq2seq_cli.kernels.autograd.dispatch import engine


def _cross_entropy_reference(
    logits: Tensor, gold: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    dtype, size, filled, rows = logits.dtype, logits.size(1), logits.size(0), gold.size(0)
    logits, gold = logits[:rows].float(), gold[:, None]
    # One pass of exponentials serves loss and gradient. The greatest probability is at least 1 / V,
    # so its logarithm is exact enough to give log-sum-exp.
    grad = logits.softmax(dim=1)
    normaliser = logits.amax(dim=1) - grad.amax(dim=1).log()
    plain = (normaliser - logits.gather(1, gold)[:, 0]).sum()
    uniform = normaliser.sum() - logits.sum() / size
    if smoothing:
        grad.sub_(smoothing / size)
    grad.scatter_add_(1, gold, grad.new_full(gold.shape, smoothing - 1))
    grad = F.pad(grad.to(dtype), (0, 0, 0, filled - rows))
    return grad, torch.stack((plain, uniform))


def cross_entropy_gradient(logits: Tensor, gold: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The gradient of the smoothed loss (Szegedy 2016) in logits (any, V), and sums of losses (2,).

    The sums are the plain loss and the loss against a uniform distribution, in nats. The gradient
    may overwrite the logits.
    """
    if engine(logits) != "kernel":
        return _cross_entropy_reference(logits, gold, smoothing)
    rows = gold.size(0)
    losses = training.cross_entropy_gradient(logits[:rows], gold, smoothing).sum(dim=1)
    logits[rows:] = 0
    return logits, losses


def _r_drop_reference(
    logits: Tensor, gold: Tensor, smoothing: float, alpha: float
) -> tuple[Tensor, Tensor]:
    dtype, size, rows, filled = logits.dtype, logits.size(2), gold.size(0), logits.size(1)
    logits = logits[:, :rows].float()
    gold = gold[:, None].expand(2, -1, 1)
    p = logits.softmax(dim=2)
    # The greatest probability is at least 1 / V, so its logarithm is exact enough.
    greatest, index = logits.max(dim=2, keepdim=True)
    normaliser = greatest - p.gather(2, index).log()
    plain = 0.5 * (normaliser - logits.gather(2, gold)).sum()
    uniform = 0.5 * (normaliser.sum() - logits.sum() / size)
    # The gradient of p log p/q + q log q/p in the logits of p is p (log p/q - KL(p, q)) + p - q,
    # and likewise in those of q.
    share = 0.25 * alpha  # of each divergence
    gap = (logits[0] - logits[1]).sub_(normaliser[0] - normaliser[1])
    grad = logits  # in the memory of the logits, which are no longer needed
    divergences = []
    for own, other, sign in ((0, 1, 1.0), (1, 0, -1.0)):
        divergence = sign * _dot(p[own], gap)
        divergences.append(divergence.sum())
        torch.add(0.5 + share * (1 - divergence), gap, alpha=sign * share, out=grad[own])
        grad[own].mul_(p[own]).sub_(p[other], alpha=share)
    if smoothing:
        grad.sub_(0.5 * smoothing / size)
    grad.scatter_add_(2, gold, grad.new_full(gold.shape, 0.5 * (smoothing - 1)))
    grad = F.pad(grad.to(dtype), (0, 0, 0, filled - rows))
    return grad, torch.stack((plain, uniform, divergences[0] + divergences[1]))


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """The product (rows, 1) of each row of x and of y, both (rows, V), without a matrix between."""
    return torch.bmm(x[:, None], y[:, :, None])[:, :, 0]


def r_drop_gradient(
    logits: Tensor, gold: Tensor, smoothing: float, alpha: float
) -> tuple[Tensor, Tensor]:
    """The gradient of R-Drop's loss (Liang 2021) in logits (2, any, V), and sums of losses (3,).

    The sums are the plain loss and the loss against a uniform distribution, both as means of the
    two passes, and the sum of both divergences. The gradient may overwrite the logits.
    """
    if engine(logits) != "kernel":
        return _r_drop_reference(logits, gold, smoothing, alpha)
    rows, filled = gold.size(0), logits.size(1)
    gold = F.pad(gold, (0, filled - rows))
    losses = training.r_drop_gradient(logits, gold, smoothing, alpha)[:, :rows].sum(dim=1)
    logits[:, rows:] = 0
    return logits, losses
