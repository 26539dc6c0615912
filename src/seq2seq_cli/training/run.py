"""From settings to a trained run folder."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch

from seq2seq_cli.data.lexicon import likeliest_translations
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.devices import choose_precision, return_memory
from seq2seq_cli.evaluation.metrics import ScoreOptions
from seq2seq_cli.kernels.library import library
from seq2seq_cli.messages import Warn, ignore_warning
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.runs.run_config import RunConfig, RunFacts
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import SearchOptions
from seq2seq_cli.symbols import PIECES
from seq2seq_cli.training.data_faults import faults_of
from seq2seq_cli.training.diagnosis import diagnose
from seq2seq_cli.training.distributed import ALONE, ProcessGroup
from seq2seq_cli.training.initial_model import build_model
from seq2seq_cli.training.machine import Machine
from seq2seq_cli.training.planning.completion import (
    warn_of_long_warmup,
    with_chosen_bleu,
    with_chosen_settings,
    with_measured_batches,
)
from seq2seq_cli.training.planning.resuming import resolve
from seq2seq_cli.training.planning.run_plan import RunPlan
from seq2seq_cli.training.preparation import PreparedData, prepare_on_all
from seq2seq_cli.training.process_checks import (
    check_alike,
    check_folder_is_shared,
    check_pairs_for_all,
)
from seq2seq_cli.training.progress import Listener, SilentListener
from seq2seq_cli.training.trackers import check_trackers
from seq2seq_cli.training.trainer import Experiment, Trainer
from seq2seq_cli.training.validation import Validator, data_statistics
from seq2seq_cli.translation import TranslationSettings, Translator

SHORTLIST_TRANSLATIONS = 50  # of each source token
SHORTLIST_COMMON = 100  # target tokens on every list
SILENT = SilentListener()


def train_run(
    config: RunConfig,
    path: Path,
    *,
    warn: Warn,
    device: torch.device,
    listener: Listener = SILENT,
    restart: bool = False,
    cache: Path | None = None,
    accept_data: bool = False,
    processes: ProcessGroup = ALONE,
) -> str:
    """Train in a run folder, from the beginning or from its last checkpoint; returns why it ended.

    With several processes each calls this with the same arguments; only rank 0 writes in the folder
    and uses `listener` and `warn`.

    Tokenised corpora are cached in the folder `cache`; without one, large corpora are cached in the
    user's own folder, and small ones not at all. A new run refuses data that is surely a mistake,
    unless told to `accept_data`. Raises InputError if the folder holds another run
    or is being trained in, or if the data cannot be used, AlreadyFinishedError if the run is at its
    end, and InterruptedTrainingError after a signal, everything saved.
    """
    library()  # a build of the kernels that is missing is an error before there is work to lose
    run = RunFolder(path)
    if not processes.may_write:
        listener, warn = SILENT, ignore_warning
    with run.locked(warn) if processes.may_write else nullcontext():
        check_alike(processes, config)
        plan = processes.from_first(lambda: resolve(config, path, restart=restart))
        check_trackers(plan.config.training)
        if config.training.shard:
            check_folder_is_shared(path, processes)
        data = prepare_on_all(
            plan.config,
            plan.tokenizers,
            cache=cache,
            listener=listener,
            warn=warn,
            processes=processes,
        )
        precision = choose_precision(plan.config.training.precision, device)
        machine = Machine(device, precision, processes.world_size)

        def completed() -> RunPlan:
            plan.check_data(data.fingerprint, data.files, warn)
            if not plan.is_resumed:
                faults_of(data, plan.config.data).tell(listener, warn, accept=accept_data)
            return with_chosen_settings(plan, data=data, machine=machine, listener=listener)

        plan = processes.from_first(completed)
        plan, model = build_model(plan, data=data, machine=machine, listener=listener)

        def measured() -> RunPlan:
            sized = with_measured_batches(
                plan, data=data, model=model, machine=machine, listener=listener
            )
            chosen = with_chosen_bleu(sized, data=data, listener=listener)
            if "training.warmup_updates" not in config.open_settings:
                warn_of_long_warmup(chosen.config.training, warn)
            check_pairs_for_all(processes, chosen.config.training, data.first)
            open_run(chosen, data)
            return chosen

        plan = processes.from_first(measured)
        listener.planned(plan.config.training)
        trainer = make_trainer(
            plan,
            data=data,
            model=model,
            machine=machine,
            listener=listener,
            processes=processes,
        )
        return trainer.train()


def open_run(plan: RunPlan, data: PreparedData) -> None:
    """Make the run folder, or note that its training continues.

    Nothing is removed before all input was found good.
    """
    run, config, tokenizers = plan.run, plan.config, data.tokenizers
    if plan.is_resumed:
        run.unfinish()
        run.config.write(config, tokenizers, run.config.facts())
        return
    run.clear()
    save_shortlist(run, data.first, tokenizers)  # before the settings: a kill leaves no run without
    facts = RunFacts() if plan.pretrained is None else plan.pretrained.inherited_facts()
    run.create(config, tokenizers, replace(facts, corpus=data.corpus))


def save_shortlist(run: RunFolder, pairs: TokenPairs, tokenizers: Tokenizers) -> None:
    """Learn from the training pairs which words `translate --shortlist` chooses from."""
    sizes = tokenizers.vocabulary
    translations = likeliest_translations(pairs, sizes.source, sizes.target, SHORTLIST_TRANSLATIONS)
    counts = pairs.target.token_counts(sizes.target)
    counts[: len(PIECES)] = counts.max() + 1  # control symbols first
    common = np.sort(np.argsort(-counts, kind="stable")[:SHORTLIST_COMMON]).astype(np.int64)
    run.save_shortlist(translations, common)
    return_memory()


def make_trainer(
    plan: RunPlan,
    *,
    data: PreparedData,
    model: TranslationModel,
    machine: Machine,
    listener: Listener,
    processes: ProcessGroup = ALONE,
) -> Trainer:
    """Bring everything together that training needs."""
    config, tokenizers = plan.config, data.tokenizers
    statistics = data_statistics(
        data.first,
        data.valid_pairs,
        data.valid_text,
        tokenizers.vocabulary,
        config.training.bleu_tokenize,
    )
    return Trainer(
        Experiment(
            model=model,
            pairs=data.pairs,
            config=config.training,
            run=plan.run,
            validate=make_validator(config, data=data, processes=processes),
            diagnose=partial(diagnose, statistics),
            listener=listener,
            device=machine.device,
            precision=machine.precision,
            data=data.fingerprint,
            files=data.files.hashes(),
            schedule_end=plan.schedule_end,
            language_tags=tuple(tokenizers.source.tags.values()),
            target_tags=(
                tuple(tokenizers.target.tags.values())
                if config.data.language_tags != "source"
                else ()
            ),
            processes=processes,
        )
    )


def make_validator(
    config: RunConfig, *, data: PreparedData, processes: ProcessGroup = ALONE
) -> Validator:
    """Make the validator of the model between updates."""
    training = config.training
    has_both = config.data.language_tags != "source"
    make_translator = partial(
        Translator,
        tokenizers=data.tokenizers,
        max_length=config.data.max_length,
        settings=TranslationSettings(
            search=SearchOptions(beam=training.valid_beam), unknown="keep"
        ),
        source_language=config.data.source_language if has_both else "",
        form=data.valid_pairs.form,
        language_tags=config.data.language_tags,
    )
    return Validator(
        text=data.valid_text,
        pairs=data.valid_pairs,
        make_translator=make_translator,
        batch_tokens=cast(int, training.batch_tokens),
        samples=training.valid_samples,
        scoring=ScoreOptions(tokenize=training.bleu_tokenize),
        processes=processes,
    )
