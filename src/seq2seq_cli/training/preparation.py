"""Training and validation text as token ids: corpora, tokenizers, token pairs, alignments."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.config.settings import require
from seq2seq_cli.data.alignments import Alignments, read_alignments
from seq2seq_cli.data.cache import Cache, default_cache
from seq2seq_cli.data.contents import InputFiles, files_at, files_of_corpora
from seq2seq_cli.data.pair_tokenizer import DataReport, PairTokenizer, tagged_pair
from seq2seq_cli.data.parallel import Corpus, ParallelText, parse_corpora, read_parallel
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.sentence_counts import share_of_several_sentences
from seq2seq_cli.data.streaming import Stream
from seq2seq_cli.data.token_pairs import Mixture, TokenPairs, TrainingPairs
from seq2seq_cli.data.token_store import tokenise_or_load
from seq2seq_cli.data.tokenizers import train_or_load_tokenizer
from seq2seq_cli.devices import return_memory
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import check_input
from seq2seq_cli.messages import Warn, counted, ignore_warning
from seq2seq_cli.runs.run_config import CorpusFacts, RunConfig
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.tokenization.learning import TrainedTokenizer, train_tokenizer_on_sides
from seq2seq_cli.tokenization.sentence_form import SentenceForm
from seq2seq_cli.tokenization.sentences import source_language
from seq2seq_cli.tokenization.text_form import SIDES, ChangedLines, plain
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.training.distributed import ALONE, ProcessGroup
from seq2seq_cli.training.progress import Listener
from seq2seq_cli.training.signals import keyboard_interrupts

ALIGNMENTS_TRIED = 1000  # pairs
TEXTS = ("data.source", "data.target")
SMALL = 32 << 20  # bytes of text that are tokenised in seconds and need no cache

Learn = Callable[[Sequence[int]], TrainedTokenizer]  # from sides: 0 is source, 1 target


@dataclass(frozen=True)
class TrainingText:
    """Training text as token ids."""

    tokenizers: Tokenizers
    pairs: TrainingPairs
    first: TokenPairs  # all pairs, or the first piece of a stream
    report: DataReport
    notes: list[str]  # the report and more, for the user
    files: InputFiles  # that the text was read from


@dataclass(frozen=True)
class PreparedData:
    """All that is trained and validated on."""

    tokenizers: Tokenizers
    pairs: TrainingPairs
    first: TokenPairs  # all training pairs, or the first piece of a stream
    report: DataReport  # on these
    valid_text: ParallelText
    valid_pairs: TokenPairs
    fingerprint: str
    files: InputFiles  # that the text was read from
    corpus: CorpusFacts  # to be recorded with the run


def prepare_data(
    config: RunConfig,
    tokenizers: Tokenizers | None,
    *,
    cache: Path | None,
    listener: Listener,
    warn: Warn,
    workers: int = 1,
    processes: ProcessGroup = ALONE,
) -> PreparedData:
    """Read and tokenise all text; tokenizers are learned from the training text if there are none.

    Text that is cached is tokenised by so many `workers`, processes of their own; a stream by all
    `processes`, which then call this together. Raises InputError if text is missing, damaged or of
    no use.
    """
    for file in config.data.alignments:
        check_input(Path(file))
    valid = _corpora(config, "valid_source", "valid_target")
    valid_text = read_parallel(valid, warn)
    if config.data.stream:
        text = _prepare_stream(config, tokenizers, listener, warn, processes)
    else:
        text = _prepare_stored(config, tokenizers, cache, listener, warn, workers)
    return_memory()  # that learning a tokenizer needed
    for line in text.notes:
        listener.said(line)
    if config.data.target_tokenizer:  # one that was learned here has said so
        for note in _changed_targets(valid_text.target, text.tokenizers.target):
            listener.said(note)
    valid_pairs = _encode(valid_text, text.tokenizers, config.data)
    fingerprint = text.first.fingerprint() + valid_pairs.fingerprint()
    if text.first.alignments is not None:
        listener.said(_alignment_note(text.first, text.first.alignments))
        fingerprint += text.first.alignments.digest()
    language = source_language(config.data)
    share = share_of_several_sentences(text.first, text.tokenizers.source, language)
    corpus = CorpusFacts(round(share, 4))
    is_split = corpus.has_single_sentences(config.data)
    by_sentence = "; `translate` splits lines of several sentences" * is_split
    listener.said(f"source lines of several sentences: {share:.1%}{by_sentence}")
    return PreparedData(
        tokenizers=text.tokenizers,
        pairs=text.pairs,
        first=text.first,
        report=text.report,
        valid_text=valid_text,
        valid_pairs=valid_pairs,
        fingerprint=fingerprint,
        files=text.files
        + files_of_corpora(valid, ("data.valid_source", "data.valid_target"))
        + files_at(config.data.alignments, "data.alignments"),
        corpus=corpus,
    )


def prepare_on_all(
    config: RunConfig,
    tokenizers: Tokenizers | None,
    *,
    cache: Path | None,
    listener: Listener,
    warn: Warn,
    processes: ProcessGroup,
) -> PreparedData:
    """Read and tokenise all text in every process, as `prepare_data` does in one.

    Rank 0 is first, so that tokenizers are learned once, and a cache of tokenised text is written
    by one process, with the cores of all that are on its machine, and read by the others. A stream
    is tokenised by all together. Raises InputError if a process has other text than rank 0.
    """
    workers = torch.get_num_threads() * processes.local_size

    def prepare(tokenizers: Tokenizers | None) -> PreparedData:
        if processes.world_size > 1:
            check_no_pipes(config)
        return prepare_data(
            config,
            tokenizers,
            cache=cache,
            listener=listener,
            warn=warn,
            workers=workers,
            processes=processes,
        )

    is_with_first = processes.may_write or config.data.stream
    if is_with_first:
        data = prepare(tokenizers)
    learned = processes.from_first(lambda: data.tokenizers)
    with processes.one_by_one():
        if not is_with_first:
            data = prepare(learned)
    fingerprints = processes.gather(data.fingerprint)
    for rank, fingerprint in enumerate(fingerprints):
        if fingerprint != fingerprints[0]:
            processes.refuse(
                f"the text that process {rank} reads is not that of process 0; let all have the "
                "same files"
            )
    return data


def check_no_pipes(config: RunConfig) -> None:
    """Raise InputError if text comes through a pipe, which only one process can read."""
    corpora = _corpora(config, "source", "target") + _corpora(
        config, "valid_source", "valid_target"
    )
    for corpus in corpora:
        require(
            corpus.can_be_reread(),
            f"{corpus.name} comes through a pipe, which several processes cannot read; write it "
            "to a file",
        )


def _corpora(
    config: RunConfig, source: str, target: str, *, streamed: bool = False
) -> list[Corpus]:
    """The corpora that two settings of the data section name."""
    for name in (source, target):
        if not getattr(config.data, name):
            option = name.replace("_", "-")
            raise InputError(f"no data.{name} is given; name a text file with --{option}")
    sides = getattr(config.data, source), getattr(config.data, target)
    return parse_corpora(
        *sides,
        config.data.reading,
        streamed=streamed,
        marked_sources=config.data.language_tags != "source",
    )


def _changed_targets(lines: Sequence[str], tokenizer: Tokenizer) -> Iterator[str]:
    """Say which validation targets a tokenizer that was given cannot write."""
    changed = ChangedLines()
    for line in lines:
        changed.compare(plain(line), tokenizer.normalize(line))
    return changed.notes("the tokenizer normalises them; one learned here would leave them")


def _encode(text: ParallelText, tokenizers: Tokenizers, data: DataConfig) -> TokenPairs:
    tagged = [tagged_pair(*pair, data) for pair in zip(text.source, text.target, strict=True)]
    pairs = TokenPairs(
        Sentences(tokenizers.source.encode([source for source, _ in tagged])),
        Sentences(tokenizers.target.encode([target for _, target in tagged])),
    )
    pairs.form = SentenceForm.of(data, tokenizers.source)
    return pairs


def learn_tokenizers(config: RunConfig, learn: Learn, listener: Listener) -> Tokenizers:
    """Learn tokenizers: one for both sides, or one for each."""

    def one(name: str, *sides: int) -> TrainedTokenizer:
        trained = learn(sides)
        for note in trained.notes:
            listener.said(f"{name}tokenizer: {note}")
        return trained

    if config.data.joint_vocabulary:
        joint = one("", 0, 1).tokenizer
        return Tokenizers(joint, joint)
    return Tokenizers(one("source ", 0).tokenizer, one("target ", 1).tokenizer)


# Text that is stored


def _prepare_stored(
    config: RunConfig,
    tokenizers: Tokenizers | None,
    cache_folder: Path | None,
    listener: Listener,
    warn: Warn,
    workers: int,
) -> TrainingText:
    """Tokenise the whole training text once."""
    with TemporaryDirectory(prefix="seq2seq-") as folder:  # for text that comes through pipes
        with keyboard_interrupts():  # or Ctrl-C would leave the folder
            train = [
                each.make_rereadable(Path(folder)) for each in _corpora(config, "source", "target")
            ]
        cache = _cache(train, cache_folder, warn)

        def learn(sides: Sequence[int]) -> TrainedTokenizer:
            return train_or_load_tokenizer(train, sides, config.tokenizer, cache)

        tokenizers = tokenizers or learn_tokenizers(config, learn, listener)
        pair_tokenizer = PairTokenizer(tokenizers.source, tokenizers.target, config.data)
        found = [
            tokenise_or_load(corpus, pair_tokenizer, cache, warn, workers=workers)
            for corpus in train
        ]
        links = config.data.alignments
        alignments = _read_alignments(train, found, tokenizers, links, warn) if links else None
        files = files_of_corpora(train, TEXTS)
    reports = [report for _, report in found]
    mixture = _mixture(config, [report.used for report in reports])
    pairs = TokenPairs.concatenate([pairs for pairs, _ in found], mixture)
    pairs.alignments = alignments
    pairs.joiner = pair_tokenizer.pair_joiner()
    pairs.sampler = pair_tokenizer.subword_sampler()
    pairs.form = pair_tokenizer.form
    report = sum(reports, start=DataReport())
    lines = list(report.lines())
    if mixture is not None:
        shares = zip(train, mixture.sizes, mixture.shares, strict=True)
        lines += [
            f"  {share:.1%} {each.name}, {counted(size, 'pair')}" for each, size, share in shares
        ]
    return TrainingText(tokenizers, pairs, pairs, report, lines, files)


def _cache(train: Sequence[Corpus], folder: Path | None, warn: Warn) -> Cache | None:
    """The cache of tokenised text: in the folder given, or in the user's if it saves much time."""
    if folder is not None:
        return Cache(folder, warn)
    return Cache(default_cache(), warn) if sum(each.size() for each in train) > SMALL else None


