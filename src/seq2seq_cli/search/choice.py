"""Kernels or PyTorch for a model that is in PyTorch, as in training."""

from seq2seq_cli.inference.plain_model import PlainModel
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.search.engine import EnginePredictor, engine_serves
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.search.torch_predictor import TorchPredictor


def predictor_for(model: TranslationModel) -> Predictor:
    """Predict with a model: in kernels if it is on the CPU and they serve it, else in PyTorch.

    It is for the weights as they are: make another when they have changed.
    """
    is_on_cpu = next(model.parameters()).device.type == "cpu"
    if is_on_cpu and engine_serves([model.config]):
        return EnginePredictor([PlainModel.of(model)])
    return TorchPredictor([model])
