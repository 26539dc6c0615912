"""The preset auto: what it chooses for how much text and time, and that given settings stay."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq_cli.config import auto
from seq2seq_cli.config.auto import Text
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.errors import InputError
from seq2seq_cli.models import Vocabulary
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.training_state import ScheduleEnd, TrainingState
from seq2seq_cli.training.planning.auto_planner import USED, Planner
from seq2seq_cli.training.planning.continued_run import with_settings_of
from seq2seq_cli.training.progress import SilentListener
from seq2seq_cli.training.settings import merge_settings

MULTI30K, WMT = Text(29_000, 493_000), Text(4_500_000, 130_000_000)


class Heard(SilentListener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def said(self, message: str) -> None:
        self.lines.append(message)


def settings(**training: Any) -> RunConfig:
    return merge_settings({"training": training}, warn=pytest.fail)


def planner(
    config: RunConfig, pairs: int = 2000, seconds_per_update: float | None = None
) -> Planner:
    """Plans for pairs of nine tokens, on a machine of this speed."""
    sides = Sentences([[4] * 8] * pairs)

    class Timed(Planner):
        def _seconds_per_update(self) -> float | None:
            assert seconds_per_update is not None, "nothing is to be measured"
            return seconds_per_update

    return Timed(
        config=config,
        pairs=TokenPairs(sides, sides),
        valid_pairs=TokenPairs(*[Sentences([[4] * 8] * 10)] * 2),
        vocabulary=Vocabulary(9, 9, joint=True),
        device=torch.device("cpu"),
        precision=torch.float32,
        listener=Heard(),
    )


@pytest.mark.parametrize(
    "points",
    [
        auto.BATCH_TOKENS,
        auto.EPOCHS,
        auto.DROPOUT_BY_EPOCHS,
        auto.DROPOUT_BY_TOKENS,
        auto.DROPOUT_BY_SIZE,
    ],
)
def test_rules_go_through_their_points_and_stay_level_beyond(points: auto.Points) -> None:
    for value, height in points:
        assert auto.interpolate(points, value) == pytest.approx(height)
    assert auto.interpolate(points, points[0][0] / 9) == points[0][1]
    assert auto.interpolate(points, points[-1][0] * 9) == pytest.approx(points[-1][1])


def test_millions_of_pairs_are_trained_as_published() -> None:
    """Vaswani et al. 2017, base: width 512, 6 + 6 layers, 100,000 updates of 25,000 tokens."""
    largest = auto.sizes_for(WMT)[0]
    assert auto.model_settings(largest, largest.width) == {
        "width": 512,
        "heads": 8,
        "feed_forward": 2048,
        "encoder_layers": 6,
        "decoder_layers": 6,
    }
    assert auto.batch_tokens(WMT) == pytest.approx(25_000, rel=0.01)
    assert auto.dropout(WMT, epochs=20) == 0.1
    assert auto.learning_rate(512) == pytest.approx(0.0007, rel=0.1)
    updates = auto.usual_epochs(WMT) * WMT.target_tokens / auto.batch_tokens(WMT)
    assert updates == pytest.approx(100_000, rel=0.1)
    assert auto.warmup(round(updates)) == 4000


def test_dropout_rises_with_the_number_of_epochs() -> None:
    found = [auto.dropout(MULTI30K, epochs) for epochs in (1, 4, 10, 22, 100)]
    assert found == sorted(found)
    assert (found[0], found[1], found[-1]) == (0.1, 0.1, 0.3)


def test_validations_take_a_small_share_of_a_training() -> None:
    assert auto.validations(10_000, updates_of_one=30) == 10
    assert auto.validations(1_000, updates_of_one=30) == 3
    assert auto.validations(10, updates_of_one=30) == 2
    assert auto.validate_every(10_000, updates_of_one=30) == 1000
    assert auto.validate_every(100_000, updates_of_one=30) == 5000


def test_every_open_setting_is_chosen_and_said_with_its_reason() -> None:
    plan = planner(settings())
    config, end = plan.choose()
    assert end is None
    assert config.open_settings == frozenset()
    assert isinstance(plan.listener, Heard)
    chosen = {"batches", "width", "dropout", "learning rate", "updates"}
    said = [line for line in plan.listener.lines if line.startswith("auto: ")]
    assert len(said) == len(chosen)
    for word in chosen:
        assert sum(word in line for line in said) >= 1, word


def test_given_settings_stay_and_others_follow_them() -> None:
    given = {"width": 96, "dropout": 0.42}
    training = {"batch_tokens": 700, "warmup_updates": 5, "max_updates": 50, "learning_rate": 0.1}
    plan = planner(merge_settings({"model": given, "training": training}, warn=pytest.fail))
    config, _ = plan.choose()
    tables = config.tables()
    assert {key: tables["model"][key] for key in given} == given
    assert {key: tables["training"][key] for key in training} == training
    assert tables["model"]["feed_forward"] == 4 * 96
    assert tables["model"]["heads"] == 4
    assert isinstance(plan.listener, Heard)
    assert not any("learning rate 0" in line for line in plan.listener.lines)


@pytest.mark.parametrize("width", [*range(1, 70), 250, 300])
def test_any_width_has_heads_that_divide_it(width: int) -> None:
    for size in auto.SIZES:
        found = auto.model_settings(size, width)
        assert width % found["heads"] == 0
        assert width % 2 or width // found["heads"] % 2 == 0  # which rotary positions need


def test_the_schedule_is_laid_over_the_limit_that_is_reached_first() -> None:
    usual, _ = planner(settings()).choose()
    epochs, _ = planner(settings(max_epochs=2)).choose()
    updates, _ = planner(settings(max_updates=10)).choose()
    per_epoch = 2000 * 9 / epochs.training.batch_tokens
    assert epochs.training.max_updates == pytest.approx(2 * per_epoch, rel=0.15)
    assert usual.training.max_updates == pytest.approx(60 * per_epoch, rel=0.15)
    assert updates.training.max_updates == 10
    for config in (usual, epochs, updates):
        assert config.training.schedule == "linear"
        share = config.training.warmup_updates / config.training.max_updates
        assert share == pytest.approx(0.1, abs=0.02)


def test_minutes_are_filled_at_the_speed_that_was_measured() -> None:
    config, end = planner(settings(max_minutes=10.0), seconds_per_update=1.0).choose()
    assert end is not None
    assert end.minutes == 10
    assert 550 <= end.update < 600
    assert config.training.warmup_updates == pytest.approx(end.update / 10, abs=1)
    assert config.training.max_updates > end.update  # a faster machine may do more
    _, end = planner(settings(max_minutes=1e4), seconds_per_update=1.0).choose()
    assert end is None  # that is more time than so little text needs


def test_validations_take_their_time_out_of_the_minutes_but_not_more_than_half() -> None:
    plan, updates = planner(settings(max_minutes=10.0), seconds_per_update=1.0), []
    for pairs in (10, 4000, 400_000):
        valid = TokenPairs(*[Sentences([[4] * 8] * pairs)] * 2)
        _, end = replace(plan, valid_pairs=valid).choose()
        assert end is not None
        updates.append(end.update)
    assert 300 < updates[1] < updates[0] - 100
    assert updates[2] == int(600 * USED / 2)


def test_an_update_of_several_batches_is_counted_once() -> None:
    once, _ = planner(settings(max_epochs=2, batch_tokens=128)).choose()
    plan = planner(settings(max_epochs=2, batch_tokens=128, accumulate=4))
    several, _ = plan.choose()
    assert several.training.max_updates == pytest.approx(once.training.max_updates / 4, abs=2)


def test_the_end_of_a_sentence_is_a_token_of_the_text() -> None:
    plan = planner(settings())
    plan.choose()
    assert isinstance(plan.listener, Heard)
    assert "for 18,000 target tokens in an epoch" in plan.listener.lines[0]


@pytest.mark.parametrize(("seconds", "width"), [(0.001, 256), (1.0, 128)])
def test_a_model_is_as_large_as_the_time_is_enough_for(seconds: float, width: int) -> None:
    plan = planner(settings(max_minutes=10.0), pairs=6000, seconds_per_update=seconds)
    config, _ = plan.choose()
    assert config.model.width == width


def test_another_architecture_has_the_sizes_of_the_preset_of_its_name() -> None:
    given = {"model": {"architecture": "attention-rnn"}}
    config, _ = planner(merge_settings(given, warn=pytest.fail)).choose()
    assert config.tables()["model"]["units"] == 512
    assert config.training.schedule == "linear"
    assert config.training.learning_rate == 0.001


def test_a_run_that_continues_has_the_plan_that_it_began_with() -> None:
    old, _ = planner(settings(max_minutes=10.0), seconds_per_update=1.0).choose()
    assert with_settings_of(old, settings(max_minutes=10.0)) == old
    raised = with_settings_of(old, settings(max_minutes=20.0))
    assert raised.training.max_minutes == 20
    assert raised.training.warmup_updates == old.training.warmup_updates
    more = with_settings_of(old, settings(max_epochs=9))
    assert more.open_settings == auto.LENGTH


@pytest.mark.parametrize(
    ("text", "epochs", "reason"),
    [
        (Text(5, 30), 60, "training sees only about 1,800 target tokens in all"),
        (MULTI30K, 5, "each pair is seen about 5.0 times"),
        (Text(1_000_000, 20_000_000), 22, "an epoch has 20.0 million target tokens"),
    ],
)
def test_the_reason_of_dropout_is_the_one_that_decided(
    text: Text, epochs: float, reason: str
) -> None:
    assert auto.dropout_reason(text, epochs).startswith(reason)


def test_more_minutes_than_the_usual_length_needs_are_said_to_be_no_more_updates() -> None:
    old, _ = planner(settings(max_minutes=10.0), seconds_per_update=1.0).choose()
    plan = planner(with_settings_of(old, settings(max_minutes=20.0)))
    assert isinstance(plan.listener, Heard)
    more = plan.extend(old)
    assert (more.training.max_updates, more.training.max_minutes) == (old.training.max_updates, 20)
    assert more.open_settings == frozenset()
    (said,) = plan.listener.lines
    assert f"at most {old.training.max_updates:,} updates, 60 epochs of so much text" in said
    assert "--max-updates N" in said


def test_a_limit_of_updates_that_was_given_before_stays_under_more_minutes_and_is_said() -> None:
    given = settings(max_minutes=10.0, max_updates=50)
    old, _ = planner(given, seconds_per_update=1.0).choose()
    plan = planner(with_settings_of(old, settings(max_minutes=20.0)))
    assert isinstance(plan.listener, Heard)
    assert plan.extend(old).training.max_updates == 50
    (said,) = plan.listener.lines
    assert "at most 50 updates, as the run has had them, however many minutes there are" in said


def test_a_run_that_began_with_the_former_default_continues() -> None:
    old = merge_settings({}, preset="transformer-small", warn=pytest.fail)
    assert with_settings_of(old, settings()) == old


def test_a_pretrained_model_has_its_size_already(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave --preset out"):
        merge_settings({"training": {"init_from": str(tmp_path)}}, preset="auto", warn=pytest.fail)


def test_measuring_leaves_training_as_it_is() -> None:
    """A learning rate of zero, and a model of its own."""
    config = merge_settings(
        {"model": {"width": 8}, "training": {"max_minutes": 0.01, "batch_tokens": 64}},
        warn=pytest.fail,
    )
    sides = Sentences([[4, 5, 6]] * 50)
    plan = Planner(
        config=config,
        pairs=TokenPairs(sides, sides),
        valid_pairs=TokenPairs(sides, sides),
        vocabulary=Vocabulary(9, 9, joint=True),
        device=torch.device("cpu"),
        precision=torch.float32,
        listener=SilentListener(),
    )
    chosen, end = plan.choose()
    assert end == ScheduleEnd(end.update if end else 0, 0.01)
    assert chosen.open_settings == frozenset()


def test_a_checkpoint_holds_the_planned_end() -> None:
    state = TrainingState(schedule_end=ScheduleEnd(500, minutes=24.0))
    assert TrainingState.from_json(state.to_json()) == state
