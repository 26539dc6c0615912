"""Splits lines into what a model reads at a time: sentences, and parts of what is too long."""

from collections.abc import Callable, Sequence

from seq2seq_cli.deferred import dataclass, pattern
from seq2seq_cli.tokenization.language_tags import split_tag
from seq2seq_cli.tokenization.sentences import split_sentences
from seq2seq_cli.tokenization.tokenizer import Tokenizer

# Where sentences that are too long are cut: Latin and similar, then CJK, which has no spaces.
CLAUSE_END = pattern(r"(?<=[.!?…;])[\"'”’»)\]]*\s+|(?<=[。！？；])")
SPACES = pattern(r"\s+")


@dataclass(frozen=True)
class SplitLine:
    """A line as the segments that are translated one by one."""

    texts: list[str]  # of each segment, with the tag of the line
    tokens: list[list[int]]
    continues_word: list[bool]  # for each segment, whether no space is before it
    sentences: int  # that the line was split into; 1 if it was not split into sentences
    is_too_long: bool  # it was split because it has too many tokens


@dataclass(frozen=True)
class LineSplitter:
    """Splits lines for a model that reads at most `max_length` tokens at a time."""

    source: Tokenizer
    max_length: int
    language: str  # by whose rules sentences end
    by_sentence: (
        bool  # each sentence is a segment; otherwise only lines that are too long are split
    )

    def split(self, line: str, ids: Sequence[int], *, prefix: str = "") -> SplitLine:
        """Split a line, which the tokenizer encodes as `ids`.

        The prefix of its translation belongs to the first segment. If the prefix has several
        sentences, nothing tells which of the line they translate, and the line is not split into
        sentences.
        """
        tag, text = split_tag(line) if self.source.tags else ("", line)
        sentences = [text]
        if self.by_sentence and len(split_sentences(prefix.strip())) == 1:
            sentences = [each for each in split_sentences(text, self.language) if each.strip()]
        if len(sentences) <= 1 and len(ids) <= self.max_length:
            return SplitLine([line], [list(ids)], [False], 1, False)
        room = max(1, self.max_length - bool(tag))
        segments: list[str] = []
        for sentence in sentences:
            if len(self.source.encode([sentence])[0]) > room:
                segments += split_line(sentence, self.source, room, self.language)
            else:
                segments.append(sentence.strip())
        texts = [tag + segment for segment in segments]
        return SplitLine(
            texts,
            self.source.encode(texts),
            _continue_words(text, segments),
            len(sentences),
            len(segments) > len(sentences),
        )


def _continue_words(line: str, segments: Sequence[str]) -> list[bool]:
    """For each segment of a line, whether it follows the one before it without a space."""
    found, end = [], 0
    for segment in segments:
        start = line.index(segment, end)
        found.append(0 < start == end)
        end = start + len(segment)
    return found


def split_line(line: str, tokenizer: Tokenizer, max_length: int, language: str = "") -> list[str]:
    """Split a line into segments of at most `max_length` tokens that hold all of its words.

    Cuts at the sentence ends of a language where that is enough, else at punctuation, at spaces or
    between characters, and joins neighbours again while they fit. A single character of more tokens
    is a segment of its own.
    """

    def fits(text: str) -> bool:
        return len(tokenizer.encode([text])[0]) <= max_length

    sentences = split_sentences(line, language)
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
    """Cut a text at its punctuation, or else at its spaces, or in the middle."""
    for cut in (CLAUSE_END, SPACES):
        found = _cut(text.strip(), [m.end() for m in cut.finditer(text.strip())])
        if len(found) > 1:
            return found
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def _cut(text: str, ends: list[int]) -> list[str]:
    return [text[i:j] for i, j in zip([0, *ends], [*ends, len(text)], strict=True) if j > i]
