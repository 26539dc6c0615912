"""`seq2seq train` with nothing but files: settings by the text, kept by a run that continues."""

import itertools
import signal

import pytest

from seq2seq_cli.runs.run_folder import RunFolder
from tests.integration.conftest import FILES
from tests.integration.test_resume import reports, result

LIMIT = ("--max-epochs", "20")


@pytest.fixture
def train(seq2seq, corpus):
    """A command with files and a limit alone, and the folder of its run."""

    def start(output, *more):
        files = itertools.chain.from_iterable(FILES.items())
        return seq2seq.start("train", *files, "--output", output, *(more or LIMIT), folder=corpus)

    return start


def test_a_stopped_training_keeps_its_plan_and_ends_in_the_same_bytes(train, corpus):
    whole = train("whole").finish()
    assert whole.code == 0, whole.stderr
    said = [line for line in whole.stderr.splitlines() if line.startswith("auto: ")]
    assert len(said) == 5
    training = RunFolder(corpus / "whole").load_config().training
    assert (training.schedule, training.batch_tokens) == ("linear", 512)
    assert f"{training.max_updates:,} updates, which are 20 epochs" in said[-1]
    assert training.warmup_updates == -(-training.max_updates // 10)

    process = train("stopped")
    process.wait_for_stderr(b"validation at update")
    process.send_signal(signal.SIGINT)
    assert process.finish().code == 128 + signal.SIGINT
    again = train("stopped").finish()
    assert again.code == 0, again.stderr
    assert "continuing from update" in again.stderr
    assert "auto: " not in again.stderr
    assert result(corpus / "stopped") == result(corpus / "whole")
    assert reports(corpus / "stopped") == reports(corpus / "whole")

    further = train("stopped", "--max-epochs", "30").finish()
    assert further.code == 0, further.stderr
    (extended,) = [line for line in further.stderr.splitlines() if line.startswith("auto: ")]
    more = RunFolder(corpus / "stopped").load_config().training
    assert more.max_updates > training.max_updates
    assert more.warmup_updates == training.warmup_updates
    assert f"{more.max_updates:,} updates in all, which are 30 epochs" in extended


def test_given_settings_win_over_the_chosen_ones(train, corpus):
    given = ["--set", "model.width=32", "--max-updates", "3", "--batch-tokens", "300"]
    done = train("run", *given).finish()
    assert done.code == 0, done.stderr
    config = RunFolder(corpus / "run").load_config()
    assert config.model.width == 32
    assert (config.training.max_updates, config.training.batch_tokens) == (3, 300)
    assert "batches of" not in done.stderr
