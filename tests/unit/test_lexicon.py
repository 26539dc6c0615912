"""IBM model 1 finds the likeliest translations of each word."""

import random

from seq2seq_cli.data.lexicon import likeliest_translations
from seq2seq_cli.data.sentence_arrays import Sentences
from seq2seq_cli.data.token_pairs import TokenPairs

FIRST, WORDS = 4, 6


def test_words_that_always_come_together_translate_each_other() -> None:
    """Target word t + 6 translates source word t, in another order; word 16 comes everywhere."""
    draw = random.Random(1)
    sources = [draw.sample(range(FIRST, FIRST + WORDS), 3) for _ in range(200)]
    targets = [[16, *(word + WORDS for word in reversed(source))] for source in sources]
    pairs = TokenPairs(Sentences(sources), Sentences(targets))
    table = likeliest_translations(pairs, 20, 20, 2)
    assert table.shape == (20, 2)
    for word in range(FIRST, FIRST + WORDS):
        assert table[word][0] == word + WORDS
    assert 16 in table[0]  # of the null token
    assert not table[FIRST + WORDS :].any()  # source words that never occur
