"""Lines in capitals, which most runs have hardly seen and read letter by letter."""

from seq2seq_cli.tokenization.tokenizer import Tokenizer

LEAST_WORDS = 3  # fewer may be a name or an abbreviation
FINER = 1.5  # times as many pieces as in lower case


def is_cut_finer(text: str, tokenizer: Tokenizer) -> bool:
    """Whether a text is in capitals, and the pieces of its tokenizer are made for lower case."""
    if not text.isupper() or sum(map(str.isupper, text.split())) < LEAST_WORDS:
        return False
    if tokenizer.form.inline_casing:
        return False
    capitals, lower = tokenizer.encode([text, text.lower()])
    return len(capitals) >= FINER * len(lower)
