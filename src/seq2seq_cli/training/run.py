"""From settings to a trained run folder: text, tokenizer, batches, model and trainer in a row."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, compress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast

import numpy as np
import torch

from seq2seq_cli.config.settings import require, toml_value
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.alignments import Alignments, read_alignments
from seq2seq_cli.data.cache import Cache, default_cache
from seq2seq_cli.data.lexicon import likeliest_translations
from seq2seq_cli.data.pair_tokenizer import DataReport, PairTokenizer
from seq2seq_cli.data.parallel import (
    Corpus,
    ParallelText,
    parse_corpora,
    read_parallel,
    target_languages,
)
from seq2seq_cli.data.streaming import Stream
from seq2seq_cli.data.token_pairs import Mixture, Sentences, TokenPairs, TrainingPairs
from seq2seq_cli.data.token_store import tokenise_or_load, train_or_load_tokenizer
from seq2seq_cli.devices import (
    choose_precision,
    describe,
    return_memory,
)
from seq2seq_cli.errors import InputError
from seq2seq_cli.inference.precision import choose_search_precision
from seq2seq_cli.kernels.library import library
from seq2seq_cli.models import TranslationModel, Vocabulary, build, check_attends_to_source
from seq2seq_cli.runs.run_config import RunConfig
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import Predictor, SearchOptions
from seq2seq_cli.symbols import PIECES
from seq2seq_cli.text import Warn, check_input, ignore_warning
from seq2seq_cli.tokenization.language_tags import language_tag
from seq2seq_cli.tokenization.learning import TrainedTokenizer, train_tokenizer
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.training.diagnosis import findings
from seq2seq_cli.training.fine_tuning import Origin
from seq2seq_cli.training.memory import fitting_batch_tokens, is_out_of_memory, recompute_layers
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.torch_compile import compile_layers
from seq2seq_cli.training.trainer import Listener, Trainer, refuse_other_data
from seq2seq_cli.training.validation import Validator, data_figures
from seq2seq_cli.translation.translator import Translator

SHORTLIST_TRANSLATIONS = 50  # of each source token
SHORTLIST_COMMON = 100  # target tokens on every list

ALIGNMENTS_TRIED = 1000  # pairs

SMALL = 32 << 20  # bytes of text that are tokenised in seconds, and need no cache

# Limits that a user may raise to train a finished run further.
LIMITS = ("max_updates", "max_epochs", "max_minutes", "patience")


def train_run(
    config: RunConfig,
    path: Path,
    listener: Listener,
    warn: Warn,
    device: torch.device,
    *,
    restart: bool = False,
    cache: Path | None = None,
) -> str:
    """Train in a run folder, from the beginning or from its last checkpoint; returns why it ended.

    Tokenised corpora are kept in the folder `cache`; without one, large corpora are in the user's
    own, and small ones in memory. Raises InputError where the folder holds another run or the data
    cannot be used.
    """
    library()  # refuses a build that is not there before there is work to lose
    run = RunFolder(path)
    resumed = run.exists() and not restart
    config = with_hash_of_origin(with_languages(config), run, resumed=resumed)
    if not resumed:  # which begins with no other settings, and without its origin
        refuse_what_the_model_has_not(config)
    for file in config.data.alignments:
        check_input(Path(file))
    if resumed:
        config = with_batch_tokens(config, lambda: run.load_config().training.batch_tokens)
        if run.only_translates():
            raise InputError(
                f"{path} holds a model but no checkpoint to go on from; choose another --output, "
                "or --restart to begin anew"
            )
        refuse_changes(run.load_config(), config, path)
        finished = run.finished()
        if finished and not raises_limit(run.load_config().training, config.training):
            update, reason = finished
            raise AlreadyFinishedError(
                f"{path} is finished since update {update:,}: {reason}. Raise a limit to train "
                "further, or --restart to begin anew"
            )
    elif not (run.is_own() if run.exists() else run.is_free()):
        raise InputError(
            f"{path} exists and is no run folder; choose another --output (nothing was changed)"
        )
    valid = read_parallel(_corpora(config, "valid_source", "valid_target"), warn)
    prepare = _streamed if config.data.stream else _stored
    known = run.load_tokenizers() if resumed else given_tokenizers(config)
    if known is not None:
        refuse_unknown_languages(config, known.source)
    text = prepare(config, known, cache, listener, warn)
    tokenizers, pairs = text.tokenizers, text.pairs
    return_memory()  # of learning a tokenizer
    for line in text.report:
        listener.said(line)
    valid_pairs = _encode(valid, tokenizers)

    data = text.first.fingerprint() + valid_pairs.fingerprint()
    if text.first.alignments is not None:
        listener.said(_alignment_note(text.first, text.first.alignments))
        data += text.first.alignments.digest()

    if resumed and run.checkpoints.exist():
        refuse_other_data(run.checkpoints.load_state(), data)  # before anything is written

    precision = choose_precision(config.training.precision, device)
    torch.manual_seed(config.training.seed)
    model = _built(config, tokenizers)
    count = sum(p.numel() for p in model.parameters())
    listener.said(f"model: {config.model.architecture}, {count:,} parameters")
    if config.training.init_from and not (resumed and run.checkpoints.exist()):
        for line in origin_of(config.training, path).give(model, tokenizers):
            listener.said(line)
    if config.training.freeze:
        frozen = model.freeze(config.training.freeze)
        listener.said(f"frozen: {', '.join(config.training.freeze)}, {frozen:,} parameters")
    listener.said(f"device: {describe(device, precision)}")
    if config.training.compile_layers:
        number = compile_layers(model.to(device), device)
        listener.said(f"compiled: {number} layers, at the first update")
    if config.training.recompute_layers:
        recompute_layers(model)
    if config.training.batch_tokens == "auto":
        objective = Objective(config.training, precision)
        config = with_batch_tokens(
            config, lambda: fitting_batch_tokens(model, text.first, objective, device)
        )
        listener.said(f"batches: {config.training.batch_tokens:,} tokens")
    batch_tokens = cast(int, config.training.batch_tokens)

    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from None
    if resumed:
        run.unfinish()
        run.config.write(config, tokenizers)
    else:
        run.clear()  # not before all input was found good
        save_shortlist(
            run, text.first, tokenizers
        )  # first: what a kill leaves out is not made later
        run.create(config, tokenizers)
    translator = Translator(
        Predictor([model]),
        tokenizers,
        config.data.max_length,
        SearchOptions(beam=config.training.valid_beam),
        precision=choose_search_precision("auto", device),
    )
    validator = Validator(
        valid, valid_pairs, translator, batch_tokens, config.training.valid_samples
    )
    diagnose = partial(
        findings, data_figures(text.first, valid_pairs, valid, tokenizers.vocabulary)
    )
    trainer = Trainer(
        *(model, pairs, config.training, run, validator, diagnose),
        *(listener, device, precision, data, tuple(tokenizers.source.tags.values())),
    )
    return trainer.train()


def _built(config: RunConfig, tokenizers: Tokenizers) -> TranslationModel:
    """A fresh model. Raises InputError for one that memory does not hold."""
    try:
        return build(config.model, tokenizers.vocabulary)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"a model of model.width = {config.model.width} with these settings does not fit into "
            "memory; set a smaller model.width, or fewer layers"
        ) from None


def with_hash_of_origin(config: RunConfig, run: RunFolder, *, resumed: bool) -> RunConfig:
    """The settings with the hash of the weights that training begins with, where there are such.

    A run that goes on has noted it: it needs its origin no more. Raises InputError if the settings
    ask for other weights than the origin holds.
    """
    training = config.training
    if not training.init_from or (resumed and training.init_sha256):
        return config
    if resumed:
        sha256 = run.load_config().training.init_sha256
    else:
        sha256 = origin_of(training, run.path).sha256
    return replace(config, training=replace(training, init_sha256=sha256))


def with_batch_tokens(config: RunConfig, found: Callable[[], int | Literal["auto"]]) -> RunConfig:
    """The settings with a number in the place of "auto": the one found when the run began."""
    if config.training.batch_tokens != "auto":
        return config
    return replace(config, training=replace(config.training, batch_tokens=found()))


def origin_of(training: TrainingConfig, output: Path) -> Origin:
    """The run that training begins from. Raises InputError if its weights are not those wanted."""
    origin = Origin.of(training.init_from, output)
    require(
        training.init_sha256 in ("", origin.sha256),
        f"{training.init_from} holds other weights than training.init_sha256 says; give the run "
        "that it was, or begin with this one under another --output",
    )
    return origin


def save_shortlist(run: RunFolder, pairs: TokenPairs, tokenizers: Tokenizers) -> None:
    """Learn from the training pairs which words `translate --shortlist` chooses from."""
    sizes = tokenizers.vocabulary
    translations = likeliest_translations(pairs, sizes.source, sizes.target, SHORTLIST_TRANSLATIONS)
    counts = pairs.target.token_counts(sizes.target)
    counts[: len(PIECES)] = counts.max() + 1  # control symbols first
    common = np.sort(np.argsort(-counts, kind="stable")[:SHORTLIST_COMMON]).astype(np.int64)
    run.save_shortlist(torch.from_numpy(translations), torch.from_numpy(common))
    return_memory()


class AlreadyFinishedError(Exception):
    """The run needs no training: its message says since when."""


def refuse_changes(old: RunConfig, new: RunConfig, path: Path) -> None:
    """Raise InputError with the differences if a run would go on with other settings."""
    old_tables, new_tables = old.tables(), new.tables()
    differences = []
    for section, table in new_tables.items():
        for key, value in table.items():
            before = old_tables[section].get(key)
            limit = section == "training" and key in LIMITS
            if limit and not (key == "max_updates" and new.training.schedule == "cosine"):
                continue
            if before != value:
                differences.append(
                    f"  {section}.{key}: {toml_value(before)} before, {toml_value(value)} now"
                )
    if differences:
        listing = "\n".join(differences)
        raise InputError(
            f"{path} was begun with other settings:\n{listing}\n"
            "Give the same ones to go on, another --output, or --restart to begin anew"
        )


def raises_limit(old: TrainingConfig, new: TrainingConfig) -> bool:
    """Whether some limit leaves more room than before; 0 is no limit."""
    return any(
        (getattr(new, name) or float("inf")) > (getattr(old, name) or float("inf"))
        for name in LIMITS
    )


@dataclass(frozen=True)
class TrainingText:
    """What is trained on."""

    tokenizers: Tokenizers
    pairs: TrainingPairs
    first: TokenPairs  # all, or the first part of a stream
    report: list[str]  # sentences for the user


def _corpora(
    config: RunConfig, source: str, target: str, *, streamed: bool = False
) -> list[Corpus]:
    """The corpora of two settings of the data section."""
    for name in (source, target):
        if not getattr(config.data, name):
            option = name.replace("_", "-")
            raise InputError(f"no data.{name} is given; name a text file with --{option}")
    sides = getattr(config.data, source), getattr(config.data, target)
    return parse_corpora(*sides, streamed=streamed)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt here, whatever it does otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stored(
    config: RunConfig,
    known: Tokenizers | None,
    cache_folder: Path | None,
    listener: Listener,
    warn: Warn,
) -> TrainingText:
    """Tokenise the training text once, and learn tokenizers from it unless they are known."""
    with TemporaryDirectory(prefix="seq2seq-") as folder:  # for what comes through pipes
        with _interruptible():  # or Ctrl-C would leave the folder
            train = [
                each.make_rereadable(Path(folder)) for each in _corpora(config, "source", "target")
            ]
        cache = _cache(train, cache_folder)

        def learn(sides: Sequence[int]) -> TrainedTokenizer:
            return train_or_load_tokenizer(train, sides, config.tokenizer, cache)

        tokenizers = known or learn_tokenizers(config, learn, listener)
        pair_tokenizer = PairTokenizer(tokenizers.source, tokenizers.target, config.data)
        found = [tokenise_or_load(corpus, pair_tokenizer, cache, warn) for corpus in train]
        links = config.data.alignments
        alignments = _aligned(train, found, tokenizers, links, warn) if links else None
    reports = [report for _, report in found]
    mixture = _mixture(config, [report.used for report in reports])
    pairs = TokenPairs.concatenate([pairs for pairs, _ in found], mixture)
    pairs.alignments = alignments
    pairs.sampler = pair_tokenizer.subword_sampler()
    lines = list(sum(reports, start=DataReport()).lines())
    if mixture is not None:
        shares = zip(train, mixture.sizes, mixture.shares, strict=True)
        lines += [f"  {share:.1%} {each.name}, {size:,} pairs" for each, size, share in shares]
    return TrainingText(tokenizers, pairs, pairs, lines)


def _mixture(config: RunConfig, sizes: Sequence[int]) -> Mixture | None:
    """How corpora of these sizes are mixed, where not every pair comes once an epoch."""
    data = config.data
    if len(sizes) == 1 or (not data.weights and data.temperature == 1):
        return None
    return Mixture.from_weights(sizes, data.weights or (1.0,) * len(sizes), data.temperature)


def _streamed(
    config: RunConfig,
    known: Tokenizers | None,
    cache_folder: Path | None,
    listener: Listener,
    warn: Warn,
) -> TrainingText:
    """Read the training text as it is needed; tokenizers are learned from its first part."""
    stream = Stream(_corpora(config, "source", "target", streamed=True), config.data, warn)

    def learn(sides: Sequence[int]) -> TrainedTokenizer:
        return train_tokenizer(stream.lines(sides), config.tokenizer, sides=len(sides))

    tokenizers = known or learn_tokenizers(config, learn, listener)
    pairs = stream.tokenise(PairTokenizer(tokenizers.source, tokenizers.target, config.data))
    told = f"a stream, {stream.pairs:,} pairs at a time; of the first:"
    return TrainingText(tokenizers, pairs, pairs.first, [told, *pairs.report.lines()])


def _cache(train: Sequence[Corpus], folder: Path | None) -> Cache | None:
    """Where tokens of these corpora are kept: in a folder that is named, or where it saves time."""
    if folder is not None:
        return Cache(folder)
    return Cache(default_cache()) if sum(each.size() for each in train) > SMALL else None


def with_languages(config: RunConfig) -> RunConfig:
    """The settings with the languages that targets are marked with.

    Raises InputError for validation text in none of them.
    """
    found = target_languages(config.data.target)
    valid = target_languages(config.data.valid_target)
    require(
        set(valid) <= set(found) and bool(valid) == bool(found),
        f"the targets are marked as being in {', '.join(found) or 'no language'}, those of the "
        f"validation text in {', '.join(valid) or 'none'}; mark them alike, as in de=valid.de",
    )
    require(
        not (found and config.data.alignments),
        "data.alignments cannot be used with targets that are marked with their language",
    )
    known = tuple(dict.fromkeys((*config.tokenizer.languages, *found)))
    return replace(config, tokenizer=replace(config.tokenizer, languages=known))


def refuse_unknown_languages(config: RunConfig, tokenizer: Tokenizer) -> None:
    """Raise InputError if the source tokenizer lacks the tag of a language."""
    for language in config.tokenizer.languages:
        require(
            language in tokenizer.tags,
            f"the source tokenizer has no symbol {language_tag(language)}; learn one with `seq2seq "
            f"tokenizer train --language {language}`, or give none",
        )


def given_tokenizers(config: RunConfig) -> Tokenizers | None:
    """The tokenizers that the settings name, or the origin's, or none."""
    data = config.data
    if data.source_tokenizer:
        source = Tokenizer.load(Path(data.source_tokenizer))
        if data.target_tokenizer == data.source_tokenizer:
            return Tokenizers(source, source)
        return Tokenizers(source, Tokenizer.load(Path(data.target_tokenizer)))
    if config.training.init_from:
        return RunFolder(Path(config.training.init_from)).load_tokenizers()
    return None


