"""Models in PyTorch for a translator: on GPUs, and where kernels do not serve."""

from collections.abc import Sequence

import torch

from seq2seq_cli.devices import choose_device, choose_precision, set_torch_threads
from seq2seq_cli.errors import InputError
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.models.quantization import with_eight_bits
from seq2seq_cli.search.shortlist import Shortlist
from seq2seq_cli.search.torch_predictor import TorchPredictor
from seq2seq_cli.translation.settings import TranslationSettings


def make_torch_predictor(
    models: Sequence[TranslationModel], settings: TranslationSettings, shortlist: Shortlist | None
) -> TorchPredictor:
    """Bring models to the device of the settings. Raises InputError for what it does not have."""
    set_torch_threads()
    device = choose_device(settings.device)
    precision = choose_search_precision(settings.precision, device)
    models = [model.to(device) for model in models]
    if precision == torch.int8:
        models = [with_eight_bits(model) for model in models]
        precision = torch.float32  # of all that is not a linear layer
    return TorchPredictor(
        models,
        settings.weights,
        shortlist,
        captures_attention=settings.search.coverage_penalty > 0,
        precision=precision,
    )


def choose_search_precision(name: str, device: torch.device) -> torch.dtype:
    """Choose the type of matrix products in search.

    "auto" is float32 on a CPU; elsewhere it is what training takes. Raises InputError for int8
    where nothing multiplies 8-bit numbers.
    """
    if name == "auto" and device.type == "cpu":
        return torch.float32
    if name != "int8":
        return choose_precision(name, device)
    if device.type != "cpu" or "fbgemm" not in torch.backends.quantized.supported_engines:
        raise InputError(
            f"precision int8 is not available on {device.type} here; auto, float32 and bfloat16 "
            "are allowed"
        )
    return torch.int8
