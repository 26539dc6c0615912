"""Links of aligners stay at their words in text with no-break spaces, full-width forms and BOMs."""

from pathlib import Path

import numpy as np
import pytest

from seq2seq_cli.config.tokenizer import TokenizerSettings
from seq2seq_cli.data.alignments import Alignments, aligned_words, read_alignments
from seq2seq_cli.tokenization.learning import train_tokenizer

PAIRS = [  # a source and a target with as many words, word k for word k, between ASCII spaces
    ("prix 1\u00a0000\u00a0€ net", "Preis 1.000\u00a0€ netto"),  # no-break spaces
    ("il y a\u202f: 12\u202f500 km", "es gibt da: 12.500 km"),  # narrow ones
    ("«\u00a0bonjour\u00a0» dit elle", "„hallo“ sagt sie"),
    ("今日\u3000は 晴れ", "heute klar"),  # an ideographic space
    ("a \u00a8b c", "a b c"),  # NFKC makes a space and a mark of it
    ("\ufeffein Haus", "a house"),  # a byte-order mark within a file
    ("links\u200brechts mitte", "left-right middle"),  # a zero-width space
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
def test_every_link_is_at_the_word_that_the_aligner_saw(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    source, target = (
        train_tokenizer([each[side] for each in PAIRS], TokenizerSettings()).tokenizer
        for side in (0, 1)
    )
    words = list(zip(*map(aligned_words, pair), strict=True))
    file = tmp_path / "links"
    file.write_text(" ".join(f"{k}-{k}" for k in range(len(words))))
    found = Alignments(
        read_alignments([file], [pair], pytest.fail, (source.normalize, target.normalize)),
        source.vocabulary,
        target.vocabulary,
    )
    ids = source.encode([pair[0]])[0], target.encode([pair[1]])[0]
    matrix = found.matrix(0, np.array(ids[0]), np.array(ids[1])) > 0
    linked = [
        (
            source.decode([[ids[0][i] for i in np.flatnonzero(row)]])[0],
            target.decode(
                [[i for i, other in zip(ids[1], matrix, strict=True) if (other == row).all()]]
            )[0],
        )
        for row in matrix
    ]
    expected = [(source.normalize(one), target.normalize(other)) for one, other in words]
    assert list(dict.fromkeys(linked)) == expected
