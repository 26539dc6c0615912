"""A warm-up as long as training is warned of, after the errors of the data."""

import pytest

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.training.planning.completion import warn_of_long_warmup


@pytest.mark.parametrize(
    ("warmup", "updates", "is_said"),
    [(400, 400, True), (400, 401, False), (5000, 3000, True), (5000, 0, False)],
)
def test_a_warm_up_as_long_as_training_is_mentioned(
    warmup: int, updates: int, is_said: bool
) -> None:
    warnings: list[str] = []
    warn_of_long_warmup(TrainingConfig(warmup_updates=warmup, max_updates=updates), warnings.append)
    assert [each.split(":")[0] for each in warnings] == is_said * [
        "training.warmup_updates is not less than training.max_updates"
    ]
