"""Whether the lines of a corpus hold one sentence or several."""

from seq2seq_cli.data.token_pairs import TokenPairs, evenly_spaced
from seq2seq_cli.symbols import UNK
from seq2seq_cli.tokenization.language_tags import split_tag
from seq2seq_cli.tokenization.sentences import split_sentences
from seq2seq_cli.tokenization.tokenizer import Tokenizer

SAMPLE_PAIRS = 5000


def share_of_several_sentences(pairs: TokenPairs, source: Tokenizer, language: str) -> float:
    """The share of source lines that have several sentences, in a sample of the pairs.

    `source` is the tokenizer of the source. Texts are decoded from their tokens, so that neither
    files nor pipes are read again.
    """
    sample = pairs.take(evenly_spaced(len(pairs), SAMPLE_PAIRS))
    lines = source.decode([ids[ids != UNK].tolist() for ids, _ in sample])
    if source.tags:
        lines = [split_tag(line)[1] for line in lines]
    return sum(len(split_sentences(line, language)) > 1 for line in lines) / len(lines)
