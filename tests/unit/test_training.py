"""Which weights training saves, and when it ends."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.prefetch import Prefetcher
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.errors import InputError
from seq2seq_cli.kernels.library import usable_builds
from seq2seq_cli.models import Vocabulary, build, model_config
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.training_state import ScheduleEnd, TrainingState
from seq2seq_cli.training import trainer as trainer_module
from seq2seq_cli.training.distributed import ALONE, ProcessGroup
from seq2seq_cli.training.limits import end_reason
from seq2seq_cli.training.machine import Machine
from seq2seq_cli.training.planning.continued_run import check_settings, raises_limit
from seq2seq_cli.training.progress import UpdateFigures, Validation
from seq2seq_cli.training.trainer import Experiment, Trainer
from seq2seq_cli.translation.faults import TranslationStatistics


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
    processes: ProcessGroup = ALONE,
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
            processes=processes,
        )
    )


FALLING = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
RISING = [10.0, 40.0, 30.0, 92.34, 95.0, 96.0]


def test_while_bleu_stays_at_zero_a_lower_loss_is_better(tmp_path: Path) -> None:
    """A slow beginning is neither the best nor a reason to stop."""
    slow = trainer(tmp_path, losses=FALLING, scores=[0.0] * 6, patience=2)
    assert slow.train() == "the limit of 6 updates was reached"
    assert slow.state.best is not None
    assert slow.state.best.update == 6


def test_of_equally_good_weights_the_first_are_the_best(tmp_path: Path) -> None:
    same = trainer(tmp_path, losses=[3.0] * 6, scores=[50.0] * 6, patience=2)
    assert same.train() == "bleu did not improve in 2 validations"
    assert same.state.update == 3
    assert same.state.best is not None
    assert same.state.best.update == 1
    assert same.state.saved_weights == [same.state.best]


def test_patience_begins_again_with_each_improvement(tmp_path: Path) -> None:
    scores = [10.0, 5.0, 20.0, 5.0, 30.0, 5.0]
    steady = trainer(tmp_path, losses=FALLING, scores=scores, patience=2)
    assert steady.train() == "the limit of 6 updates was reached"
    assert steady.state.without_improvement == 1


def test_training_ends_after_the_epochs_and_minutes_that_are_given(tmp_path: Path) -> None:
    one = trainer(tmp_path / "one", losses=FALLING, scores=RISING, max_epochs=2)
    assert one.train() == "the limit of 2 epochs was reached"
    assert one.state.epoch == 2
    other = trainer(tmp_path / "other", losses=FALLING, scores=RISING, max_minutes=3)
    other.state.seconds = 179.0
    assert end_reason(other.config, other.state) is None
    other.state.seconds = 180.0
    assert end_reason(other.config, other.state) == "the limit of 3 minutes was reached"


@pytest.mark.parametrize(("every", "validated"), [(100, []), (4, [4])])
def test_weights_that_are_validated_only_at_the_end_have_their_figures_recorded(
    every: int, validated: list[int], tmp_path: Path
) -> None:
    count = len(validated) + 1
    short = trainer(tmp_path, losses=FALLING[:count], scores=RISING[:count], validate_every=every)
    short.train()
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    records = [each for each in lines if each["kind"] != "training"]
    assert [each["update"] for each in records] == [*validated, 6]
    assert [each["kind"] for each in records] == ["validation"] * len(validated) + ["final"]
    assert records[-1]["weights"] == "the last weights"
    assert (records[-1]["loss"], records[-1]["bleu"]) == (FALLING[count - 1], RISING[count - 1])


@pytest.mark.parametrize("is_average", [True, False])
def test_training_ends_with_the_best_of_an_update_and_an_average(
    is_average: bool, tmp_path: Path
) -> None:
    scores = [10.0, 40.0, 30.0, 20.0, 20.0, 20.0, 50.0 if is_average else 25.0]  # the last of it
    settings = {"average": "last", "average_count": 3}
    ended = trainer(tmp_path, losses=[*FALLING, 1.0], scores=scores, **settings)
    saved: list[dict[str, torch.Tensor]] = []
    ended.run.save_model = saved.append  # type: ignore[assignment]
    ended.train()
    updates = [4, 5, 6] if is_average else [2]
    parts = [ended.run.saved_weights.load(update) for update in updates]
    for name, found in saved[-1].items():
        torch.testing.assert_close(found, torch.stack([part[name] for part in parts]).mean(dim=0))


@pytest.mark.parametrize("limit", [0.001, 0.0])
def test_gradients_are_scaled_down_to_their_greatest_norm_if_there_is_one(
    limit: float, tmp_path: Path
) -> None:
    clipped = trainer(tmp_path, losses=FALLING, scores=RISING, clip_norm=limit)
    norms: list[float] = []

    def look(*_: object) -> None:
        gradients = [
            p.grad.to_dense().flatten() for p in clipped.model.parameters() if p.grad is not None
        ]
        norms.append(float(torch.cat(gradients).norm()))

    clipped.optimizer.register_step_pre_hook(look)
    clipped.train()
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    told = [each["gradient_norm"] for each in lines if each["kind"] == "training"]
    assert told[-1] > 0.01  # before it is scaled
    assert norms[-1] == pytest.approx(limit or told[-1], rel=0.01)


@pytest.mark.parametrize(
    ("seconds", "ends"),  # after each update
    [
        ([0, 3, 6, 9, 12, 15, 18], 6),  # faster than planned: up to max_updates
        ([0, 20, 40, 60], 3),
        ([0, 5, 10, 15, 60], 4),  # other work came
    ],
)
def test_a_linear_schedule_ends_within_the_minutes_at_the_speed_so_far(
    seconds: list[float], ends: int, tmp_path: Path
) -> None:
    limits: dict[str, Any] = {"schedule": "linear", "max_minutes": 1}
    limited = trainer(tmp_path, losses=FALLING[:ends], scores=RISING[:ends], **limits)
    limited.state.schedule_end = ScheduleEnd(5, minutes=1)  # as planned

    def add_time(state: TrainingState) -> float:
        state.seconds = seconds[state.update]
        return 1.0

    limited.reporter.add_time = add_time  # type: ignore[method-assign]
    reason = limited.train()
    assert limited.state.update == ends
    assert ("minute" in reason) == (ends < 6)


def test_what_a_linear_schedule_ends_with_is_validated(tmp_path: Path) -> None:
    settings = {"schedule": "linear", "validate_every": 4}
    ended = trainer(tmp_path, losses=FALLING[:2], scores=RISING[:2], **settings)
    ended.train()
    assert ended.state.last_validation == 6


@pytest.mark.parametrize(
    ("settings", "update", "reason"),
    [
        ({"stop_score": 92}, 4, "bleu reached 92.34; the goal was 92"),
        ({"stop_score": 40}, 2, "bleu reached 40.00; the goal was 40"),
        ({"stop_metric": "loss", "stop_score": 3.5}, 4, "loss reached 3.00; the goal was 3.5"),
        ({"stop_score": 97}, 6, "the limit of 6 updates was reached"),
        ({"stop_score": 0}, 6, "the limit of 6 updates was reached"),
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


def test_training_goes_on_with_dropout_after_a_validation(tmp_path: Path) -> None:
    validated = trainer(tmp_path, losses=FALLING, scores=RISING)
    validated.train()
    assert validated.model.training


def test_a_report_is_of_the_updates_since_the_last_one(tmp_path: Path) -> None:
    reporter = trainer(tmp_path, losses=FALLING, scores=RISING).reporter
    state = TrainingState(data="")
    for update, loss in ((49, 90.0), (50, 110.0), (99, 30.0), (100, 10.0)):
        state.update = update
        figures = UpdateFigures(loss, tokens=10, learning_rate=0.1, gradient_norm=1.0)
        reporter.updated(state, figures, epoch=0.5, end_reason=lambda: None)
    lines = reporter.run.metrics.path.read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [10.0, 2.0]


def test_more_updates_continue_a_run_unless_its_schedule_ends_with_them() -> None:
    def config(schedule: str, max_updates: int) -> RunConfig:
        training = {"schedule": schedule, "max_updates": max_updates}
        return RunConfig.from_tables({"model": {"architecture": "rnn"}, "training": training})

    check_settings(config("inverse-sqrt", 100), config("inverse-sqrt", 200), Path("run"))
    check_settings(config("linear", 100), config("linear", 200), Path("run"))
    with pytest.raises(InputError, match=r"training\.max_updates: 100 before, 200 now"):
        check_settings(config("cosine", 100), config("cosine", 200), Path("run"))


def test_a_sharded_training_gives_freed_layers_back_and_others_keep_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What giving back does to memory is a test of `devices`."""
    given_back: list[bool] = []
    monkeypatch.setattr(trainer_module, "shard", lambda *_: None)
    monkeypatch.setattr(trainer_module, "return_tensors", lambda: given_back.append(True))
    figures = {"losses": FALLING, "scores": RISING}
    trainer(tmp_path, **figures, shard=True)
    trainer(tmp_path, **figures, processes=ProcessGroup(0, 2))
    assert given_back == []
    trainer(tmp_path, **figures, shard=True, processes=ProcessGroup(0, 2))
    assert given_back == [True]


