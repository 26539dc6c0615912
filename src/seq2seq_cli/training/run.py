"""From settings to a trained run folder."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast
from uuid import uuid4

import numpy as np
import torch

from seq2seq_cli import __version__
from seq2seq_cli.config.settings import require
from seq2seq_cli.config.training import BleuTokenizer, TrainingConfig
from seq2seq_cli.data.lexicon import likeliest_translations
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.devices import choose_precision, describe, return_memory
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.metrics import (
    USUAL_TOKENIZER,
    ScoreOptions,
    build_metrics,
    tokenizer_for,
)
from seq2seq_cli.kernels.library import build_in_use, library
from seq2seq_cli.messages import Warn, counted, ignore_warning
from seq2seq_cli.models import TranslationModel, build
from seq2seq_cli.runs.run_config import RunConfig, RunFacts
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import SearchOptions
from seq2seq_cli.symbols import PIECES
from seq2seq_cli.training.data_faults import faults_of
from seq2seq_cli.training.diagnosis import diagnose
from seq2seq_cli.training.distributed import ALONE, ProcessGroup
from seq2seq_cli.training.memory import (
    checkpoint_activations,
    fitting_batch_tokens,
    is_out_of_memory,
)
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.plan import Planner
from seq2seq_cli.training.preparation import PreparedData, check_no_pipes, prepare_data
from seq2seq_cli.training.progress import Listener, SilentListener
from seq2seq_cli.training.resuming import resolve
from seq2seq_cli.training.run_plan import (
    RunPlan,
    with_batch_tokens,
    with_bleu_tokenizer,
    with_pretrained_hash,
)
from seq2seq_cli.training.torch_compile import compile_layers
from seq2seq_cli.training.trackers import check_trackers
from seq2seq_cli.training.trainer import Experiment, Trainer
from seq2seq_cli.training.validation import Validator, data_statistics
from seq2seq_cli.translation import TranslationSettings, Translator

SHORTLIST_TRANSLATIONS = 50  # of each source token
SHORTLIST_COMMON = 100  # target tokens on every list
SILENT = SilentListener()


@dataclass(frozen=True)
class Machine:
    """The device that training runs on, and the type of the model's products there."""

    device: torch.device
    precision: torch.dtype
    processes: int = 1

    def __str__(self) -> str:
        """What users read about it; on a CPU also which build of the kernels is in use."""
        text = describe(self.device, self.precision)
        if self.processes > 1:
            text = f"{self.processes} processes, each {text}"
        if self.device.type != "cpu":
            return text
        return f"{text}, kernels: {build_in_use() or 'none'}"


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
        data = prepare_on_all(plan, processes, cache=cache, listener=listener, warn=warn)
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


def check_alike(processes: ProcessGroup, config: RunConfig) -> None:
    """End all processes with one error unless they have the same versions and settings."""
    facts = {
        "version of seq2seq-cli": __version__,
        "version of torch": torch.__version__,
        "settings": repr((config.tables(), sorted(config.open_settings))),
    }
    first, *others = processes.gather(facts)
    for rank, other in enumerate(others, start=1):
        different = [name for name, value in other.items() if value != first[name]]
        if different:
            processes.refuse(
                f"processes 0 and {rank} differ in their {' and '.join(different)}; start all of "
                "them with the same installation and the same command"
            )


def check_folder_is_shared(path: Path, processes: ProcessGroup) -> None:
    """Raise InputError unless all processes see the run folder, where each writes its shards."""

    def leave() -> Path:
        file = path / f".{uuid4().hex}.tmp"
        file.touch()
        return file

    file = processes.from_first(leave)
    sees = processes.gather(file.is_file())
    if processes.may_write:
        file.unlink(missing_ok=True)
    require(
        all(sees),
        f"process {sees.index(False) if not all(sees) else 0} does not see the run folder {path}; "
        "with training.shard = true every process writes to it: choose an --output on a disk that "
        "all of them see",
    )


