"""How likely models find given translations."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import field

import numpy as np

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn, ignore_warning
from seq2seq_cli.padding import split_by_tokens
from seq2seq_cli.symbols import EOS, PIECES
from seq2seq_cli.text import check_is_list, check_line_counts
from seq2seq_cli.tokenization.tokenizer import Tokenizer, split_pieces
from seq2seq_cli.translation.languages import TaggedLine
from seq2seq_cli.translation.summary import WITHOUT_LANGUAGE, LineNumbers
from seq2seq_cli.translation.translator import Translator

WINDOW_PAIRS = 1024  # sorted by length among each other to be batched
MOST_TOKENS = 8192  # in a line: the memory of attention grows with their square
LONG = "have more tokens than the model has learned to read, and are read as a whole"


@dataclass(frozen=True)
class Likelihood:
    """How likely a target is, given its source."""

    pieces: tuple[str, ...]  # of the target; EOS is the last
    token_scores: tuple[float, ...]  # natural log-probability of each piece

    @property
    def log_probability(self) -> float:
        return sum(self.token_scores, 0.0)

    @property
    def perplexity(self) -> float:
        return perplexity(self.log_probability, len(self.pieces))

    def as_tsv(self) -> str:
        """Log-probability, number of tokens, perplexity."""
        return f"{self.log_probability:.6f}\t{len(self.pieces)}\t{self.perplexity:.4f}"

    def as_jsonl(self) -> str:
        """The same and each token, as a JSON object without line breaks."""
        record = {
            "log_probability": self.log_probability,
            "perplexity": self.perplexity,
            "tokens": self.pieces,
            "token_scores": self.token_scores,
        }
        return json.dumps(record, ensure_ascii=False)


def likelihoods(
    translator: Translator,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    in_pieces: bool = False,
    warn: Warn = ignore_warning,
) -> Iterator[Likelihood]:
    """Yield the likelihood of each target, given the source of the same line.

    Targets are text or, with `in_pieces`, pieces with spaces between: search may choose other
    pieces for a word than the tokenizer does. A pair of blank lines has no tokens, since
    `translate` does not ask the model about blank lines either. A source that is longer than the
    model has learned to read is read as a whole. `warn` is told of the first such source and of the
    first without a language, and at the end of all of them. Raises InputError for a string instead
    of a list of lines, unless there are as many targets as sources, for lines of more than
    MOST_TOKENS, and for pieces that are not in the vocabulary.
    """
    check_is_list(sources, "sources")
    check_is_list(targets, "targets")
    check_line_counts("the source", len(sources), "the target", len(targets))
    tokenizers = translator.tokenizers
    faults = Faults(translator, warn)
    for start in range(0, len(sources), WINDOW_PAIRS):
        window = slice(start, start + WINDOW_PAIRS)
        tagged = [translator.languages.read(line) for line in sources[window]]
        source = tokenizers.source.encode([line.text for line in tagged])
        encode = _ids_of_pieces if in_pieces else Tokenizer.encode
        target = [[*ids, EOS] for ids in encode(tokenizers.target, targets[window])]
        pairs = enumerate(zip(tagged, source, target, strict=True), start=start + 1)
        for number, (line, source_ids, target_ids) in pairs:
            faults.check(line, number, source_ids, target_ids)
        yield from _score_pairs(translator, tagged, source, target)
    faults.tell()


def _ids_of_pieces(tokenizer: Tokenizer, lines: Sequence[str]) -> list[list[int]]:
    """The ids of lines of pieces, without EOS, which `translate` writes at their end."""
    return [tokenizer.pieces_to_ids(split_pieces(line.removesuffix(PIECES[EOS]))) for line in lines]


@dataclass
class Faults:
    """Finds pairs that the model has not learned to read; the first of a kind is told at once."""

    translator: Translator
    warn: Warn
    without_language: LineNumbers = field(default_factory=LineNumbers)
    long: LineNumbers = field(default_factory=LineNumbers)

    def check(
        self, line: TaggedLine, number: int, source: Sequence[int], target: Sequence[int]
    ) -> None:
        """Look at the pair with this number. Raises InputError if it is too long for memory."""
        if (most := max(len(source) + 1, len(target))) > MOST_TOKENS:
            raise InputError(
                f"line {number} has {most:,} tokens; up to {MOST_TOKENS:,} are allowed, since "
                "it is read as a whole; split it, or leave the pair out"
            )
        if line.fault and source:
            self._add(self.without_language, number, f"line {number} {line.fault}")
        if len(source) > self.translator.max_length:
            message = (
                f"line {number} has {len(source):,} tokens, the model reads "
                f"{self.translator.max_length:,}: its likelihood is of the whole, which the model "
                "has not learned to read"
            )
            self._add(self.long, number, message)

    def _add(self, lines: LineNumbers, number: int, message: str) -> None:
        lines.add(number)
        if lines.count == 1:
            self.warn(message)

    def tell(self) -> None:
        """Warn of all lines of a kind, if there are others than the first."""
        for lines, fault in ((self.without_language, WITHOUT_LANGUAGE), (self.long, LONG)):
            if lines.count > 1:
                self.warn(f"{lines} {fault}")


def _score_pairs(
    translator: Translator,
    lines: Sequence[TaggedLine],
    source: Sequence[list[int]],
    target: Sequence[list[int]],
) -> list[Likelihood]:
    """The likelihoods of pairs, computed in batches of similar length.

    The ids of targets end with EOS, those of sources do not.
    """
    predictor, form = translator.predictor, translator.form
    lengths = np.array([max(len(s) + 1, len(t)) for s, t in zip(source, target, strict=True)])
    blank = np.flatnonzero(lengths == 1)
    order = np.argsort(-lengths, kind="stable")
    order = order[: len(order) - len(blank)]
    scored = {row: Likelihood((), ()) for row in blank.tolist()}
    budget = translator.batch_budget()
    for batch in split_by_tokens(lengths[order], budget) if len(order) else ():
        rows = order[batch].tolist()
        scores = predictor.token_scores(
            [form.row(source[row]) for row in rows],
            [[*lines[row].forced, *target[row]] for row in rows],
        )
        for row, token_scores in zip(rows, scores, strict=True):
            pieces = tuple(translator.tokenizers.target.ids_to_pieces(target[row]))
            scored[row] = Likelihood(pieces, tuple(token_scores[len(lines[row].forced) :]))
    return [scored[row] for row in range(len(source))]


def perplexity(log_probability: float, tokens: int) -> float:
    """exp of the mean negative log-probability of tokens; 1 without tokens, inf if it overflows."""
    try:
        return math.exp(-log_probability / max(tokens, 1))
    except OverflowError:
        return math.inf