def _mixture(config: RunConfig, sizes: Sequence[int]) -> Mixture | None:
    """How corpora of these sizes are mixed; None if each pair comes once in an epoch."""
    data = config.data
    if len(sizes) == 1 or (not data.weights and data.temperature == 1):
        return None
    return Mixture.from_weights(sizes, data.weights or (1.0,) * len(sizes), data.temperature)


# Text that is streamed


def _prepare_stream(
    config: RunConfig,
    tokenizers: Tokenizers | None,
    listener: Listener,
    warn: Warn,
    processes: ProcessGroup,
) -> TrainingText:
    """Read the training text when it is needed; tokenizers are learned from its first piece."""
    train = _corpora(config, "source", "target", streamed=True)
    stream = Stream(train, config.data, warn)

    def learn(sides: Sequence[int]) -> TrainedTokenizer:
        texts = [((SIDES[side],), stream.lines([side])) for side in sides]
        return train_tokenizer_on_sides(texts, config.tokenizer, sides=len(sides))

    learned = processes.from_first(
        lambda: tokenizers or learn_tokenizers(config, learn, listener),
    )
    threads = None if processes.world_size == 1 else torch.get_num_threads()
    pair_tokenizer = PairTokenizer(learned.source, learned.target, config.data, threads)
    pairs = stream.tokenise(pair_tokenizer, processes)
    first_line = f"a stream, {counted(stream.pairs, 'pair')} at a time; of the first:"
    lines = [first_line, *pairs.report.lines()]
    files = files_of_corpora(train, TEXTS, whole=False)
    return TrainingText(learned, pairs, pairs.first, pairs.report, lines, files)


