"""Translates lines: tokenizer, batches and search together, in the order of the lines."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from seq2seq_cli.config.search import GREEDY_BATCH_TOKENS, SEARCH_BATCH_TOKENS, USUAL_BEAM
from seq2seq_cli.config.settings import require
from seq2seq_cli.devices import autocast
from seq2seq_cli.inference import with_packed_layers
from seq2seq_cli.inference.precision import choose_search_precision
from seq2seq_cli.models import check_attends_to_source
from seq2seq_cli.padding import pad, split_by_tokens
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import Predictor, SearchOptions, Shortlist, search
from seq2seq_cli.symbols import EOS, UNK
from seq2seq_cli.text import Warn
from seq2seq_cli.tokenization.language_tags import split_tag
from seq2seq_cli.translation.languages import check_language, missing_language, with_tag
from seq2seq_cli.translation.long_lines import split_line
from seq2seq_cli.translation.results import Candidate, Translation, join_segments
from seq2seq_cli.translation.word_alignment import WordAlignment, align_words

DEFAULT_OPTIONS = SearchOptions()


@dataclass(frozen=True)
class Segment:
    """What is searched as one sentence: a line, or a piece of a line that is too long."""

    line: int  # its index
    number: int  # seeds random draws, so that they do not depend on the batch
    tokens: list[int]  # without EOS
    prefix: list[int]


@dataclass(frozen=True)
class Translator:
    """Models with their tokenizers, ready to translate lines."""

    predictor: Predictor
    tokenizers: Tokenizers
    max_length: int  # source tokens the models have learned to read
    options: SearchOptions = DEFAULT_OPTIONS
    # source tokens searched at a time, padding included; None: what is fastest
    batch_tokens: int | None = None
    workers: int = 1  # batches searched at the same time
    aligns: bool = False
    precision: torch.dtype = torch.float32  # of matrix products
    target_language: str = ""  # for lines without a tag, where the models have several

    @classmethod
    def load(
        cls,
        runs: Sequence[Path],
        options: SearchOptions = DEFAULT_OPTIONS,
        *,
        weights: Sequence[float] = (),
        device: torch.device | None = None,
        batch_tokens: int | None = None,
        workers: int = 1,
        aligns: bool = False,
        aligns_if_possible: bool = False,
        precision: str = "auto",
        shortlist: bool = False,
        target_language: str = "",
    ) -> "Translator":
        """Load run folders, several as an ensemble. Raises InputError, naming what is wrong.

        `precision` is auto, float32, bfloat16 or int8; `shortlist` narrows the vocabulary to the
        first run's list. `aligns` adds alignments, and is refused for models without attention;
        `aligns_if_possible` leaves them out there.
        """
        device = device or torch.device("cpu")
        dtype = choose_search_precision(precision, device)
        folders = [RunFolder(run) for run in runs]
        configs = [folder.load_config() for folder in folders]
        tokenizers = folders[0].load_tokenizers()
        for run, folder in zip(runs[1:], folders[1:], strict=True):
            other = folder.load_tokenizers()
            for side in ("source", "target"):
                require(
                    getattr(other, side).sha256 == getattr(tokenizers, side).sha256,
                    f"{runs[0]} and {run} have different {side} tokenizers; only models that share "
                    "theirs (train with --source-tokenizer and --target-tokenizer) can vote on "
                    "the same words",
                )
        models = [folder.load_model().to(device) for folder in folders]
        if dtype == torch.int8:
            models = [with_packed_layers(model, eight_bits=True) for model in models]
        chosen = None
        if shortlist:
            translations, common = folders[0].load_shortlist()
            chosen = Shortlist(translations.to(device), common.to(device), len(tokenizers.target))
        predictor = Predictor(
            models, weights, chosen, captures_attention=options.coverage_penalty > 0
        )
        for run, model in zip(runs, models, strict=True) if aligns else ():
            check_attends_to_source(model, f"{run}: word alignment")
        check_language(runs[0], tokenizers.source.tags, target_language)
        aligns |= aligns_if_possible and all(model.attends_to_source for model in models)
        max_length = min(config.data.max_length for config in configs)
        return cls(
            *(predictor, tokenizers, max_length, options, batch_tokens, workers, aligns, dtype),
            target_language,
        )

    def check_prefixes(self, prefixes: Sequence[str], name: str) -> None:
        """Raise InputError for a prefix, of a file of this name, that no translation can have."""
        target = self.tokenizers.target
        for number, ids in enumerate(target.encode(prefixes), start=1):
            require(
                UNK not in ids,
                f"{name}, line {number}: the run has no pieces for some of its characters "
                f"({target.decode([ids])[0]}); only what it learned to write can be a prefix",
            )
            require(
                len(ids) <= self.max_length,
                f"{name}, line {number} has {len(ids):,} tokens; up to {self.max_length:,} are "
                "allowed, as many as the run learned to write",
            )

    def translate(
        self,
        lines: Sequence[str],
        warn: Warn,
        first_number: int = 1,
        prefixes: Sequence[str] | None = None,
    ) -> list[Translation]:
        """Translate lines; item k of the result belongs to line k given, blank ones stay blank.

        `first_number` is the number of the first line, in warnings and for drawing. Translations
        begin with their prefix, if there is one.
        """
        translations = [Translation(line) for line in lines]
        segments = list(self._segments(translations, warn, first_number, prefixes))
        batches = self._batches(segments)
        results = self._search_all([[segments[row] for row in batch] for batch in batches])
        found: list[list[Candidate]] = [[] for _ in segments]
        for batch, result in zip(batches, results, strict=True):
            for row, candidates in zip(batch, result, strict=True):
                found[row] = candidates
        segments_of: dict[int, list[list[Candidate]]] = {}
        for segment, candidates in zip(segments, found, strict=True):
            segments_of.setdefault(segment.line, []).append(candidates)
        blank = Candidate("", alignment=() if self.aligns else None)
        for index, translation in enumerate(translations):
            translation.candidates = join_segments(segments_of.get(index, [[blank]]))
        return translations

    def _segments(
        self,
        translations: list[Translation],
        warn: Warn,
        first_number: int,
        prefixes: Sequence[str] | None,
    ) -> Iterator[Segment]:
        """Tokenise lines and split those that are too long; warnings go to `translations` too."""
        source = self.tokenizers.source
        begun = self.tokenizers.target.encode(prefixes) if prefixes is not None else None
        tagged = [self.tagged(translation.source) for translation in translations]
        encoded = source.encode(tagged)
        for index, (translation, ids) in enumerate(zip(translations, encoded, strict=True)):
            prefix = begun[index] if begun is not None else []
            if not ids:
                continue
            number = first_number + index
            if message := self.missing_language(translation.source, ids, number):
                translation.warnings.append(message)
                warn(message)
            if len(ids) <= self.max_length:
                yield Segment(index, number, ids, prefix)
                continue
            begin, line = split_tag(tagged[index]) if source.tags else ("", tagged[index])
            room = max(1, self.max_length - bool(begin))
            texts = [begin + text for text in split_line(line, source, room)]
            message = (
                f"line {number} has {len(ids):,} tokens, the model reads "
                f"{self.max_length:,}: translated in {len(texts):,} parts"
            )
            translation.warnings.append(message)
            warn(message)
            for order, tokens in enumerate(source.encode(texts)):
                yield Segment(index, number + (order << 40), tokens, prefix if order == 0 else [])

    def tagged(self, line: str) -> str:
        """The line with the tag of the language asked for, unless it has one."""
        return with_tag(line, self.target_language, self.tokenizers.source.tags)

    def missing_language(self, line: str, ids: Sequence[int], number: int) -> str:
        """A warning if the tokens of a line lack the tag of a language, else an empty string."""
        return missing_language(line, ids, number, self.tokenizers.source.tags)

    def batch_budget(self) -> int:
        """Source tokens searched at a time."""
        hypotheses = self.options.n_best if self.options.sample else self.options.beam
        fastest = GREEDY_BATCH_TOKENS if hypotheses == 1 else SEARCH_BATCH_TOKENS
        rows = max(USUAL_BEAM, hypotheses)  # of a sentence, which memory goes by
        return self.batch_tokens or fastest * USUAL_BEAM // rows

    def _batches(self, segments: Sequence[Segment]) -> list[list[int]]:
        """Indices of segments of similar length, the longest first."""
        if not segments:
            return []
        lengths = np.array([len(segment.tokens) + 1 for segment in segments])
        order = np.argsort(-lengths, kind="stable")
        rows = split_by_tokens(lengths[order], self.batch_budget())
        return [order[batch].tolist() for batch in rows]

    def _search_all(self, batches: Sequence[Sequence[Segment]]) -> list[list[list[Candidate]]]:
        """Search batches, `workers` at the same time; the candidates of each segment of each."""
        if self.workers == 1 or len(batches) <= 1:
            return [self._search(self.predictor, batch) for batch in batches]
        self.predictor.search_models()  # made once, and not by each worker
        predictor = self.predictor.stoppable()
        pool = ThreadPoolExecutor(self.workers)
        try:
            return list(pool.map(partial(self._search, predictor), batches))
        except BaseException:  # Ctrl-C waits for a few steps of the batches that have begun
            predictor.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _search(self, predictor: Predictor, segments: Sequence[Segment]) -> list[list[Candidate]]:
        source = pad([[*segment.tokens, EOS] for segment in segments]).to(self.predictor.device)
        prefixes = [segment.prefix for segment in segments]
        with autocast(self.predictor.device, self.precision):  # a thread's own, so not outside
            found = search(
                predictor,
                source,
                self.options,
                prefixes if any(prefixes) else (),
                [segment.number for segment in segments],
            )
        flat = [(row, hypothesis) for row, ranked in enumerate(found) for hypothesis in ranked]
        texts = self.tokenizers.target.decode([hypothesis.tokens for _, hypothesis in flat])
        alignments: Sequence[WordAlignment | None] = [None] * len(flat)
        if self.aligns:
            sentences = [segment.tokens for segment in segments]
            hypotheses = [(row, hypothesis.tokens) for row, hypothesis in flat]
            models = self.predictor.models
            alignments = align_words(models, self.tokenizers, source, sentences, hypotheses)
        candidates: list[list[Candidate]] = [[] for _ in found]
        for (row, hypothesis), text, alignment in zip(flat, texts, alignments, strict=True):
            candidates[row].append(
                Candidate(
                    text,
                    hypothesis.score,
                    tuple(self.tokenizers.target.ids_to_pieces([*hypothesis.tokens, EOS])),
                    hypothesis.token_scores,
                    alignment.pairs if alignment else None,
                    alignment.source_words if alignment else 0,
                    alignment.target_words if alignment else 0,
                )
            )
        return candidates
