"""The type of the matrix products of search."""

import torch

from seq2seq_cli.devices import choose_precision
from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.library import library


def choose_search_precision(name: str, device: torch.device) -> torch.dtype:
    """The type of matrix products in search: "auto" is float32 on a CPU, else as in training.

    On a CPU the compiled float32 functions are faster than torch's bfloat16, and exact. Raises
    InputError for int8 elsewhere, and where nothing on this machine multiplies 8-bit numbers.
    """
    compiled = library()  # refuses a build that is not there before there is work to lose
    if name == "auto" and device.type == "cpu":
        return torch.float32
    if name != "int8":
        return choose_precision(name, device)
    has_products = compiled or "fbgemm" in torch.backends.quantized.supported_engines
    if device.type != "cpu" or not has_products:
        raise InputError(
            f"--precision int8 is not to be had on {device.type} here; auto, float32 and bfloat16 "
            "are allowed"
        )
    return torch.int8