def learn_tokenizers(
    config: RunConfig, learn: Callable[[Sequence[int]], TrainedTokenizer], listener: Listener
) -> Tokenizers:
    """Learn tokenizers: one of both sides, 0 source and 1 target, or one of each."""

    def one(name: str, *sides: int) -> Tokenizer:
        trained = learn(sides)
        for note in trained.notes:
            listener.said(f"{name}tokenizer: {note}")
        return trained.tokenizer

    if config.data.joint_vocabulary:
        joint = one("", 0, 1)
        return Tokenizers(joint, joint)
    return Tokenizers(one("source ", 0), one("target ", 1))


def _encode(text: ParallelText, tokenizers: Tokenizers) -> TokenPairs:
    return TokenPairs(
        Sentences(tokenizers.source.encode(text.source)),
        Sentences(tokenizers.target.encode(text.target)),
    )


def _aligned(
    train: Sequence[Corpus],
    found: Sequence[tuple[TokenPairs, DataReport]],
    tokenizers: Tokenizers,
    links: Sequence[str],
    warn: Warn,
) -> Alignments:
    """The alignments, in files `links`, of those pairs of all corpora that are learned from."""
    is_used = np.zeros(sum(report.read for _, report in found), dtype=bool)
    first = 0
    for pairs, report in found:
        for lines in pairs.line_numbers:
            is_used[first + lines] = True
        first += report.read
    text = chain.from_iterable(corpus.pairs(ignore_warning) for corpus in train)
    alignments = Alignments(
        compress(read_alignments([Path(file) for file in links], text, warn), is_used),
        tokenizers.source.vocabulary,
        tokenizers.target.vocabulary,
    )
    require(
        len(alignments.links) > 0,
        f"{', '.join(links)}: no link in any line of the pairs that are used, and so nothing to "
        "guide attention by; leave data.alignments out, or align the text again",
    )
    return alignments


