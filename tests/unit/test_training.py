"""Which weights training keeps, and when it ends."""

from itertools import count
from pathlib import Path

import torch

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.token_pairs import Sentences, TokenPairs
from seq2seq_cli.models import Vocabulary, build, model_config
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.training.diagnosis import TranslationStatistics
from seq2seq_cli.training.progress import Validation
from seq2seq_cli.training.trainer import Experiment, Trainer


class SilentListener:
    def said(self, message: str) -> None: ...
    def warned(self, message: str) -> None: ...
    def ticked(self, progress: object) -> None: ...
    def progressed(self, progress: object) -> None: ...
    def validated(self, *figures: object, is_best: bool) -> None: ...


class Folder(RunFolder):
    """Needs no settings beside the weights."""

    def save_model(self, weights: object) -> None: ...


def test_while_bleu_stays_at_zero_a_lower_loss_is_better(tmp_path: Path) -> None:
    """Nothing of a slow beginning is taken for the best, nor for a reason to stop."""
    numbers = count()

    def validate(model: object) -> Validation:
        return Validation(10.0 - next(numbers), 0.0, 0.0, (), TranslationStatistics(0.0, 0.0))

    torch.manual_seed(1)
    model = build(
        model_config({"architecture": "rnn", "width": 4, "units": 4}), Vocabulary(9, 9, joint=False)
    )
    config = TrainingConfig(max_updates=6, validate_every=1, patience=2, average="none")
    sentences = Sentences([[4, 5], [6, 7, 8], [5]])
    trainer = Trainer(
        Experiment(
            model=model,
            pairs=TokenPairs(sentences, sentences),
            config=config,
            run=Folder(tmp_path),
            validate=validate,
            diagnose=lambda history: (),
            listener=SilentListener(),
            device=torch.device("cpu"),
            precision=torch.float32,
            data="",
        )
    )
    assert trainer.train() == "6 updates were done"
    assert trainer.state.best is not None
    assert trainer.state.best.update == 6
