"""Splits lines that are longer than a model reads."""

import re
from collections.abc import Callable

from seq2seq_cli.tokenization.tokenizer import Tokenizer

# Ends of sentences: Latin and similar, then CJK, whose sentences have no space between them.
SENTENCE_END = re.compile(r"(?<=[.!?…;])[\"'”’»)\]]*\s+|(?<=[。！？])")


def split_line(line: str, tokenizer: Tokenizer, max_length: int) -> list[str]:
    """Split a line into segments of at most `max_length` tokens that hold all of its words.

    Cuts at sentence ends where that is enough, else at spaces, else between characters, and joins
    neighbours again while they fit. A single character of more tokens is a segment of its own.
    """

    def fits(text: str) -> bool:
        return len(tokenizer.encode([text])[0]) <= max_length

    sentences = _cut(line, [m.end() for m in SENTENCE_END.finditer(line)])
    return [text.strip() for text in _fitting(sentences, fits) if text.strip()]


def _fitting(texts: list[str], fits: Callable[[str], bool]) -> list[str]:
    """Join neighbouring texts while the result fits, and cut those that are too long alone."""
    result: list[str] = []
    pending = ""
    for text in texts:
        # Token counts cannot be added up: a word can have more tokens than its two halves.
        if fits(pending + text):
            pending += text
            continue
        result.append(pending)
        pending = text if fits(text) else ""
        if not pending:
            result.extend(_fitting(_smaller(text), fits) if len(text) > 1 else [text])
    return [*result, pending]


def _smaller(text: str) -> list[str]:
    """Cut a text at its spaces, or in the middle if it has none."""
    words = _cut(text.strip(), [m.end() for m in re.finditer(r"\s+", text.strip())])
    return words if len(words) > 1 else [text[: len(text) // 2], text[len(text) // 2 :]]


def _cut(text: str, ends: list[int]) -> list[str]:
    return [text[i:j] for i, j in zip([0, *ends], [*ends, len(text)], strict=True) if j > i]