@pytest.mark.parametrize("build", [*usable_builds(), "off"])
def test_the_device_line_names_the_kernels_or_says_that_there_are_none(
    build: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQ2SEQ_NATIVE", build)
    line = str(Machine(torch.device("cpu"), torch.float32))
    assert line.endswith(f", float32, kernels: {'none' if build == 'off' else build}")


class Portions:
    """A stream whose second portion is empty and whose fourth cannot be read."""

    def __init__(self, pairs: TokenPairs) -> None:
        self.pairs = pairs

    def pairs_for_epoch(self, seed: int, epoch: int) -> TokenPairs:
        if epoch == 3:
            raise InputError("line 9 is damaged")
        return TokenPairs(Sentences([]), Sentences([])) if epoch == 1 else self.pairs


def test_an_error_of_the_data_saves_first_and_an_empty_portion_is_passed_over(
    tmp_path: Path,
) -> None:
    broken = trainer(tmp_path, losses=FALLING, scores=RISING, checkpoint_every=1000)
    broken.prefetcher = Prefetcher(
        Portions(broken.experiment.pairs), broken.config, pin_memory=False
    )
    with pytest.raises(InputError, match="line 9 is damaged"):
        broken.train()
    state = broken.run.checkpoints.load_state()
    assert (state.update, state.epoch, state.batch) == (2, 3, 0)
