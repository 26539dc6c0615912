"""Translations of lines, and how they are written: text, TSV, JSON lines, Pharaoh."""

import heapq
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import field
from typing import Literal

from seq2seq_cli.deferred import dataclass

Format = Literal["text", "tsv", "jsonl"]

Alignment = tuple[tuple[int, int], ...]  # (source word, target word), counted from 0


@dataclass(frozen=True)
class Candidate:
    """One translation of a line.

    A line that was split into sentences, or into segments because it was too long, has the text of
    all joined, by spaces except in Chinese and Japanese, the sum of their scores, and the pieces of
    all, those of each segment with its EOS. Alignments count the words of the whole line.
    """

    text: str
    score: float = 0.0
    pieces: tuple[str, ...] = ()  # EOS is the last
    token_scores: tuple[float, ...] = ()  # natural log-probability of each piece
    alignment: Alignment | None = None  # words are what spaces divide, after normalisation
    source_words: int = 0  # counted only together with the alignment
    target_words: int = 0
    copied: tuple[
        str, ...
    ] = ()  # unknown text of the source that is in the text, not in the pieces

    @property
    def log_probability(self) -> float:
        return sum(self.token_scores, 0.0)


@dataclass
class Translation:
    """A line, its translations and the warnings about it."""

    source: str
    candidates: list[Candidate] = field(default_factory=list)  # best first; one for a blank line
    warnings: list[str] = field(default_factory=list)
    unknown: tuple[str, ...] = ()  # parts of the line that the run has no pieces for
    unknown_share: float = 0.0  # of the characters of the line, without spaces
    lacks_language: bool = False  # it does not say which one to translate into
    is_too_long: bool = False  # for the model, so that it was split
    is_in_capitals: bool = False  # which the run has hardly seen
    text_start: int = 0  # where the source begins behind the tag of its language, in characters

    @property
    def text(self) -> str:
        """The best translation."""
        return self.candidates[0].text

    @property
    def copied(self) -> tuple[str, ...]:
        """The unknown parts that were copied into the best translation."""
        return self.candidates[0].copied

    @property
    def is_empty(self) -> bool:
        """Whether the best translation is empty though the line is not blank."""
        if self.text.strip():
            return False
        text = self.source[self.text_start :]
        # Tokenizers read control characters as spaces.
        return not all(each.isspace() or unicodedata.category(each) == "Cc" for each in text)

    def as_format(self, format_: Format, number: int) -> str:
        """The line with this number in one of the formats of `seq2seq translate`."""
        if format_ == "tsv":
            return self.as_tsv(number)
        return self.as_jsonl(number) if format_ == "jsonl" else self.text

    def as_tsv(self, number: int) -> str:
        """A row for each candidate: line number, rank, score, text."""
        return "\n".join(
            f"{number}\t{rank}\t{candidate.score:.6f}\t{candidate.text}"
            for rank, candidate in enumerate(self.candidates, start=1)
        )

    def as_jsonl(self, number: int) -> str:
        """Everything about the line with this number, as a JSON object without line breaks."""
        hypotheses = [
            {
                "text": candidate.text,
                "score": candidate.score,
                "log_probability": candidate.log_probability,
                "tokens": candidate.pieces,
                "token_scores": candidate.token_scores,
                "alignment": candidate.alignment,
            }
            for candidate in self.candidates
        ]
        record = {
            "line": number,
            "source": self.source,
            "hypotheses": hypotheses,
            "warnings": self.warnings,
        }
        return json.dumps(record, ensure_ascii=False)

    def as_pharaoh(self) -> str:
        """The alignment of the best translation: "0-0 1-2", words from 0, the source's first."""
        pairs = self.candidates[0].alignment or ()
        return " ".join(f"{source}-{target}" for source, target in pairs)


def join_segments(
    segments: Sequence[Sequence[Candidate]],
    continues_word: Sequence[bool] = (),
    *,
    drawn: bool = False,
) -> list[Candidate]:
    """The candidates of a line from those of its segments, as many as the most of a segment.

    They are the combinations with the greatest sums of scores, the best first. Candidates that
    were `drawn` at random are joined in the order of the draws instead, and a segment with fewer
    than others repeats its last one. `continues_word` says for each segment whether its source
    begins without a space after the segment before.
    """
    if len(segments) == 1:
        return list(segments[0])
    count = max(map(len, segments))
    if drawn:
        ranks = [[min(rank, len(each) - 1) for each in segments] for rank in range(count)]
    else:
        ranks = _best_combinations([[each.score for each in ranked] for ranked in segments], count)
    return [
        _joined(
            [ranked[rank] for ranked, rank in zip(segments, chosen, strict=True)], continues_word
        )
        for chosen in ranks
    ]


def _best_combinations(scores: Sequence[Sequence[float]], count: int) -> list[list[int]]:
    """Choose a rank of each list of scores, which fall: the combinations with the best sums.

    From each combination others are made by going one rank down, in the list changed last or a
    later one, so that none is made twice (Lawler 1972).
    """
    queue = [(-sum(each[0] for each in scores), 0, [0] * len(scores))]  # -sum, list changed last
    found: list[list[int]] = []
    while queue and len(found) < count:
        negative_sum, changed, ranks = heapq.heappop(queue)
        found.append(ranks)
        for number in range(changed, len(scores)):
            rank = ranks[number]
            if rank + 1 < len(scores[number]):
                lower = [*ranks[:number], rank + 1, *ranks[number + 1 :]]
                loss = scores[number][rank] - scores[number][rank + 1]
                heapq.heappush(queue, (negative_sum + loss, number, lower))
    return found


def _joined(segments: Sequence[Candidate], continues_word: Sequence[bool]) -> Candidate:
    """One candidate of a line from one of each of its segments."""
    # Imported here, since `seq2seq translate --help` imports this file and is to answer at once.
    from seq2seq_cli.tokenization.sentences import needs_space

    text, pairs, source, target = "", [], 0, 0
    for number, segment in enumerate(segments):
        spaced = needs_space(text, segment.text)
        if target and segment.target_words and not spaced:
            target -= 1  # the words at the join are one
        if source and segment.source_words and number < len(continues_word):
            source -= continues_word[number]
        pairs += [(source + s, target + t) for s, t in segment.alignment or ()]
        source, target = source + segment.source_words, target + segment.target_words
        text += " " * spaced + segment.text
    return Candidate(
        text=text,
        score=sum(segment.score for segment in segments),
        pieces=tuple(piece for segment in segments for piece in segment.pieces),
        token_scores=tuple(score for segment in segments for score in segment.token_scores),
        alignment=None if segments[0].alignment is None else tuple(dict.fromkeys(pairs)),
        source_words=source,
        target_words=target,
        copied=tuple(span for segment in segments for span in segment.copied),
    )
