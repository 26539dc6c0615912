"""Lines in, lines out: tokenizer, batches and search together. Order kept, nothing lost."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from seq2seq_cli.config.settings import (
    GREEDY_BATCH_TOKENS,
    SEARCH_BATCH_TOKENS,
    USUAL_BEAM,
    require,
)
from seq2seq_cli.devices import autocast
from seq2seq_cli.inference import with_packed_layers
from seq2seq_cli.inference.precision import choose_search_precision
from seq2seq_cli.models import source_attentions
from seq2seq_cli.padding import pad, split_by_tokens
from seq2seq_cli.runs.run_folder import RunFolder, Tokenizers
from seq2seq_cli.search import (
    Hypothesis,
    Predictor,
    SearchOptions,
    Shortlist,
    attention_to_source,
    search,
)
from seq2seq_cli.symbols import BOS, EOS, UNK, tag
from seq2seq_cli.text import Warn
from seq2seq_cli.tokenization.tokenizer import WORD, Tokenizer, language_of, split_tag

# Ends of sentences: Latin and similar, then CJK, whose sentences have no space between them.
SENTENCE_END = re.compile(r"(?<=[.!?…;])[\"'”’»)\]]*\s+|(?<=[。！？])")

DEFAULT_OPTIONS = SearchOptions()

Alignment = tuple[tuple[int, int], ...]  # places of a source and a target word that belong together


@dataclass(frozen=True)
class Candidate:
    """One translation of a line."""

    text: str
    score: float = 0.0  # a line in parts has the sum of its parts' scores
    pieces: tuple[str, ...] = ()  # with EOS; a line in parts has that of each part
    token_scores: tuple[float, ...] = ()  # log-probabilities of the pieces
    alignment: Alignment | None = None  # of words as spaces divide them, after normalisation
    words: tuple[int, int] = (0, 0)  # of source and translation, counted where they are aligned


@dataclass
class Translation:
    """What became of one line."""

    source: str
    candidates: list[Candidate] = field(default_factory=list)  # best first; one for a blank line
    warnings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.candidates[0].text


@dataclass(frozen=True)
class _Part:
    """What is searched at a time: a line, or a part of one that is too long."""

    owner: int  # the line
    number: int  # tells random draws apart
    tokens: list[int]
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
            models, weights, chosen, follows_attention=options.coverage_penalty > 0
        )
        attentive = all(source_attentions(model) for model in models)
        require(
            attentive or not aligns,
            f"{' and '.join(map(str, runs))}: no alignment without attention to the source, which "
            "attention-rnn, conv and transformer have",
        )
        refuse_unknown_language(runs[0], tokenizers.source, target_language)
        aligns = aligns or (aligns_if_possible and attentive)
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
        parts = list(self._parts(translations, warn, first_number, prefixes))
        found: list[list[Candidate]] = [[] for _ in parts]
        batches = self._batches(parts)
        if self.workers > 1 and len(batches) > 1:
            self.predictor.steps()  # made once, and not by each worker
            predictor = self.predictor.stoppable()
            pool = ThreadPoolExecutor(self.workers)
            try:
                given = ([parts[i] for i in batch] for batch in batches)
                results = list(pool.map(partial(self._search, predictor), given))
            except BaseException:  # Ctrl-C waits for a few steps of the batches that have begun
                predictor.stop()
                raise
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        else:
            results = [self._search(self.predictor, [parts[i] for i in b]) for b in batches]
        for batch, candidates in zip(batches, results, strict=True):
            for place, each in zip(batch, candidates, strict=True):
                found[place] = each
        of_line: dict[int, list[list[Candidate]]] = {}
        for part, each in zip(parts, found, strict=True):
            of_line.setdefault(part.owner, []).append(each)
        blank = Candidate("", alignment=() if self.aligns else None)
        for index, translation in enumerate(translations):
            translation.candidates = _joined(of_line.get(index, [[blank]]))
        return translations

    def _parts(
        self,
        translations: list[Translation],
        warn: Warn,
        first_number: int,
        prefixes: Sequence[str] | None,
    ) -> Iterator[_Part]:
        """What is to be searched for lines; a line that is too long in parts, with a warning."""
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
                yield _Part(index, number, ids, prefix)
                continue
            begin, line = split_tag(tagged[index]) if source.tags else ("", tagged[index])
            room = max(1, self.max_length - bool(begin))
            texts = [begin + part for part in split_line(line, source, room)]
            message = (
                f"line {number} has {len(ids):,} tokens, the model reads "
                f"{self.max_length:,}: translated in {len(texts):,} parts"
            )
            translation.warnings.append(message)
            warn(message)
            for place, tokens in enumerate(source.encode(texts)):
                yield _Part(index, number + (place << 40), tokens, prefix if place == 0 else [])

    def tagged(self, line: str) -> str:
        """The line with the tag of the language asked for, unless it has one."""
        if not self.target_language or language_of(line) in self.tokenizers.source.tags:
            return line
        return f"{tag(self.target_language)} {line}"

    def missing_language(self, line: str, ids: Sequence[int], number: int) -> str:
        """What is wrong with a line if its tokens have no tag and there are languages."""
        tags = self.tokenizers.source.tags
        if not tags or not ids or ids[0] in tags.values():
            return ""
        asked = language_of(line)
        return (
            f"line {number} names {asked or 'no language'} to translate into"
            f"{', which the run does not know' if asked else ''}; begin it with "
            f"{' or '.join(map(tag, tags))}, or give --target-language"
        )

    def _source_words(self, part: _Part) -> tuple[int, list[int]]:
        """How many tags a part begins with, and the place of the word of each token after them."""
        tags = int(part.tokens[0] in self.tokenizers.source.tags.values())
        return tags, word_places(self.tokenizers.source.named(part.tokens[tags:]))

    def batch_budget(self) -> int:
        """Source tokens searched at a time."""
        hypotheses = self.options.n_best if self.options.sample else self.options.beam
        fastest = GREEDY_BATCH_TOKENS if hypotheses == 1 else SEARCH_BATCH_TOKENS
        rows = max(USUAL_BEAM, hypotheses)  # of a sentence, which memory goes by
        return self.batch_tokens or fastest * USUAL_BEAM // rows

    def _batches(self, parts: Sequence[_Part]) -> list[list[int]]:
        """The places of parts of similar length, longest first."""
        if not parts:
            return []
        lengths = np.array([len(part.tokens) + 1 for part in parts])
        order = np.argsort(-lengths, kind="stable")
        parts_of = split_by_tokens(lengths[order], self.batch_budget())
        return [order[part].tolist() for part in parts_of]

    def _search(self, predictor: Predictor, parts: Sequence[_Part]) -> list[list[Candidate]]:
        source = pad([[*part.tokens, EOS] for part in parts]).to(self.predictor.device)
        prefixes = [part.prefix for part in parts]
        with autocast(self.predictor.device, self.precision):  # a thread's own, so not outside
            found = search(
                predictor,
                source,
                self.options,
                prefixes if any(prefixes) else (),
                [part.number for part in parts],
            )
        flat = [(row, hypothesis) for row, each in enumerate(found) for hypothesis in each]
        texts = self.tokenizers.target.decode([hypothesis.tokens for _, hypothesis in flat])
        alignments: Sequence[Alignment | None] = [None] * len(flat)
        if self.aligns:
            alignments = self._align(parts, source, flat)
        candidates: list[list[Candidate]] = [[] for _ in found]
        for (row, hypothesis), text, alignment in zip(flat, texts, alignments, strict=True):
            pieces = tuple(self.tokenizers.target.named([*hypothesis.tokens, EOS]))
            words = (0, 0)
            if alignment is not None:
                _, source_words = self._source_words(parts[row])
                words = (len(set(source_words)), len(set(word_places(pieces[:-1]))))
            candidates[row].append(
                Candidate(text, hypothesis.score, pieces, hypothesis.token_scores, alignment, words)
            )
        return candidates

    def _align(
        self,
        parts: Sequence[_Part],
        source: torch.Tensor,
        found: Sequence[tuple[int, Hypothesis]],
    ) -> list[Alignment]:
        """The words that belong together in each (row of the source, hypothesis).

        Every piece of a target word brings the word it looked at most; EOS and tags are no words.
        """
        rows = torch.tensor([row for row, _ in found], device=source.device)
        targets = pad([[BOS, *hypothesis.tokens] for _, hypothesis in found]).to(source.device)
        weights = attention_to_source(self.predictor.models, source.index_select(0, rows), targets)
        alignments = []
        for place, (row, hypothesis) in enumerate(found):
            tags, source_words = self._source_words(parts[row])
            target_words = word_places(self.tokenizers.target.named(hypothesis.tokens))
            seen = weights[place, : len(target_words), tags : tags + len(source_words)]
            looked = seen.argmax(dim=1).tolist()
            pairs = {(source_words[s], target_words[t]) for t, s in enumerate(looked)}
            alignments.append(tuple(sorted(pairs)))
        return alignments


def refuse_unknown_language(run: Path, source: Tokenizer, language: str) -> None:
    """Raise InputError for a language that no line of the run's training was tagged with."""
    if not language:
        return
    require(
        bool(source.tags),
        f"{run} was not trained with marked targets, as in --target de=train.de; leave out "
        "--target-language",
    )
    require(
        language in source.tags,
        f"--target-language {language}: {run} translates into {', '.join(source.tags)}",
    )


