"""Which weights training saves, and when it ends."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.token_pairs import Sentences, TokenPairs
from seq2seq_cli.models import Vocabulary, build, model_config
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.training.diagnosis import TranslationStatistics
from seq2seq_cli.training.distributed import ProcessGroup
from seq2seq_cli.training.progress import Validation
from seq2seq_cli.training.resuming import raises_limit
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


def trainer(
    folder: Path,
    *,
    losses: Sequence[float],
    scores: Sequence[float],
    processes: ProcessGroup | None = None,
    **training: Any,
) -> Trainer:
    """Validates after each of six updates, with these losses and BLEU scores."""
    figures = iter(zip(losses, scores, strict=True))

    def validate(model: object) -> Validation:
        loss, bleu = next(figures)
        return Validation(loss, bleu, 0.0, (), TranslationStatistics(0.0, 0.0))

    torch.manual_seed(1)
    table = {"architecture": "rnn", "width": 4, "units": 4}
    sentences = Sentences([[4, 5], [6, 7, 8], [5]])
    settings = {"max_updates": 6, "validate_every": 1, "average": "none"}
    return Trainer(
        Experiment(
            model=build(model_config(table), Vocabulary(9, 9, joint=False)),
            pairs=TokenPairs(sentences, sentences),
            config=TrainingConfig(**(settings | training)),
            run=Folder(folder),
            validate=validate,
            diagnose=lambda history: (),
            listener=SilentListener(),
            device=torch.device("cpu"),
            precision=torch.float32,
            data="",
            processes=processes or ProcessGroup(),
        )
    )


FALLING = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
RISING = [10.0, 40.0, 30.0, 92.34, 95.0, 96.0]


def test_while_bleu_stays_at_zero_a_lower_loss_is_better(tmp_path: Path) -> None:
    """A slow beginning is neither the best nor a reason to stop."""
    slow = trainer(tmp_path, losses=FALLING, scores=[0.0] * 6, patience=2)
    assert slow.train() == "6 updates were done"
    assert slow.state.best is not None
    assert slow.state.best.update == 6


@pytest.mark.parametrize(
    ("settings", "update", "reason"),
    [
        ({"stop_score": 92}, 4, "bleu reached 92.34 of the 92 wanted"),
        ({"stop_score": 40}, 2, "bleu reached 40.00 of the 40 wanted"),
        ({"stop_metric": "loss", "stop_score": 3.5}, 4, "loss reached 3.00 of the 3.5 wanted"),
        ({"stop_score": 97}, 6, "6 updates were done"),
        ({"stop_score": 0}, 6, "6 updates were done"),
    ],
)
def test_training_ends_at_the_score_that_is_wanted(
    settings: dict[str, Any], update: int, reason: str, tmp_path: Path
) -> None:
    ended = trainer(tmp_path, losses=FALLING, scores=RISING, **settings)
    assert ended.train() == reason
    assert ended.state.update == update
    assert ended.run.finished() == (update, reason)


@pytest.mark.parametrize(
    ("before", "now", "is_higher"),
    [
        ({"stop_score": 90}, {"stop_score": 95}, True),
        ({"stop_score": 90}, {"stop_score": 0}, True),
        ({"stop_score": 90}, {"stop_score": 85}, False),
        ({"stop_score": 0}, {"stop_score": 90}, False),
        ({"stop_metric": "loss", "stop_score": 2}, {"stop_metric": "loss", "stop_score": 1}, True),
        ({"stop_metric": "loss", "stop_score": 2}, {"stop_metric": "loss", "stop_score": 3}, False),
        ({"max_updates": 5}, {"max_updates": 0}, True),
    ],
)
def test_a_finished_run_continues_if_a_limit_is_raised(
    before: dict[str, Any], now: dict[str, Any], is_higher: bool
) -> None:
    assert raises_limit(TrainingConfig(**before), TrainingConfig(**now)) == is_higher


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    second = trainer(
        tmp_path / "second",
        losses=FALLING,
        scores=RISING,
        stop_score=92,
        processes=ProcessGroup(rank=1, world_size=2),
    )
    first = trainer(tmp_path / "first", losses=FALLING, scores=RISING, stop_score=92)
    for each in (first, second):
        each.train()
    assert list((tmp_path / "first").rglob("*"))
    assert not list((tmp_path / "second").rglob("*"))
    assert second.state.update == first.state.update
