"""What training says of its progress, and when, by a clock that the tests set."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from seq2seq_cli.cli.progress import PlainListener, duration, make_listener, remaining_seconds
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.training_state import TrainingState
from seq2seq_cli.training.distributed import ProcessGroup
from seq2seq_cli.training.progress import Progress, Reporter, SilentListener, UpdateFigures


@dataclass
class Lines(SilentListener):
    """Records the figures of each line and of each redrawing."""

    lines: list[Progress] = field(default_factory=list)
    redrawn: list[Progress] = field(default_factory=list)

    def progressed(self, progress: Progress) -> None:
        self.lines.append(progress)

    def ticked(self, progress: Progress) -> None:
        self.redrawn.append(progress)


@dataclass
class Training:
    """Updates of the same length in seconds, with the loss of their number, of 2 tokens each."""

    folder: Path
    seconds: float
    time: float = 1000.0
    listener: Lines = field(default_factory=Lines)
    state: TrainingState = field(default_factory=TrainingState)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        run = RunFolder(self.folder)
        self.reporter = Reporter(run, self.listener, ProcessGroup(), now=lambda: self.time)

    def update(self, times: int = 1) -> None:
        for _ in range(times):
            self.time += self.seconds
            self.state.update += 1
            figures = UpdateFigures(2.0 * self.state.update, 2, 0.001, 1.0)
            self.reporter.updated(self.state, figures, epoch=0.5, end_reason=lambda: None)

    def show(self) -> None:
        self.reporter.show(self.state, 0.5)

    @property
    def updates_of_lines(self) -> list[int]:
        return [line.update for line in self.listener.lines]


def progress(update: int = 10, epoch: float = 0.5, seconds: float = 100.0) -> Progress:
    return Progress(update, epoch, 2.0, 0.001, 1.0, 99.0, seconds, 500, None)


def test_the_first_line_comes_after_the_first_update_however_slow_the_machine(
    tmp_path: Path,
) -> None:
    slow = Training(tmp_path, seconds=45.0)
    slow.update(3)
    assert slow.updates_of_lines == [1, 2, 3]


def test_lines_come_by_time_whatever_the_number_of_updates(tmp_path: Path) -> None:
    fast = Training(tmp_path, seconds=0.25)
    fast.update(4 * 121)
    seconds = [(line.update / 4) for line in fast.listener.lines]
    assert seconds == [0.25, 1.25, 2.5, 5.0, 10.0, 20.0, 40.0, 70.0, 100.0]


def test_a_line_has_the_figures_of_all_updates_since_the_one_before(tmp_path: Path) -> None:
    training = Training(tmp_path, seconds=0.5)
    training.update(3)
    first, second = training.listener.lines
    assert (first.update, first.loss) == (1, 1.0)
    assert (second.update, second.loss) == (3, 2.5)  # the mean of 2 and 3
    assert first.tokens_per_second == second.tokens_per_second == 4.0


def test_records_do_not_depend_on_the_lines(tmp_path: Path) -> None:
    """A resumed training writes the same records as one that was never interrupted."""
    records = []
    for seconds in (0.001, 40.0):
        training = Training(tmp_path / str(seconds), seconds=seconds)
        training.update(120)
        path = training.folder / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [line.count('"training"') for line in lines] == [1, 1]
        records.append([line.partition('"loss": ')[2].partition(",")[0] for line in lines])
    assert records == [["25.5", "75.5"]] * 2


def test_a_checkpoint_has_the_time_of_training_and_the_loss_of_the_last_record(
    tmp_path: Path,
) -> None:
    training = Training(tmp_path, seconds=0.5)
    training.state.seconds = 100.0  # of the sessions before
    training.update(120)
    assert training.state.seconds == pytest.approx(160.0)
    assert training.listener.lines[-1].seconds > 100
    assert training.state.train_loss == 75.5


def test_what_a_line_has_not_shown_is_shown_before_a_validation_and_only_once(
    tmp_path: Path,
) -> None:
    training = Training(tmp_path, seconds=0.01)
    training.show()  # a validation comes first when a run is resumed
    assert training.updates_of_lines == []
    training.update(20)
    training.show()
    training.show()
    assert training.updates_of_lines == [1, 20]


def test_a_live_display_is_redrawn_once_a_second_between_the_lines(tmp_path: Path) -> None:
    training = Training(tmp_path, seconds=0.25)
    training.update(4 * 4)
    assert [each.update for each in training.listener.redrawn] == [9, 14]
    assert training.updates_of_lines == [1, 5, 10]


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({"max_updates": 40}, 300.0),
        ({"max_updates": 0, "max_epochs": 2}, 300.0),
        ({"max_updates": 0, "max_minutes": 5}, 200.0),
        ({"max_updates": 40, "max_epochs": 4, "max_minutes": 5}, 200.0),
        ({"max_updates": 40, "max_epochs": 1, "max_minutes": 5}, 100.0),
        ({"max_updates": 20, "max_epochs": 3, "max_minutes": 500}, 100.0),
    ],
)
def test_the_eta_is_that_of_the_limit_that_is_reached_first(
    limits: dict[str, int], seconds: float
) -> None:
    assert remaining_seconds(TrainingConfig(**limits), progress()) == pytest.approx(seconds)  # type: ignore[arg-type]


def test_the_eta_is_never_negative() -> None:
    """The last update ends after the limit, and validations follow it."""
    config = TrainingConfig(max_minutes=1)
    late = progress(seconds=62.0)
    assert remaining_seconds(config, late) == 0.0
    assert "ETA 0:00:00" in PlainListener(config).line(late)


def test_without_a_limit_there_is_no_eta() -> None:
    config = TrainingConfig(max_updates=0, patience=3)
    assert remaining_seconds(config, progress()) is None
    assert "ETA -" in PlainListener(config).line(progress())
    assert duration(3725.4) == "1:02:05"


def test_quiet_training_prints_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    make_listener(TrainingConfig(), quiet=True).progressed(progress())
    make_listener(TrainingConfig(), quiet=False).progressed(progress())
    assert capsys.readouterr().err.count("update 10 ") == 1