def word_places(pieces: Sequence[str]) -> list[int]:
    """The place of the word, as spaces divide a line, that each piece belongs to.

    A space alone belongs to the word after it, and makes none: of several in a row one is left.
    """
    places, place, begins = [], -1, True
    for piece in pieces:
        begins = begins or piece.startswith(WORD)
        if not piece.strip(WORD):
            places.append(place + 1)
            continue
        place += begins
        begins = False
        places.append(place)
    return [max(0, min(each, place)) for each in places]


def _joined(parts: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """The candidates of a line from those of its parts: the best of each, the second best, …"""
    if len(parts) == 1:
        return list(parts[0])
    joined = []
    for rank in range(max(map(len, parts))):
        chosen = [part[min(rank, len(part) - 1)] for part in parts]
        pairs, source, target = [], 0, 0
        for each in chosen:
            pairs += [(source + s, target + t) for s, t in each.alignment or ()]
            source, target = source + each.words[0], target + each.words[1]
        joined.append(
            Candidate(
                " ".join(each.text for each in chosen),
                sum(each.score for each in chosen),
                tuple(piece for each in chosen for piece in each.pieces),
                tuple(score for each in chosen for score in each.token_scores),
                None if chosen[0].alignment is None else tuple(pairs),
                (source, target),
            )
        )
    return joined


def split_line(line: str, tokenizer: Tokenizer, max_length: int) -> list[str]:
    """Split a line into parts of at most `max_length` tokens that hold all of its words.

    At sentence ends where that is enough, else at spaces, else between characters; neighbours are
    joined again while they fit. A single character of more tokens is a part of its own.
    """

    def fits(text: str) -> bool:
        return len(tokenizer.encode([text])[0]) <= max_length

    sentences = _cut(line, [m.end() for m in SENTENCE_END.finditer(line)])
    return [part.strip() for part in _split(sentences, fits) if part.strip()]


def _split(parts: list[str], fits: Callable[[str], bool]) -> list[str]:
    result: list[str] = []
    pending = ""
    for part in parts:
        # Not by sums of counts: inside a word, text can have more tokens than its two halves.
        if fits(pending + part):
            pending += part
            continue
        result.append(pending)
        pending = part if fits(part) else ""
        if not pending:
            result.extend(_split(_smaller(part), fits) if len(part) > 1 else [part])
    return [*result, pending]


def _smaller(part: str) -> list[str]:
    """Cut a part at its spaces, or in two where it has none."""
    words = _cut(part.strip(), [m.end() for m in re.finditer(r"\s+", part.strip())])
    return words if len(words) > 1 else [part[: len(part) // 2], part[len(part) // 2 :]]


def _cut(text: str, places: list[int]) -> list[str]:
    return [text[i:j] for i, j in zip([0, *places], [*places, len(text)], strict=True) if j > i]