# Alignments


def _read_alignments(
    train: Sequence[Corpus],
    found: Sequence[tuple[TokenPairs, DataReport]],
    tokenizers: Tokenizers,
    files: Sequence[str],
    warn: Warn,
) -> Alignments:
    """Read the alignments of those pairs of all corpora that are used."""
    is_used = np.zeros(sum(report.read for _, report in found), dtype=bool)
    first = 0
    for pairs, report in found:
        for lines in pairs.line_numbers:
            is_used[first + lines] = True
        first += report.read
    text = chain.from_iterable(corpus.pairs(ignore_warning) for corpus in train)
    normalizers = tokenizers.source.normalize, tokenizers.target.normalize
    found_links = read_alignments([Path(file) for file in files], text, warn, normalizers)
    alignments = Alignments(
        compress(found_links, is_used),
        tokenizers.source.vocabulary,
        tokenizers.target.vocabulary,
    )
    require(
        len(alignments.links) > 0,
        f"{', '.join(files)}: no line of the pairs that are used has a link, so attention cannot "
        "be guided; leave data.alignments out, or align the text again",
    )
    return alignments


def _alignment_note(pairs: TokenPairs, alignments: Alignments) -> str:
    """How many links there are, and how many of the pairs they cannot be used for."""
    rows = np.linspace(0, len(pairs) - 1, min(len(pairs), ALIGNMENTS_TRIED)).astype(int).tolist()
    alike = [alignments.words_match(row, pairs.source[row], pairs.target[row]) for row in rows]
    note = f"alignments: {len(alignments.links):,} links"
    if all(alike):
        return note
    return (
        f"{note}; {alike.count(False) / len(alike):.1%} of the pairs are not guided, since the "
        "tokenizers divide them into other words than ASCII spaces do"
    )
