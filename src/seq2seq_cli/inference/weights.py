"""Checks weights before they are packed: what is packed can hide that a number is NaN."""

from torch import nn

from seq2seq_cli.errors import NoNumbersError


def check_weights(model: nn.Module) -> None:
    """Raise NoNumbersError with the name of the first weights that hold NaN or infinity."""
    for name, parameter in model.named_parameters():
        weights = parameter.detach()
        # A sum is finite only if all numbers are, and takes a fraction of the time.
        if not weights.sum().isfinite() and not weights.isfinite().all():
            raise NoNumbersError(name)
