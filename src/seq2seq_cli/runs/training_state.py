"""Where training stands, apart from tensors: the file state.json of a checkpoint."""

import dataclasses
import json
from dataclasses import field

from seq2seq_cli.data.contents import Hashes
from seq2seq_cli.deferred import dataclass

# Names in state.json as older versions wrote them -> names of today.
OLDER_NAMES = {
    "validated": "last_validation",
    "without_better": "without_improvement",
    "kept": "saved_weights",
    "window": "since_report",
}


@dataclass(frozen=True)
class ValidatedWeights:
    """The weights after an update, with the value of the stop metric and the validation loss."""

    update: int
    value: float
    loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Greater is better. The loss decides between equal values, as while BLEU is still 0."""
        return self.value, -self.loss


@dataclass
class ReportSums:
    """Sums over the updates since the last report."""

    loss: float = 0.0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class ScheduleEnd:
    """The update at which a linear schedule ends, so that it ends within a limit of minutes."""

    update: int
    minutes: float


@dataclass
class TrainingState:
    """Where training stands, apart from the weights, the optimizer and the random state."""

    data: str = ""  # fingerprint of all tokenised pairs
    files: Hashes = field(default_factory=dict)  # of the text; older checkpoints have none
    update: int = 0
    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    seconds: float = 0.0  # of training, over all sittings
    target_tokens: int = 0  # predicted so far
    last_validation: int = 0  # its update
    best: ValidatedWeights | None = None
    without_improvement: int = 0  # since the best one
    best_bleu: float | None = None  # for display, whatever the stop metric is
    saved_weights: list[ValidatedWeights] = field(default_factory=list)  # in training/weights
    snapshots: list[int] = field(default_factory=list)  # updates of weights there, not validated
    since_report: ReportSums = field(default_factory=ReportSums)
    train_loss: float | None = None  # in the last report
    schedule_end: ScheduleEnd | None = None  # None: at max_updates
    processes: int = 1  # that trained together

    def to_json(self) -> str:
        """The content of state.json."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "TrainingState":
        """Read state.json, of older versions too. Raises ValueError, KeyError or TypeError."""
        values = {OLDER_NAMES.get(name, name): value for name, value in json.loads(text).items()}
        best, end = values.pop("best"), values.pop("schedule_end", None)
        return cls(
            best=ValidatedWeights(**best) if best else None,
            schedule_end=ScheduleEnd(**end) if end else None,
            saved_weights=[ValidatedWeights(**entry) for entry in values.pop("saved_weights")],
            since_report=ReportSums(**values.pop("since_report", {})),
            **values,
        )
