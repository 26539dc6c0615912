"""Settings that are chosen once the text, the device and the model are known."""

from dataclasses import replace
from typing import cast

from seq2seq_cli.config.training import BleuTokenizer, TrainingConfig
from seq2seq_cli.evaluation.metrics import (
    USUAL_TOKENIZER,
    ScoreOptions,
    build_metrics,
    tokenizer_for,
)
from seq2seq_cli.messages import Warn
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.training.machine import Machine
from seq2seq_cli.training.memory import fitting_batch_tokens
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.planning.auto_planner import Planner
from seq2seq_cli.training.planning.run_plan import RunPlan, with_batch_tokens, with_bleu_tokenizer
from seq2seq_cli.training.preparation import PreparedData
from seq2seq_cli.training.progress import Listener


def with_chosen_settings(
    plan: RunPlan, *, data: PreparedData, machine: Machine, listener: Listener
) -> RunPlan:
    """The plan with values for the settings that the preset auto leaves open."""
    if not plan.config.open_settings:
        return plan
    planner = Planner(
        config=plan.config,
        pairs=data.first,
        valid_pairs=data.valid_pairs,
        vocabulary=data.tokenizers.vocabulary,
        device=machine.device,
        precision=machine.precision,
        listener=listener,
    )
    if plan.state is not None:
        return replace(plan, config=planner.extend(plan.run.load_config()))
    config, end = planner.choose()
    return replace(plan, config=config, schedule_end=end)


def warn_of_long_warmup(training: TrainingConfig, warn: Warn) -> None:
    """Warn of a warm-up as long as training, once the data was found good."""
    if 0 < training.max_updates <= training.warmup_updates:
        warn(
            "training.warmup_updates is not less than training.max_updates: the learning rate "
            "rises to the end of training and does not reach training.learning_rate before it"
        )


def with_measured_batches(
    plan: RunPlan,
    *,
    data: PreparedData,
    model: TranslationModel,
    machine: Machine,
    listener: Listener,
) -> RunPlan:
    """The plan with as many tokens in a batch as fit the device, if it says "auto".

    This is the one setting that cannot be completed before the model is there.
    """
    config = plan.config
    if config.training.batch_tokens != "auto":
        return plan
    objective = Objective(config.training, machine.precision)
    tokens = fitting_batch_tokens(model, data.first, objective, machine.device)
    listener.said(f"batches: {tokens:,} tokens")
    return replace(plan, config=with_batch_tokens(config, tokens))


def with_chosen_bleu(plan: RunPlan, *, data: PreparedData, listener: Listener) -> RunPlan:
    """The plan with a tokenizer for validation's BLEU, if its settings say "auto".

    Raises InputError if the tokenizer is not installed.
    """
    config = plan.config
    if config.training.bleu_tokenize != "auto":
        build_metrics(("bleu",), ScoreOptions(tokenize=config.training.bleu_tokenize))
        return plan
    name = tokenizer_for(data.valid_text.target)
    if name != USUAL_TOKENIZER:
        listener.said(f"validation: BLEU with the tokenizer {name}, by the script of the targets")
    return replace(plan, config=with_bleu_tokenizer(config, cast(BleuTokenizer, name)))
