"""How a run is to be trained, as far as this is known before its text is read."""

from dataclasses import dataclass, replace
from typing import Literal

from seq2seq_cli.config.training import BleuTokenizer
from seq2seq_cli.data.contents import InputFiles
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.runs.training_state import ScheduleEnd, TrainingState
from seq2seq_cli.training.fine_tuning import PretrainedRun


class AlreadyFinishedError(Exception):
    """The run needs no training: its message says since when."""


@dataclass(frozen=True)
class RunPlan:
    """How a run is to be trained, as far as this is known before its text is read."""

    run: RunFolder
    config: RunConfig  # complete, but for what is chosen by the text, the device, the weights
    is_resumed: bool
    tokenizers: Tokenizers | None  # None if they are to be learned
    pretrained: PretrainedRun | None  # the run whose weights the model begins with
    state: TrainingState | None  # of the checkpoint that training continues from
    schedule_end: ScheduleEnd | None = None  # of a new run, if minutes limit its schedule
    finished: str = ""  # what to say of a run at its end, once its data was compared

    def check_data(self, fingerprint: str, files: InputFiles, warn: Warn) -> None:
        """Compare the data, of this fingerprint, with what training began with.

        Raises InputError if it differs, and AlreadyFinishedError if it does not and the run is at
        its end. Warns if only the later part of a stream has changed.
        """
        if self.state is not None:
            changed = files.changed(self.state.files)
            if self.state.data != fingerprint:
                which = ": what has changed is " + ", ".join(changed) if changed else ""
                raise InputError(
                    f"the data is not what this run began with{which}; give the same files, or "
                    "--restart to begin again"
                )
            if changed and self.config.data.stream:
                warn(
                    f"{', '.join(changed)}: not what this run began with, though its first portion "
                    "is the same; training continues with what it is now"
                )
        if self.finished:
            raise AlreadyFinishedError(self.finished)


def with_batch_tokens(config: RunConfig, tokens: int | Literal["auto"]) -> RunConfig:
    """The settings with this number of tokens in a batch instead of "auto"."""
    return replace(config, training=replace(config.training, batch_tokens=tokens))


def with_bleu_tokenizer(config: RunConfig, name: BleuTokenizer) -> RunConfig:
    """The settings with this tokenizer of validation's BLEU instead of "auto"."""
    return replace(config, training=replace(config.training, bleu_tokenize=name))


def with_pretrained_hash(config: RunConfig, sha256: str) -> RunConfig:
    """The settings with the hash of the weights that training begins with."""
    return replace(config, training=replace(config.training, init_sha256=sha256))
