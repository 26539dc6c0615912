"""Translates lines: tokenizer, batches and search together, in the order of the lines."""

from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from seq2seq_cli.config.data import LanguageTags
from seq2seq_cli.config.search import GREEDY_BATCH_TOKENS, SEARCH_BATCH_TOKENS, USUAL_BEAM
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.messages import Warn, ignore_warning
from seq2seq_cli.padding import split_by_tokens
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import ForcedPrefix, Hypothesis, Predictor
from seq2seq_cli.symbols import EOS
from seq2seq_cli.text import check_is_list
from seq2seq_cli.tokenization.sentence_form import SentenceForm
from seq2seq_cli.tokenization.sentences import can_split_sentences
from seq2seq_cli.translation.capitals import is_cut_finer
from seq2seq_cli.translation.copying import ROWS_WITH_EOS, Copied, SearchedText, copy_unknown
from seq2seq_cli.translation.languages import Languages, languages_of
from seq2seq_cli.translation.loading import load_runs
from seq2seq_cli.translation.prefixes import Prefixes, encode_prefixes
from seq2seq_cli.translation.results import Candidate, Translation, join_segments
from seq2seq_cli.translation.settings import TranslationSettings
from seq2seq_cli.translation.spelling import Speller
from seq2seq_cli.translation.splitting import LineSplitter, SplitLine
from seq2seq_cli.translation.summary import Copies, warnings_of
from seq2seq_cli.translation.unknown import UnknownFinder, UnknownText
from seq2seq_cli.translation.word_alignment import AlignedSource, WordAlignment, align_words

SENTENCES_ANNOUNCED = (
    "the model was trained on one sentence a line, so the sentences of a line are translated one "
    "by one from here on (--split-sentences off: as a whole)"
)
NO_SEGMENTER = (
    "lines of several sentences are translated as a whole, since the package sentencex is not "
    "installed, which splits them"
)
DEFAULT_SETTINGS = TranslationSettings()

Written = tuple[int, Sequence[int]]  # a translation: the index of its segment, and its token ids


@dataclass(frozen=True)
class Segment:
    """The unit of search: a line, one of its sentences, or a part of one that is too long."""

    line: int  # its index
    text: str  # with the tag of its language
    number: int  # seeds random draws, so that they do not depend on the batch
    tokens: list[int]  # without EOS
    prefix: ForcedPrefix
    forced: tuple[int, ...]  # the tag that translations begin with, in front of the prefix
    unknown: UnknownText | None  # what the vocabulary lacks of it
    continues_word: bool = False  # no space is between it and the segment before

    @property
    def begin(self) -> ForcedPrefix:
        """All that its translations begin with."""
        return self.prefix.behind(*self.forced)


