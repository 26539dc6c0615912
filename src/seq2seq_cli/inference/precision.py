"""The type of the matrix products of search."""

import torch

from seq2seq_cli.devices import choose_precision
from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.library import library


def choose_search_precision(name: str, device: torch.device) -> torch.dtype:
    """Choose the type of matrix products in search.

    "auto" is float32 on a CPU, where kernels in float32 are faster than PyTorch in bfloat16, and
    exact; elsewhere it is what training takes. Raises InputError for int8 where nothing multiplies
    8-bit numbers, and if the environment asks for a build of the kernels that is missing.
    """
    kernels = library()  # a missing build is an error before there is work to lose
    if name == "auto" and device.type == "cpu":
        return torch.float32
    if name != "int8":
        return choose_precision(name, device)
    has_products = kernels or "fbgemm" in torch.backends.quantized.supported_engines
    if device.type != "cpu" or not has_products:
        raise InputError(
            f"precision int8 is not available on {device.type} here; auto, float32 and bfloat16 "
            "are allowed"
        )
    return torch.int8
