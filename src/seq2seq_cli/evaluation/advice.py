"""Advice on figures that mislead for texts like these."""

from collections.abc import Iterator, Sequence

from seq2seq_cli.evaluation.metrics import (
    BLEU_ORDER,
    TOKENIZED_LINES,
    WORD_TOKENIZERS,
    ScoreOptions,
    looks_tokenized,
    tokenizer_for,
)
from seq2seq_cli.evaluation.references import Text, first_given
from seq2seq_cli.evaluation.writing import Writing, share_of_short_lines

SHORT_LINES = 0.5  # share of the lines that makes BLEU say little


def advice(
    hypotheses: Sequence[Text],
    references: Sequence[Text],
    metrics: Sequence[str],
    options: ScoreOptions,
) -> Iterator[str]:
    """Say which figures mislead for texts like these, and what to do."""
    reference = references[0]
    lines = first_given([text.lines for text in references])
    writing = Writing.of(lines)
    if "ter" in metrics and not writing.is_spaced and not options.ter_asian:
        yield (
            f"{reference.name} has no spaces between words, and TER counts what spaces divide: "
            "--ter-normalized --ter-asian counts Chinese characters and punctuation by themselves"
        )
    if "bleu" not in metrics:
        return
    for hypothesis in hypotheses:
        if options.tokenize == "none" or not looks_tokenized(hypothesis.lines):
            continue
        yield (
            f"{hypothesis.name}: {TOKENIZED_LINES} lines or more end in ' .'; the text looks "
            "tokenized, and BLEU is meant for plain text"
        )
    if options.tokenize in WORD_TOKENIZERS and not writing.is_spaced:
        yield (
            f"{reference.name} has no spaces between words, and BLEU with the tokenizer "
            f"{options.tokenize} counts what spaces divide: give --tokenize {tokenizer_for(lines)}"
        )
    elif options.tokenize in WORD_TOKENIZERS:
        share = share_of_short_lines(lines, BLEU_ORDER)
        if share > SHORT_LINES:
            yield (
                f"{share:.0%} of the reference lines have fewer than {BLEU_ORDER} words, and so no "
                f"run of {BLEU_ORDER} words for BLEU to count: it is 0 or says little; go by chrF"
            )
