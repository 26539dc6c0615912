"""When training ends: the limits of a run, and the schedule that minutes let end with them."""

from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.messages import counted
from seq2seq_cli.runs.training_state import ScheduleEnd, TrainingState


def end_reason(config: TrainingConfig, state: TrainingState) -> str | None:
    """Why training is at its end, or None if it is not."""
    if state.best is not None and _is_good_enough(config, state.best.value):
        value = f"{abs(state.best.value):.2f}"
        return f"{config.stop_metric} reached {value}; the goal was {config.stop_score:g}"
    if 0 < config.max_updates <= state.update:
        return f"the limit of {counted(config.max_updates, 'update')} was reached"
    if 0 < schedule_end(config, state) <= state.update:
        updates = counted(state.update, "update")
        minutes = counted(config.max_minutes, "minute")
        return f"{updates} were done, as many as fit into {minutes}"
    if 0 < config.max_epochs <= state.epoch:
        return f"the limit of {counted(config.max_epochs, 'epoch')} was reached"
    if 0 < config.max_minutes * 60 <= state.seconds:
        return f"the limit of {counted(config.max_minutes, 'minute')} was reached"
    if 0 < config.patience <= state.without_improvement:
        validations = counted(config.patience, "validation")
        return f"{config.stop_metric} did not improve in {validations}"
    return None


def _is_good_enough(config: TrainingConfig, value: float) -> bool:
    """Whether a value of the stop metric, a loss negated, is the one at which training ends."""
    sign = -1 if config.stop_metric == "loss" else 1
    return config.stop_score > 0 and value >= sign * config.stop_score


def is_validation_due(config: TrainingConfig, state: TrainingState) -> bool:
    """Whether to validate: at an interval, and where a linear schedule ends."""
    is_end = config.schedule == "linear" and state.update in (
        config.max_updates,
        schedule_end(config, state),
    )
    is_due = is_end or state.update % config.validate_every == 0
    return is_due and state.update > state.last_validation


def schedule_end(config: TrainingConfig, state: TrainingState) -> int:
    """The update at which minutes let a linear schedule end; 0 if it ends at max_updates."""
    end = state.schedule_end
    is_now = end is not None and end.minutes == config.max_minutes
    return end.update if end is not None and is_now else 0


def fit_schedule(config: TrainingConfig, state: TrainingState) -> None:
    """Let a linear schedule end when the limit of minutes ends training, at the speed so far.

    It was planned by the speed of a few updates, and other work may come and go.
    """
    if config.schedule != "linear" or not config.max_minutes or not state.update:
        return
    if state.update == schedule_end(config, state):  # the rate is zero
        return
    left = 60 * config.max_minutes - state.seconds
    updates = state.update + max(0, int(left * state.update / max(state.seconds, 1e-9)))
    end = min(config.max_updates, updates)
    state.schedule_end = ScheduleEnd(end, config.max_minutes)
