"""The plan of a run that begins."""

from pathlib import Path

import torch

from seq2seq_cli.config.data import check_language_code
from seq2seq_cli.config.models import check_attends_to_source
from seq2seq_cli.config.settings import require, toml_value
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.inputs import check_input
from seq2seq_cli.messages import ignore_warning
from seq2seq_cli.models import Vocabulary, build
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.symbols import PIECES
from seq2seq_cli.text import read_lines
from seq2seq_cli.tokenization.extension import read_pieces
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.training.fine_tuning import PretrainedRun, extended
from seq2seq_cli.training.planning.run_plan import RunPlan


def plan_new_run(config: RunConfig, run: RunFolder) -> RunPlan:
    """Plan a run that begins with these settings.

    Raises InputError if they do not fit together, or if the folder holds something else than a run.
    """
    # Only for new runs: older ones may have any code, and still continue.
    language = config.data.source_language
    check_language_code(language, f"data.source_language = {toml_value(language)}")
    pretrained = pretrained_run(config, run)
    tokenizers = given_tokenizers(config)
    check_model(config, tokenizers)
    require(
        run.is_own() if run.exists() else run.is_free(),
        f"{run.path} exists and is not a run folder; choose another --output (nothing was changed)",
    )
    return RunPlan(
        run=run,
        config=config,
        is_resumed=False,
        tokenizers=tokenizers,
        pretrained=pretrained,
        state=None,
    )


def pretrained_run(config: RunConfig, run: RunFolder) -> PretrainedRun | None:
    """The run that training begins from. Raises InputError if its weights are not those named."""
    training = config.training
    if not training.init_from:
        return None
    pretrained = PretrainedRun.at(training.init_from, run.path)
    pretrained.check(training.init_sha256, pretrained.sha256)
    return pretrained


def given_tokenizers(config: RunConfig) -> Tokenizers | None:
    """The tokenizers that the settings name, or those of the pretrained run, or None."""
    data = config.data
    if data.source_tokenizer:
        source = Tokenizer.load(Path(data.source_tokenizer))
        if data.target_tokenizer == data.source_tokenizer:
            return Tokenizers(source, source)
        target = Tokenizer.load(Path(data.target_tokenizer))
        before = _pretrained_tokenizers(config)
        if before is not None and before.is_joint and before.are(source, target):
            return before
        return Tokenizers(source, target)
    before, training = _pretrained_tokenizers(config), config.training
    return before and extended(before, added_pieces(training), training.add_languages)


def _pretrained_tokenizers(config: RunConfig) -> Tokenizers | None:
    if not config.training.init_from:
        return None
    return RunFolder(Path(config.training.init_from)).load_tokenizers()


def added_pieces(training: TrainingConfig) -> list[str]:
    """The pieces of training.add_pieces. Raises InputError for a file that cannot be used."""
    if not training.add_pieces:
        return []
    path = Path(training.add_pieces)
    check_input(path)
    return read_pieces(list(read_lines(path, ignore_warning)), str(path))


def check_model(config: RunConfig, tokenizers: Tokenizers | None) -> None:
    """Raise InputError if the model lacks a component to freeze, or the attention to guide."""
    training = config.training
    if not (training.freeze or training.guided_alignment):
        return
    joint = tokenizers.vocabulary.joint if tokenizers else config.data.joint_vocabulary
    with torch.device("meta"):  # without weights, and without drawing any
        model = build(config.model, Vocabulary(len(PIECES), len(PIECES), joint))
    model.freeze(training.freeze)
    if training.guided_alignment:
        guided = f"training.guided_alignment = {training.guided_alignment}"
        check_attends_to_source(model.config, guided)
