"""Whether a run begins or continues, and its complete configuration, decided in one place."""

from dataclasses import replace
from pathlib import Path

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.training.planning.continued_run import plan_continued_run
from seq2seq_cli.training.planning.languages import check_languages, with_languages
from seq2seq_cli.training.planning.new_run import plan_new_run
from seq2seq_cli.training.planning.run_plan import RunPlan


def continues(run: RunFolder, *, restart: bool) -> bool:
    """Whether training in this folder continues the run that is there."""
    return run.exists() and not restart


def resolve(config: RunConfig, path: Path, *, restart: bool) -> RunPlan:
    """Decide whether a run begins or continues, and complete its configuration.

    Raises InputError if the folder holds another run or something else, and AlreadyFinishedError
    if the run is at its end.
    """
    run = RunFolder(path)
    config = with_languages(with_form_of_before(config, run, restart=restart))
    plan = (plan_continued_run if continues(run, restart=restart) else plan_new_run)(config, run)
    if plan.tokenizers is not None:
        check_languages(config, plan.tokenizers)
    return plan


def with_form_of_before(config: RunConfig, run: RunFolder, *, restart: bool) -> RunConfig:
    """The settings with what the run, or the one it begins from, says of EOS and tags.

    A model is read as it was trained. Settings that say something else stay.
    """
    before = None
    if continues(run, restart=restart):
        before = run
    elif config.training.init_from:
        before = RunFolder(Path(config.training.init_from))
    if before is None or not before.exists():
        return config
    data, default = before.load_config().data, DataConfig()
    found = {
        name: getattr(data, name)
        for name in ("source_eos", "source_prefix", "language_tags")
        if getattr(config.data, name) == getattr(default, name)
    }
    return replace(config, data=replace(config.data, **found))