def prepare_on_all(
    plan: RunPlan,
    processes: ProcessGroup,
    *,
    cache: Path | None,
    listener: Listener,
    warn: Warn,
) -> PreparedData:
    """Read and tokenise all text in every process.

    Rank 0 is first, so that tokenizers are learned once, and a cache of tokenised text is written
    by one process, with the cores of all that are on its machine, and read by the others. A stream
    is tokenised by all together. Raises InputError if a process has other text than rank 0.
    """
    workers = torch.get_num_threads() * processes.local_size

    def prepare(tokenizers: Tokenizers | None) -> PreparedData:
        if processes.world_size > 1:
            check_no_pipes(plan.config)
        return prepare_data(
            plan.config,
            tokenizers,
            cache=cache,
            listener=listener,
            warn=warn,
            workers=workers,
            processes=processes,
        )

    if processes.may_write or plan.config.data.stream:
        data = prepare(plan.tokenizers)
    tokenizers = processes.from_first(lambda: data.tokenizers)
    with processes.one_by_one():
        if not (processes.may_write or plan.config.data.stream):
            data = prepare(tokenizers)
    fingerprints = processes.gather(data.fingerprint)
    for rank, fingerprint in enumerate(fingerprints):
        if fingerprint != fingerprints[0]:
            processes.refuse(
                f"the text that process {rank} reads is not that of process 0; let all have the "
                "same files"
            )
    return data


def check_pairs_for_all(
    processes: ProcessGroup, training: TrainingConfig, pairs: TokenPairs
) -> None:
    """Raise InputError if an update has fewer pairs than there are processes, by their mean length.

    With fewer micro-batches than processes these are split further.
    """
    lengths = np.maximum(pairs.source.lengths, pairs.target.lengths) + 1
    batch_tokens = cast(int, training.batch_tokens)
    a_batch = max(1, min(len(pairs), int(batch_tokens / float(lengths.mean()))))
    require(
        processes.world_size <= a_batch * training.accumulate,
        f"{processes.world_size} processes, but an update has about "
        f"{counted(a_batch * training.accumulate, 'sentence pair')}, so some would have nothing to "
        f"do; start fewer, or set more than training.batch_tokens = {batch_tokens}",
    )


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


def build_model(
    plan: RunPlan, *, data: PreparedData, machine: Machine, listener: Listener
) -> tuple[RunPlan, TranslationModel]:
    """Build the model that training begins with; a checkpoint's weights come later.

    The plan returned names the hash of the pretrained weights, if there are any: what the model has
    got, since that run may have saved others while the text was read.
    """
    config, training = plan.config, plan.config.training
    torch.manual_seed(training.seed)
    model = _build(config, data.tokenizers)
    count = sum(p.numel() for p in model.parameters())
    listener.said(f"model: {config.model.architecture}, {count:,} parameters")
    if plan.pretrained is not None:
        sha256 = plan.pretrained.initialise(model, data.tokenizers, listener.said)
        plan.pretrained.check(training.init_sha256, sha256)
        plan = replace(plan, config=with_pretrained_hash(config, sha256))
    if training.freeze:
        frozen = model.freeze(training.freeze)
        listener.said(f"frozen: {', '.join(training.freeze)}, {frozen:,} parameters")
    listener.said(f"device: {machine}")
    if training.torch_compile:
        number = compile_layers(model.to(machine.device), machine.device)
        listener.said(f"torch.compile: {counted(number, 'layer')}, at the first update")
    if training.activation_checkpointing:
        checkpoint_activations(model)
    return plan, model


def _build(config: RunConfig, tokenizers: Tokenizers) -> TranslationModel:
    """A fresh model. Raises InputError if it does not fit into memory."""
    try:
        return build(config.model, tokenizers.vocabulary)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"a model of model.width = {config.model.width} with these settings does not fit into "
            "memory; set a smaller model.width, or fewer layers"
        ) from None


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
    """What validates the model between updates."""
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