@dataclass(frozen=True)
class Translator:
    """Models with their tokenizers, ready to translate lines."""

    predictor: Predictor
    tokenizers: Tokenizers
    max_length: int  # source tokens that the models have learned to read
    settings: TranslationSettings = DEFAULT_SETTINGS
    aligns: bool = False  # candidates have alignments of words
    source_language: str = ""  # by whose rules sentences end; "": the script of a line decides
    splits_sentences: bool = False  # lines of several sentences are translated one by one
    slow_reason: str = ""  # why no kernels translate, on a CPU
    form: SentenceForm = ROWS_WITH_EOS  # what models read of a source
    language_tags: LanguageTags = "source"  # where tags of languages stand
    _announced: set[str] = field(default_factory=set, init=False, compare=False, repr=False)

    @classmethod
    def load(
        cls,
        runs: str | Path | Sequence[str | Path],
        settings: TranslationSettings = DEFAULT_SETTINGS,
    ) -> "Translator":
        """Load the folder of a trained run, or several folders as an ensemble.

        Raises InputError for a folder that is not a run or is damaged, for runs that do not share
        their tokenizers, and for settings that do not fit them.
        """
        paths = [runs] if isinstance(runs, str | Path) else runs
        loaded = load_runs([Path(path) for path in paths], settings)
        return cls(
            predictor=loaded.predictor,
            tokenizers=loaded.tokenizers,
            max_length=loaded.max_length,
            settings=loaded.settings,
            aligns=loaded.aligns,
            source_language=loaded.source_language,
            splits_sentences=loaded.splits_sentences,
            slow_reason=loaded.slow_reason,
            form=loaded.form,
            language_tags=loaded.languages.placement,
        )

    def translate(
        self,
        lines: Sequence[str],
        prefixes: Sequence[str] | None = None,
        *,
        warn: Warn = ignore_warning,
        first_number: int = 1,
    ) -> list[Translation]:
        """Translate lines; item k of the result belongs to line k, and blank lines stay blank.

        A translation begins with the prefix of its line, if there is one; the last word of a prefix
        may go on unless a space follows it. A line of several sentences is split into them if
        `splits_sentences`, unless its prefix has several too; what has more than `max_length`
        tokens is split further. Segments are translated one by one and joined again. `warn` is told
        of the first line of several sentences, of the first that is too long and of the first
        without a language; each `Translation` has its warnings, and those about unknown text,
        capitals and an empty translation. `first_number` is the number of the first line in
        warnings, and seeds random draws together with the seed, so that a line is drawn alike in
        any window of a text.

        Raises InputError for a string instead of a list of lines, unless there is a prefix for each
        line, and for a prefix that no translation can have.
        """
        check_is_list(lines, "lines")
        if prefixes is not None:
            check_is_list(prefixes, "prefixes")
            Prefixes(prefixes, "prefixes").check_count(len(lines), "the text")
        translations = [
            Translation(line, text_start=self.languages.read(line).start) for line in lines
        ]
        segments = list(self._segments(translations, prefixes, warn, first_number))
        candidates: list[list[list[Candidate]]] = [[] for _ in lines]  # of each segment of a line
        continues_word: list[list[bool]] = [[] for _ in lines]
        for segment, ranked in zip(segments, self._search_segments(segments), strict=True):
            candidates[segment.line].append(ranked)
            continues_word[segment.line].append(segment.continues_word)
        blank = Candidate("", alignment=() if self.aligns else None)
        drawn = self.settings.search.sample
        for index, translation in enumerate(translations):
            of_line = candidates[index] or [[blank]]
            translation.candidates = join_segments(of_line, continues_word[index], drawn=drawn)
        self._add_warnings(translations, segments, first_number)
        return translations

    def _add_warnings(
        self, translations: Sequence[Translation], segments: Sequence[Segment], first_number: int
    ) -> None:
        """Add what was unknown of the lines, and warnings about that and empty translations."""
        unknown: dict[int, list[UnknownText]] = {}
        for segment in segments:
            if segment.unknown is not None:
                unknown.setdefault(segment.line, []).append(segment.unknown)
        for line, found in unknown.items():
            translations[line].unknown = tuple(text for each in found for text in each.texts)
            characters = sum(not each.isspace() for each in translations[line].source)
            unknown_characters = sum(each.characters for each in found)
            translations[line].unknown_share = unknown_characters / characters
        for number, translation in enumerate(translations, start=first_number):
            text = translation.source[translation.text_start :]
            translation.is_in_capitals = is_cut_finer(text, self.tokenizers.source)
            if translation.unknown or translation.is_empty or translation.is_in_capitals:
                translation.warnings += warnings_of(translation, number, self.copies)

    @cached_property
    def languages(self) -> Languages:
        """The languages that lines are in and are translated into."""
        return languages_of(
            self.tokenizers, self.settings, self.language_tags, self.source_language
        )

    @cached_property
    def copies(self) -> Copies:
        """Whether unknown text is copied, or why not."""
        if self.settings.unknown == "keep":
            return "no"
        return "yes" if self.predictor.attends_to_source else "impossible"

    @cached_property
    def _speller(self) -> Speller:
        return Speller(self.tokenizers.target)

    @cached_property
    def _unknown_finder(self) -> UnknownFinder:
        return UnknownFinder(self.tokenizers.source)

    def _segments(
        self,
        translations: Sequence[Translation],
        prefixes: Sequence[str] | None,
        warn: Warn,
        first_number: int,
    ) -> Iterator[Segment]:
        """Tokenise and split lines; warnings go to `translations` too."""
        begun = [ForcedPrefix()] * len(translations)
        if prefixes is not None:
            ids_of_prefixes = encode_prefixes(
                prefixes, self.tokenizers.target, self.max_length, first_number=first_number
            )
            begun = list(map(self._speller.prefix, prefixes, ids_of_prefixes))
        tagged = [self.languages.read(translation.source) for translation in translations]
        source = self.tokenizers.source
        encoded = source.encode([line.text for line in tagged])
        splitter = LineSplitter(
            source, self.max_length, self.source_language, self.splits_sentences
        )
        if self.splits_sentences and not can_split_sentences():
            self._announce("segmenter", NO_SEGMENTER, warn)
        for index, (translation, ids) in enumerate(zip(translations, encoded, strict=True)):
            if not ids:
                continue
            number = first_number + index
            prefix = prefixes[index] if prefixes is not None else ""
            split = splitter.split(tagged[index].text, ids, prefix=prefix)
            if tagged[index].fault:
                message = f"line {number} {tagged[index].fault}"
                translation.lacks_language = True
                translation.warnings.append(message)
                self._announce("language", message, warn)
            self._warn_of_split(translation, split, number=number, tokens=len(ids), warn=warn)
            for order, (text, tokens) in enumerate(zip(split.texts, split.tokens, strict=True)):
                yield Segment(
                    line=index,
                    text=text,
                    number=number + (order << 40),
                    tokens=tokens,
                    prefix=begun[index] if order == 0 else ForcedPrefix(),
                    forced=tagged[index].forced,
                    unknown=self._unknown_finder.find(text, tokens),
                    continues_word=split.continues_word[order],
                )

    def _warn_of_split(
        self, translation: Translation, split: SplitLine, *, number: int, tokens: int, warn: Warn
    ) -> None:
        """Add warnings about a line that is split, and announce the first one of its kind."""
        if split.is_too_long:
            translation.is_too_long = True
            message = (
                f"line {number} has {tokens:,} tokens, the model reads {self.max_length:,}: split "
                f"into {len(split.tokens):,} segments"
            )
            translation.warnings.append(message)
            self._announce("length", message, warn)
        if split.sentences > 1 and self.settings.split_sentences == "auto":
            message = f"line {number} has {split.sentences:,} sentences"
            translation.warnings.append(f"{message}, translated one by one")
            self._announce("sentences", f"{message}; {SENTENCES_ANNOUNCED}", warn)

    def _announce(self, kind: str, message: str, warn: Warn) -> None:
        """Tell `warn` of the first line of a kind."""
        if kind not in self._announced:
            self._announced.add(kind)
            warn(message)

    def batch_budget(self) -> int:
        """Source tokens searched at a time."""
        search = self.settings.search
        hypotheses = search.n_best if search.sample else search.beam
        fastest = GREEDY_BATCH_TOKENS if hypotheses == 1 else SEARCH_BATCH_TOKENS
        rows = max(USUAL_BEAM, hypotheses)  # of a sentence; memory grows with them
        return self.settings.batch_tokens or fastest * USUAL_BEAM // rows

    def _search_segments(self, segments: Sequence[Segment]) -> list[list[Candidate]]:
        """Search in batches of segments of similar length; the candidates of each segment."""
        if not segments:
            return []
        lengths = np.array([len(segment.tokens) + 1 for segment in segments])
        order = np.argsort(-lengths, kind="stable")  # the longest first
        batches = [order[rows] for rows in split_by_tokens(lengths[order], self.batch_budget())]
        results = self._search_batches([[segments[row] for row in batch] for batch in batches])
        candidates: list[list[Candidate]] = [[] for _ in segments]
        for batch, result in zip(batches, results, strict=True):
            for row, ranked in zip(batch, result, strict=True):
                candidates[row] = ranked
        return candidates

    def _search_batches(self, batches: Sequence[Sequence[Segment]]) -> list[list[list[Candidate]]]:
        """Search batches, `workers` side by side; the candidates of each segment of each batch."""
        if self.settings.workers == 1 or len(batches) <= 1:
            return [self._search(self.predictor, batch) for batch in batches]
        from concurrent.futures import ThreadPoolExecutor

        predictor = self.predictor.stoppable()
        pool = ThreadPoolExecutor(self.settings.workers)
        try:
            return list(pool.map(partial(self._search, predictor), batches))
        except BaseException:  # on Ctrl-C, batches in progress end after a few steps
            predictor.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _search(self, predictor: Predictor, segments: Sequence[Segment]) -> list[list[Candidate]]:
        """Search one batch; the candidates of each segment, the best first."""
        sources = [self.form.row(segment.tokens) for segment in segments]
        prefixes = [segment.begin for segment in segments]
        hypotheses = predictor.search(
            sources,
            self.settings.search,
            prefixes if any(prefixes) else (),
            [segment.number for segment in segments],
        )
        flat = [
            (row, hypothesis.without_first(len(segments[row].forced)))
            for row, ranked in enumerate(hypotheses)
            for hypothesis in ranked
        ]
        written = [(row, hypothesis.tokens) for row, hypothesis in flat]
        texts = self.tokenizers.target.decode([tokens for _, tokens in written])
        copied = self._copied(predictor, segments, written)
        alignments = self._alignments(predictor, segments, written)
        candidates: list[list[Candidate]] = [[] for _ in segments]
        for index, ((row, hypothesis), alignment) in enumerate(zip(flat, alignments, strict=True)):
            changed = copied.get(index, Copied(texts[index], ()))
            candidates[row].append(self._candidate(hypothesis, changed, alignment))
        return candidates

    def _copied(
        self, predictor: Predictor, segments: Sequence[Segment], written: Sequence[Written]
    ) -> dict[int, Copied]:
        """The translations into which unknown text is copied, by their index in `written`."""
        if self.settings.unknown != "copy" or not any(segment.unknown for segment in segments):
            return {}
        searched = [
            SearchedText(each.text, each.tokens, each.prefix, each.unknown, each.forced)
            for each in segments
        ]
        return copy_unknown(predictor, self.tokenizers, searched, written, self.form)

    def _alignments(
        self, predictor: Predictor, segments: Sequence[Segment], written: Sequence[Written]
    ) -> Sequence[WordAlignment | None]:
        """The alignment of the words of each translation, if they are aligned at all."""
        if not self.aligns:
            return [None] * len(written)
        sources = [AlignedSource(each.text, each.tokens, each.forced) for each in segments]
        return align_words(predictor, self.tokenizers, sources, written, self.form)

    def _candidate(
        self, hypothesis: Hypothesis, changed: Copied, alignment: WordAlignment | None
    ) -> Candidate:
        """A hypothesis as text, with what was copied into it."""
        if alignment is not None and changed.is_source:
            alignment = WordAlignment.of_equal(len(changed.text.split(" ")))
        elif alignment is not None:
            alignment = alignment.with_target_words(changed.new_words)
        return Candidate(
            text=changed.text,
            copied=changed.spans,
            score=hypothesis.score,
            pieces=tuple(self.tokenizers.target.ids_to_pieces([*hypothesis.tokens, EOS])),
            token_scores=hypothesis.token_scores,
            alignment=alignment.pairs if alignment else None,
            source_words=alignment.source_words if alignment else 0,
            target_words=alignment.target_words if alignment else 0,
        )
