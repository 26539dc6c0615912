"""Lines in, lines out: tokenizer, batches and search together. Order kept, nothing lost."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from seq2seq_cli.batching import pad, split_by_tokens
from seq2seq_cli.checkpoint import RunFolder, Tokenizers
from seq2seq_cli.models import TranslationModel
from seq2seq_cli.search import SearchOptions, beam_search
from seq2seq_cli.symbols import EOS
from seq2seq_cli.text import Warn
from seq2seq_cli.tokenizer import Tokenizer

# Ends of sentences: Latin and similar, then CJK, whose sentences have no space between them.
SENTENCE_END = re.compile(r"(?<=[.!?…;])[\"'”’»)\]]*\s+|(?<=[。！？])")

DEFAULT_OPTIONS = SearchOptions()


@dataclass(frozen=True)
class Translator:
    """A model with its tokenizers, ready to translate lines."""

    model: TranslationModel
    tokenizers: Tokenizers
    max_length: int  # source tokens the model has learned to read
    options: SearchOptions = DEFAULT_OPTIONS
    batch_tokens: int = 4096  # source tokens searched at a time, padding included

    @classmethod
    def load(
        cls,
        run: Path,
        options: SearchOptions = DEFAULT_OPTIONS,
        batch_tokens: int = 4096,
        device: torch.device | None = None,
    ) -> "Translator":
        """Load a run folder. Raises InputError, naming what is wrong with it."""
        folder = RunFolder(run)
        config = folder.load_config()
        tokenizers = folder.load_tokenizers()
        model = folder.load_model().to(device or torch.device("cpu"))
        return cls(model, tokenizers, config.data.max_length, options, batch_tokens)

    def translate(self, lines: Sequence[str], warn: Warn, first_number: int = 1) -> list[str]:
        """Translate lines; line k of the result belongs to line k given, blank ones stay blank.

        `first_number` is the number that warnings give to the first line.
        """
        pieces: list[str] = []  # what is searched: lines, or parts of lines that are too long
        owners: list[int] = []  # the line of each
        tokens = self.tokenizers.source.encode(lines)
        encoded: list[list[int]] = []
        for index, (line, ids) in enumerate(zip(lines, tokens, strict=True)):
            if not ids:
                continue
            if len(ids) <= self.max_length:
                pieces.append(line)
                encoded.append(ids)
                owners.append(index)
                continue
            parts = split_line(line, self.tokenizers.source, self.max_length)
            warn(
                f"line {first_number + index} has {len(ids):,} tokens, the model reads "
                f"{self.max_length:,}: translated in {len(parts):,} parts"
            )
            pieces.extend(parts)
            encoded.extend(self.tokenizers.source.encode(parts))
            owners.extend([index] * len(parts))
        results: list[list[str]] = [[] for _ in lines]
        for owner, text in zip(owners, self._search(encoded), strict=True):
            results[owner].append(text)
        return [" ".join(parts) for parts in results]

    def _search(self, encoded: Sequence[Sequence[int]]) -> list[str]:
        """Translate token sequences, longest first in batches of similar length."""
        if not encoded:
            return []
        lengths = np.array([len(ids) + 1 for ids in encoded])
        order = np.argsort(-lengths, kind="stable")
        found: list[Sequence[int]] = [()] * len(encoded)
        device = next(self.model.parameters()).device
        for part in split_by_tokens(lengths[order], self.batch_tokens):
            rows = order[part]
            source = pad([[*encoded[row], EOS] for row in rows]).to(device)
            for row, hypotheses in zip(
                rows, beam_search(self.model, source, self.options), strict=True
            ):
                found[row] = hypotheses[0].tokens
        return self.tokenizers.target.decode(found)


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