def _alignment_note(pairs: TokenPairs, alignments: Alignments) -> str:
    """What the user should know of alignments: how many pairs they can be used for."""
    rows = np.linspace(0, len(pairs) - 1, min(len(pairs), ALIGNMENTS_TRIED)).astype(int).tolist()
    alike = [alignments.words_match(row, pairs.source[row], pairs.target[row]) for row in rows]
    note = f"alignments: {len(alignments.links):,} links"
    if all(alike):
        return note
    return (
        f"{note}; {alike.count(False) / len(alike):.1%} of the pairs are not guided, since the "
        "tokenizer's normalisation divides them into other words than spaces do"
    )


def refuse_what_the_model_has_not(config: RunConfig) -> None:
    """Raise InputError, before anything is read, if attention to the source is to be guided where
    there is none, or a part frozen that is none.
    """
    training, joint = config.training, config.data.joint_vocabulary
    if not (training.freeze or training.guided_alignment):
        return
    if training.freeze and (known := given_tokenizers(config)):
        joint = known.vocabulary.joint
    with torch.device("meta"):  # without weights, and without drawing any
        model = build(config.model, Vocabulary(len(PIECES), len(PIECES), joint))
    model.freeze(training.freeze)
    if training.guided_alignment:
        guided = f"training.guided_alignment = {training.guided_alignment}"
        check_attends_to_source(model, guided)
