"""Loads run folders, several as an ensemble, for a translator."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seq2seq_cli.config.data import LanguageTags
from seq2seq_cli.config.models import ModelConfig, check_attends_to_source
from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.config.settings import require
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.devices import check_torch, is_cpu
from seq2seq_cli.kernels.library import library
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search.engine import EnginePredictor, engine_serves, unserved_options
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.search.shortlist import Shortlist
from seq2seq_cli.tokenization.sentence_form import SentenceForm
from seq2seq_cli.tokenization.sentences import source_language
from seq2seq_cli.translation.languages import Languages, check_languages, languages_of
from seq2seq_cli.translation.settings import DEFAULT_SEARCH, SplitSentences, TranslationSettings


@dataclass(frozen=True)
class LoadedRuns:
    """Models, the tokenizers that they share, and the settings resolved for them."""

    predictor: Predictor
    tokenizers: Tokenizers
    settings: TranslationSettings  # with the search that an imported run asks for
    max_length: int  # source tokens that all models have learned to read
    aligns: bool
    source_language: str  # "": the script of a line decides
    splits_sentences: bool  # lines of several sentences are split
    slow_reason: str  # why no kernels translate on a CPU; "" if they do, and on other devices
    form: SentenceForm
    languages: Languages


def load_runs(runs: Sequence[Path], settings: TranslationSettings) -> LoadedRuns:
    """Load run folders onto the device of the settings.

    Raises InputError for folders that are not runs or are damaged, for runs that do not share
    their tokenizers, and for settings that do not fit them.
    """
    require(len(runs) > 0, "name at least one run folder to load")
    library()  # a missing build of the kernels is an error before there is work to lose
    folders = [RunFolder(run) for run in runs]
    settings = with_author_search(folders[0], settings)
    max_length = min(folder.load_config().data.max_length for folder in folders)
    tokenizers = _shared_tokenizers(runs, folders)
    shortlist = None
    if settings.shortlist:
        sizes = tokenizers.vocabulary
        shortlist = Shortlist(*folders[0].load_shortlist(sizes), sizes.target)
    predictor = make_predictor(folders, settings, shortlist)
    for run, folder in zip(runs, folders, strict=True):
        require(
            folder.config.vocabulary() == tokenizers.vocabulary,
            f"{run}: its tokenizers do not have the vocabulary that its config.toml says",
        )
    for run, config in zip(runs, predictor.configs, strict=True):
        if settings.alignments == "required":
            check_attends_to_source(config, f"{run}: word alignment")
        if settings.search.coverage_penalty > 0:
            check_attends_to_source(config, "a coverage penalty")
    form, placement = _shared_form(runs, folders, tokenizers)
    language = settings.source_language or next(filter(None, map(_source_language, folders)), "")
    languages = languages_of(tokenizers, settings, placement, language)
    check_languages(runs[0], languages)
    aligns = settings.alignments != "off" and predictor.attends_to_source
    return LoadedRuns(
        predictor=predictor,
        tokenizers=tokenizers,
        settings=settings,
        max_length=max_length,
        aligns=aligns,
        source_language=language,
        splits_sentences=splits_sentences(folders, settings.split_sentences),
        slow_reason=why_no_kernels(predictor.configs, settings) if is_cpu(settings.device) else "",
        form=form,
        languages=languages,
    )


def with_author_search(run: RunFolder, settings: TranslationSettings) -> TranslationSettings:
    """The settings, with the search of a run's author unless they say how to search."""
    if settings.search is not DEFAULT_SEARCH:
        return settings
    return replace(settings, search=SearchOptions(**run.config.facts().search))


def make_predictor(
    runs: Sequence[RunFolder], settings: TranslationSettings, shortlist: Shortlist | None
) -> Predictor:
    """Load the models of run folders: in kernels on a CPU if there are any, else in PyTorch."""
    reason = why_no_kernels([run.load_config().model for run in runs], settings)
    if is_cpu(settings.device) and not reason:
        eight_bits = settings.precision == "int8"
        models = [run.load_packed_model(eight_bits=eight_bits) for run in runs]
        return EnginePredictor(models, settings.weights, shortlist, eight_bits=eight_bits)
    check_torch(reason or settings.device)
    from seq2seq_cli.translation.loading_in_torch import make_torch_predictor

    return make_torch_predictor([run.load_model() for run in runs], settings, shortlist)


def why_no_kernels(configs: Sequence[ModelConfig], settings: TranslationSettings) -> str:
    """Why models do not run in kernels on a CPU; an empty string if they do."""
    if library() is None:
        return "no kernels for this processor were compiled at installation, or they are turned off"
    if settings.precision == "bfloat16":
        return "there are no kernels for --precision bfloat16"
    if unserved := unserved_options(settings.search):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in unserved)
        return f"there are no kernels for {names}"
    if not engine_serves(configs):
        return "there are no kernels for this model"
    return ""


def _source_language(run: RunFolder) -> str:
    return source_language(run.load_config().data)


def splits_sentences(runs: Sequence[RunFolder], how: SplitSentences) -> bool:
    """Whether lines are translated sentence by sentence.

    With "auto" they are if a run was trained on lines of one sentence. Runs from before this was
    recorded are never split.
    """
    facts = [(run.config.facts().corpus, run.load_config().data) for run in runs]
    return how == "on" or (
        how == "auto"
        and any(corpus is not None and corpus.has_single_sentences(data) for corpus, data in facts)
    )


def _shared_tokenizers(runs: Sequence[Path], folders: Sequence[RunFolder]) -> Tokenizers:
    """The tokenizers of the first run. Raises InputError if another run has different ones."""
    tokenizers = folders[0].load_tokenizers()
    for run, folder in zip(runs[1:], folders[1:], strict=True):
        other = folder.load_tokenizers()
        for side in ("source", "target"):
            require(
                getattr(other, side).sha256 == getattr(tokenizers, side).sha256,
                f"{runs[0]} and {run} have different {side} tokenizers; only runs with the same "
                "tokenizers (train with --source-tokenizer and --target-tokenizer) can be an "
                "ensemble",
            )
    return tokenizers


def _shared_form(
    runs: Sequence[Path], folders: Sequence[RunFolder], tokenizers: Tokenizers
) -> tuple[SentenceForm, LanguageTags]:
    """The form in which runs read sentences. Raises InputError if they read different things."""
    data = [folder.load_config().data for folder in folders]
    for run, other in zip(runs[1:], data[1:], strict=True):
        for name in ("source_eos", "source_prefix", "language_tags"):
            require(
                getattr(other, name) == getattr(data[0], name),
                f"{runs[0]} and {run} differ in data.{name}; such runs cannot be an ensemble",
            )
    return SentenceForm.of(data[0], tokenizers.source), data[0].language_tags
